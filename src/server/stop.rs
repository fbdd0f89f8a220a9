//! How the gate is told to stop, and how it tells that it will.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use tokio::{sync::watch, time::sleep};

/// Serving, then draining (still accepting), then stopped.
#[derive(Debug)]
pub(super) struct Stop {
    draining: AtomicBool,
    told: watch::Sender<bool>,
    /// The same, at hand for every request.
    is_told: AtomicBool,
}

impl Stop {
    pub(super) fn new() -> Self {
        Self {
            draining: AtomicBool::new(false),
            told: watch::Sender::new(false),
            is_told: AtomicBool::new(false),
        }
    }

    /// No longer ready, but everything is still answered.
    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// No more connections; those that are there end when they can.
    pub(super) fn tell(&self) {
        self.drain();
        self.is_told.store(true, Ordering::Relaxed);
        self.told.send_replace(true);
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub(super) fn is_told(&self) -> bool {
        self.is_told.load(Ordering::Relaxed)
    }

    /// Returns once the gate is told to stop.
    pub(super) async fn told(&self) {
        drop(self.told.subscribe().wait_for(|told| *told).await);
    }

    /// Returns so long after it.
    pub(super) async fn told_since(&self, period: Duration) {
        self.told().await;
        sleep(period).await;
    }
}
