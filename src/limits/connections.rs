//! How many connections there may be, in all and from one address.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;

use crate::limits::Limits;

/// The connections that are there, one account for the whole gate.
#[derive(Debug)]
pub struct ConnectionLimit {
    /// As many as there are descriptors for, whatever the configuration allows.
    most: usize,
    all: AtomicUsize,
    by_peer: Mutex<HashMap<IpAddr, usize>>,
    parked: AtomicUsize,
    /// Wakes the connection that has been parked the longest.
    evicted: Notify,
}

/// A place in the room, until this is dropped.
#[derive(Debug)]
pub struct ConnectionPermit {
    room: Arc<ConnectionLimit>,
    peer: Option<IpAddr>,
}

/// Which limit was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitReached {
    /// All connections together.
    All,
    /// Those of one peer.
    Peer,
}

impl LimitReached {
    /// Returns the name of the limit in the configuration.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::All => "max_connections",
            Self::Peer => "max_connections_per_peer",
        }
    }
}

/// Descriptors that are kept for connections to apps and for files: this many, or half of all.
const RESERVED_FDS: usize = 2048;
/// What the gate itself has open.
const OWN_FDS: usize = 16;

impl ConnectionLimit {
    /// Where the system allows so many open files.
    pub fn for_descriptors(descriptors: usize) -> Self {
        let kept_back = RESERVED_FDS.min((descriptors / 2).saturating_add(OWN_FDS));
        Self {
            most: descriptors.saturating_sub(kept_back),
            all: AtomicUsize::default(),
            by_peer: Mutex::default(),
            parked: AtomicUsize::default(),
            evicted: Notify::default(),
        }
    }

    /// A place for a new connection. Where all are taken, one that is idle has to leave.
    pub fn try_acquire(
        self: &Arc<Self>,
        peer: Option<IpAddr>,
        limits: &Limits,
    ) -> Result<ConnectionPermit, LimitReached> {
        let place = ConnectionPermit { room: Arc::clone(self), peer: peer.and_then(peer_key) };
        let before = self.all.fetch_add(1, Ordering::Relaxed);
        let of_peer = place.peer.map_or(0, |peer| {
            let mut by_peer = self.by_peer();
            let count = by_peer.entry(peer).or_default();
            *count = count.saturating_add(1);
            *count
        });
        if of_peer > limits.max_connections_per_peer {
            return Err(LimitReached::Peer);
        }
        if before >= self.size(limits) && !self.evict_idle() {
            return Err(LimitReached::All);
        }
        Ok(place)
    }

    /// Whether places are getting scarce: who has nothing to say should idle where it can be asked
    /// to leave.
    pub fn is_near_limit(&self, limits: &Limits) -> bool {
        self.connections() > self.size(limits) / 2
    }

    fn size(&self, limits: &Limits) -> usize {
        limits.max_connections.min(self.most)
    }

    /// Asks the connection that has idled the longest to leave; `false` if none idles.
    pub fn evict_idle(&self) -> bool {
        let one_idles = self.parked.load(Ordering::Relaxed) > 0;
        if one_idles {
            self.evicted.notify_one();
        }
        one_idles
    }

    /// Waits, as one that idles, until its place is evicted.
    pub async fn evicted(&self) {
        struct Parked<'r>(&'r ConnectionLimit);
        impl Drop for Parked<'_> {
            fn drop(&mut self) {
                self.0.parked.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.parked.fetch_add(1, Ordering::Relaxed);
        let _parked = Parked(self);
        self.evicted.notified().await;
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.all.load(Ordering::Relaxed)
    }

    fn by_peer(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.by_peer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.room.all.fetch_sub(1, Ordering::Relaxed);
        let Some(peer) = self.peer else { return };
        let mut by_peer = self.room.by_peer();
        if let Some(count) = by_peer.get_mut(&peer) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                by_peer.remove(&peer);
            }
        }
    }
}

/// Whom a connection is peer_key for: an address, or the /64 that one site has. What comes over
/// loopback comes from a tunnel or a proxy, and so from everybody.
fn peer_key(peer: IpAddr) -> Option<IpAddr> {
    match peer {
        _ if peer.is_loopback() => None,
        IpAddr::V4(_) => Some(peer),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Some(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits { max_connections: 3, max_connections_per_peer: 2, ..Limits::default() }
    }

    #[test]
    fn one_address_cannot_take_every_place() {
        let room = Arc::new(ConnectionLimit::for_descriptors(1024));
        let try_acquire = |peer: &str| room.try_acquire(Some(peer.parse().unwrap()), &limits());
        let one = try_acquire("2001:db8::1").unwrap();
        let _two = try_acquire("2001:db8::2").unwrap();
        assert_eq!(try_acquire("2001:db8::3").unwrap_err(), LimitReached::Peer);
        let _three = try_acquire("192.0.2.1").unwrap();
        assert_eq!(try_acquire("192.0.2.2").unwrap_err(), LimitReached::All);
        drop(one);
        assert!(try_acquire("2001:db8::3").is_ok());
        assert_eq!(room.connections(), 2);
    }

    #[test]
    fn who_idles_leaves_for_who_comes() {
        let room = Arc::new(ConnectionLimit::for_descriptors(1024));
        let _places: Vec<_> = (0..3).map(|_| room.try_acquire(None, &limits()).unwrap()).collect();
        let mut parked = Box::pin(room.evicted());
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(parked.as_mut().poll(&mut cx).is_pending());
        assert!(room.try_acquire(None, &limits()).is_ok());
        assert!(parked.as_mut().poll(&mut cx).is_ready());
        drop(parked);
        assert!(room.try_acquire(None, &limits()).is_err());
    }

    #[test]
    fn places_are_scarce_when_half_of_them_are_taken() {
        let room = Arc::new(ConnectionLimit::for_descriptors(1024));
        let most = Limits { max_connections: 4, ..Limits::default() };
        let mut places = Vec::new();
        for is_near_limit in [false, false, true, true] {
            places.push(room.try_acquire(None, &most).unwrap());
            assert_eq!(room.is_near_limit(&most), is_near_limit, "{}", places.len());
        }
    }

    #[test]
    fn descriptors_are_kept_for_the_apps() {
        assert_eq!(ConnectionLimit::for_descriptors(64).most, 16);
        assert_eq!(ConnectionLimit::for_descriptors(1024).most, 496);
        assert_eq!(ConnectionLimit::for_descriptors(20_000).most, 17_952);
        let room = Arc::new(ConnectionLimit::for_descriptors(36));
        let limits = Limits::default();
        let _places =
            [room.try_acquire(None, &limits).unwrap(), room.try_acquire(None, &limits).unwrap()];
        assert_eq!(room.try_acquire(None, &limits).unwrap_err(), LimitReached::All);
    }
}
