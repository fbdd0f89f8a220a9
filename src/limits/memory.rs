//! Memory budget (`max_buffered_bytes`), shared by the whole process: request bodies, large heads and
//! HTTP/2 streams.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::peer::peer_key;

/// Maximum size of a small body. Nearly all of Twilio's webhooks are smaller.
const SMALL_BODY_MAX: u64 = 16 * 1024;

/// Counts the bytes that clients make the process hold.
#[derive(Debug, Default)]
pub struct MemoryBudget {
    reserved: AtomicU64,
    by_peer: Mutex<HashMap<IpAddr, u64>>,
}

/// Memory reserved for one body, head or stream; released on drop.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<MemoryBudget>,
    bytes: u64,
    /// Maximum of the whole budget at which this reservation may still grow.
    ceiling: u64,
    /// The peer, and the maximum of its share at which this reservation may still grow.
    peer: Option<(IpAddr, u64)>,
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
    /// a signature, so that large or unsigned bodies cannot starve ordinary webhooks. One peer, an
    /// IPv4 address or an IPv6 /64, has a quarter of the budget: an attacker can put a false
    /// signature on anything. Loopback is exempt: a tunnel or a proxy stands for all clients.
    pub fn reserve(
        self: &Arc<Self>,
        max_bytes: u64,
        body_len: u64,
        signed: bool,
        peer: Option<IpAddr>,
    ) -> Reservation {
        let ceiling = match (signed, body_len <= SMALL_BODY_MAX) {
            (true, true) => max_bytes,
            (true, false) => max_bytes.saturating_sub(max_bytes / 4),
            (false, _) => max_bytes / 2,
        };
        let peer = peer.and_then(peer_key).map(|peer| (peer, max_bytes / 4));
        Reservation { budget: Arc::clone(self), bytes: 0, ceiling, peer }
    }

    /// Returns the number of peers that hold memory.
    #[cfg(test)]
    pub(super) fn peers(&self) -> usize {
        self.by_peer().len()
    }

    /// A panic elsewhere cannot leave a half-changed count behind.
    fn by_peer(&self) -> MutexGuard<'_, HashMap<IpAddr, u64>> {
        self.by_peer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reservation {
    /// Reserves more bytes. Returns `false` when that exceeds the budget or the peer's share; the
    /// bytes stay counted until the reservation is dropped.
    pub fn try_grow(&mut self, bytes: u64) -> bool {
        let before = self.budget.reserved.fetch_add(bytes, Ordering::Relaxed);
        self.bytes = self.bytes.saturating_add(bytes);
        let is_within_share = self.peer.is_none_or(|(peer, ceiling)| {
            let mut by_peer = self.budget.by_peer();
            let total = by_peer.entry(peer).or_default();
            *total = total.saturating_add(bytes);
            *total <= ceiling
        });
        is_within_share && before.saturating_add(bytes) <= self.ceiling
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.reserved.fetch_sub(self.bytes, Ordering::Relaxed);
        let Some((peer, _)) = self.peer else { return };
        let mut by_peer = self.budget.by_peer();
        if let Some(total) = by_peer.get_mut(&peer) {
            *total = total.saturating_sub(self.bytes);
            if *total == 0 {
                by_peer.remove(&peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_body_has_its_share_and_drop_releases_it() {
        let budget = Arc::new(MemoryBudget::default());
        let mut large = budget.reserve(1000, SMALL_BODY_MAX + 1, true, None);
        assert!(large.try_grow(750));
        let mut unsigned = budget.reserve(1000, 10, false, None);
        assert!(!unsigned.try_grow(1));
        drop(unsigned);
        let mut small = budget.reserve(1000, 10, true, None);
        assert!(small.try_grow(250) && !small.try_grow(1));
        drop(small);
        assert!(!large.try_grow(1));
        drop(large);
        assert_eq!(budget.reserved_bytes(), 0);
    }

    #[test]
    fn one_peer_has_a_quarter_of_the_budget() {
        let budget = Arc::new(MemoryBudget::default());
        let reserve = |peer: &str| budget.reserve(1000, 10, true, Some(peer.parse().unwrap()));
        let (mut one, mut same_site) = (reserve("2001:db8::1"), reserve("2001:db8::2"));
        assert!(one.try_grow(200) && !same_site.try_grow(51));
        drop(same_site);
        let (mut other, mut loopback) = (reserve("192.0.2.1"), reserve("127.0.0.1"));
        assert!(other.try_grow(250) && loopback.try_grow(550));
        assert!(!other.try_grow(1) && !loopback.try_grow(1));
        drop((one, other, loopback));
        assert_eq!((budget.reserved_bytes(), budget.by_peer().len()), (0, 0));
    }
}
