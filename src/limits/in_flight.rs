//! How many requests are with the apps.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// One count for the whole gate.
#[derive(Debug, Default)]
pub struct InFlightLimit {
    now: AtomicUsize,
}

/// One request that is with an app, until this is dropped.
#[derive(Debug)]
pub struct InFlightPermit(Arc<InFlightLimit>);

impl InFlightLimit {
    /// Counts one more, unless there are `most` already.
    pub fn try_acquire(self: &Arc<Self>, most: usize) -> Option<InFlightPermit> {
        let entered = InFlightPermit(Arc::clone(self));
        let before = self.now.fetch_add(1, Ordering::Relaxed);
        (before < most).then_some(entered)
    }
}

impl Drop for InFlightPermit {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_most_are_in() {
        let load = Arc::new(InFlightLimit::default());
        let one = load.try_acquire(1);
        assert!(one.is_some());
        assert!(load.try_acquire(1).is_none());
        drop(one);
        assert!(load.try_acquire(1).is_some());
    }
}
