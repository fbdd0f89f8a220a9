//! ConnectionLimit for request bodies: one account for the whole gate, so that memory stays bounded whatever
//! is sent.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// A body up to this size is small, as nearly all of Twilio's are.
const SMALL_BODY_MAX: u64 = 16 * 1024;

/// How many bytes of bodies are held at this moment.
#[derive(Debug, Default)]
pub struct MemoryBudget {
    held: AtomicU64,
}

/// ConnectionLimit that one body has taken. It is given back when this is dropped.
#[derive(Debug)]
pub struct Reservation {
    buffers: Arc<MemoryBudget>,
    bytes: u64,
    most: u64,
}

impl MemoryBudget {
    /// How many bytes are held at this moment.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// No room yet. How much of `all` this body may find taken depends on what it is: the last
    /// quarter is for small bodies, and the second half for those that present a signature.
    pub fn open(self: &Arc<Self>, all: u64, announced: u64, signed: bool) -> Reservation {
        let most = match (signed, announced <= SMALL_BODY_MAX) {
            (true, true) => all,
            (true, false) => all.saturating_sub(all / 4),
            (false, _) => all / 2,
        };
        Reservation { buffers: Arc::clone(self), bytes: 0, most }
    }
}

impl Reservation {
    /// Takes room for so many bytes more, if there is as much.
    pub fn grow(&mut self, bytes: u64) -> bool {
        let before = self.buffers.held.fetch_add(bytes, Ordering::Relaxed);
        self.bytes = self.bytes.saturating_add(bytes);
        before.saturating_add(bytes) <= self.most
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.buffers.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_body_has_its_share_and_all_is_given_back() {
        let buffers = Arc::new(MemoryBudget::default());
        let mut large = buffers.open(1000, SMALL_BODY_MAX + 1, true);
        assert!(large.grow(750));
        let mut public = buffers.open(1000, 10, false);
        assert!(!public.grow(1));
        drop(public);
        let mut small = buffers.open(1000, 10, true);
        assert!(small.grow(250) && !small.grow(1));
        drop(small);
        assert!(!large.grow(1));
        drop(large);
        assert_eq!(buffers.held(), 0);
    }
}
