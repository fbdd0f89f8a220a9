//! A limit on how many of something there are, such as requests in flight.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Counts for the whole process: requests in flight, or idle upstream connections.
#[derive(Debug, Default)]
pub struct CountLimit {
    count: AtomicUsize,
}

/// One of them; released on drop.
#[derive(Debug)]
pub struct CountPermit(Arc<CountLimit>);

impl CountLimit {
    /// Counts one more. Returns `None` if there are `max` already.
    pub fn try_acquire(self: &Arc<Self>, max: usize) -> Option<CountPermit> {
        let permit = CountPermit(Arc::clone(self));
        let before = self.count.fetch_add(1, Ordering::Relaxed);
        (before < max).then_some(permit)
    }

    /// Returns the number of permits.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

impl Drop for CountPermit {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_permit_is_given_beyond_the_limit() {
        let limit = Arc::new(CountLimit::default());
        let one = limit.try_acquire(1);
        assert!(one.is_some());
        assert!(limit.try_acquire(1).is_none());
        drop(one);
        assert!(limit.try_acquire(1).is_some());
    }
}
