//! Memory budget for request bodies (`max_buffered_bytes`), shared by the whole process.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Maximum size of a small body. Nearly all of Twilio's webhooks are smaller.
const SMALL_BODY_MAX: u64 = 16 * 1024;

/// Counts the bytes of all request bodies in memory.
#[derive(Debug, Default)]
pub struct MemoryBudget {
    reserved: AtomicU64,
}

/// Memory reserved for one body; released on drop.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<MemoryBudget>,
    bytes: u64,
    /// Maximum of the whole budget at which this body may still grow.
    ceiling: u64,
}

impl MemoryBudget {
    /// Returns the number of reserved bytes.
    #[must_use]
    pub fn reserved_bytes(&self) -> u64 {
        self.reserved.load(Ordering::Relaxed)
    }

    /// Starts a reservation of zero bytes out of a budget of `max_bytes`.
    ///
    /// The last quarter of the budget is kept for small bodies, and the second half for requests with
    /// a signature, so that large or unsigned bodies cannot starve ordinary webhooks.
    pub fn reserve(self: &Arc<Self>, max_bytes: u64, body_len: u64, signed: bool) -> Reservation {
        let ceiling = match (signed, body_len <= SMALL_BODY_MAX) {
            (true, true) => max_bytes,
            (true, false) => max_bytes.saturating_sub(max_bytes / 4),
            (false, _) => max_bytes / 2,
        };
        Reservation { budget: Arc::clone(self), bytes: 0, ceiling }
    }
}

impl Reservation {
    /// Reserves more bytes. Returns `false` when that exceeds the budget; the bytes stay counted until
    /// the reservation is dropped.
    pub fn try_grow(&mut self, bytes: u64) -> bool {
        let before = self.budget.reserved.fetch_add(bytes, Ordering::Relaxed);
        self.bytes = self.bytes.saturating_add(bytes);
        before.saturating_add(bytes) <= self.ceiling
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.reserved.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_body_has_its_share_and_drop_releases_it() {
        let budget = Arc::new(MemoryBudget::default());
        let mut large = budget.reserve(1000, SMALL_BODY_MAX + 1, true);
        assert!(large.try_grow(750));
        let mut unsigned = budget.reserve(1000, 10, false);
        assert!(!unsigned.try_grow(1));
        drop(unsigned);
        let mut small = budget.reserve(1000, 10, true);
        assert!(small.try_grow(250) && !small.try_grow(1));
        drop(small);
        assert!(!large.try_grow(1));
        drop(large);
        assert_eq!(budget.reserved_bytes(), 0);
    }
}
