//! The shutdown signal.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use tokio::{sync::watch, time::sleep};

/// Time for a peer to read a last response, and for an idle connection to be used once more when
/// the process shuts down.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// The phase of the process: serving, then draining (still accepting), then shutting down.
#[derive(Debug)]
pub struct Shutdown {
    draining: AtomicBool,
    signal: watch::Sender<bool>,
    /// The signal's value, readable without a lock.
    begun: AtomicBool,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self {
            draining: AtomicBool::new(false),
            signal: watch::Sender::new(false),
            begun: AtomicBool::new(false),
        }
    }
}

impl Shutdown {
    /// Starts draining: the process is no longer ready, but still accepts and answers.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Starts the shutdown: no new connections; open ones end after the request in flight.
    pub fn begin(&self) {
        self.drain();
        self.begun.store(true, Ordering::Relaxed);
        self.signal.send_replace(true);
    }

    /// Returns whether draining has started.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Returns whether the shutdown has started.
    pub fn is_shutting_down(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// Waits for the start of the shutdown.
    pub async fn signaled(&self) {
        drop(self.signal.subscribe().wait_for(|begun| *begun).await);
    }

    /// Waits until the shutdown has lasted for `period`.
    pub async fn signaled_for(&self, period: Duration) {
        self.signaled().await;
        sleep(period).await;
    }
}
