//! The idle and stall tracker of an HTTP/2 connection.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How many exchanges are under way on a connection, and when one of them last moved.
pub(super) struct ActivityTracker(Mutex<Activity>);

struct Activity {
    open: usize,
    since: Instant,
}

impl ActivityTracker {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Activity { open: 0, since: Instant::now() }))
    }

    pub(super) fn begin(&self) {
        let mut moves = self.moves();
        *moves = Activity { open: moves.open.saturating_add(1), since: Instant::now() };
    }

    pub(super) fn moved(&self) {
        self.moves().since = Instant::now();
    }

    pub(super) fn end(&self) {
        let mut moves = self.moves();
        *moves = Activity { open: moves.open.saturating_sub(1), since: Instant::now() };
    }

    /// For how long nothing has been under way.
    pub(super) fn idle_for(&self) -> Duration {
        let moves = self.moves();
        if moves.open == 0 { moves.since.elapsed() } else { Duration::ZERO }
    }

    /// For how long something has been under way and nothing has moved.
    pub(super) fn stalled_for(&self) -> Duration {
        let moves = self.moves();
        if moves.open > 0 { moves.since.elapsed() } else { Duration::ZERO }
    }

    /// A panic elsewhere cannot leave a half-changed state behind.
    fn moves(&self) -> MutexGuard<'_, Activity> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
