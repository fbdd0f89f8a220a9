//! Limit on requests that wait for an app or relay its response.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Counts the requests in flight, for the whole process.
#[derive(Debug, Default)]
pub struct InFlightLimit {
    count: AtomicUsize,
}

/// One counted request; released on drop.
#[derive(Debug)]
pub struct InFlightPermit(Arc<InFlightLimit>);

impl InFlightLimit {
    /// Counts one request. Returns `None` if `max` are already in flight.
    pub fn try_acquire(self: &Arc<Self>, max: usize) -> Option<InFlightPermit> {
        let permit = InFlightPermit(Arc::clone(self));
        let before = self.count.fetch_add(1, Ordering::Relaxed);
        (before < max).then_some(permit)
    }

    /// Returns the number of requests in flight.
    #[cfg(test)]
    pub(super) fn in_flight(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

impl Drop for InFlightPermit {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_beyond_the_limit_get_no_permit() {
        let limit = Arc::new(InFlightLimit::default());
        let one = limit.try_acquire(1);
        assert!(one.is_some());
        assert!(limit.try_acquire(1).is_none());
        drop(one);
        assert!(limit.try_acquire(1).is_some());
    }
}
