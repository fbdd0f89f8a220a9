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

use crate::routes::Limits;

/// The connections that are there, one account for the whole gate.
#[derive(Debug)]
pub(super) struct Room {
    /// As many as there are descriptors for, whatever the configuration allows.
    most: usize,
    all: AtomicUsize,
    by_peer: Mutex<HashMap<IpAddr, usize>>,
    parked: AtomicUsize,
    /// Wakes the connection that has been parked the longest.
    wanted: Notify,
}

/// A place in the room, until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    room: Arc<Room>,
    peer: Option<IpAddr>,
}

/// Which limit was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    All,
    Peer,
}

impl Full {
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::All => "max_connections",
            Self::Peer => "max_connections_per_peer",
        }
    }
}

/// Descriptors that are kept for connections to apps and for files: this many, or half of all.
const KEPT_BACK: usize = 2048;
/// What the gate itself has open.
const OWN: usize = 16;

impl Room {
    /// Where the system allows so many open files.
    pub(super) fn within(descriptors: usize) -> Self {
        let kept_back = KEPT_BACK.min((descriptors / 2).saturating_add(OWN));
        Self {
            most: descriptors.saturating_sub(kept_back),
            all: AtomicUsize::default(),
            by_peer: Mutex::default(),
            parked: AtomicUsize::default(),
            wanted: Notify::default(),
        }
    }

    /// A place for a new connection. Where all are taken, one that is idle has to leave.
    pub(super) fn enter(
        self: &Arc<Self>,
        peer: Option<IpAddr>,
        limits: &Limits,
    ) -> Result<Place, Full> {
        let place = Place { room: Arc::clone(self), peer: peer.and_then(counted) };
        let before = self.all.fetch_add(1, Ordering::Relaxed);
        let of_peer = place.peer.map_or(0, |peer| {
            let mut by_peer = self.by_peer();
            let count = by_peer.entry(peer).or_default();
            *count = count.saturating_add(1);
            *count
        });
        if of_peer > limits.max_connections_per_peer {
            return Err(Full::Peer);
        }
        if before >= self.size(limits) && !self.make_room() {
            return Err(Full::All);
        }
        Ok(place)
    }

    /// Whether places are getting scarce: who has nothing to say should idle where it can be asked
    /// to leave.
    pub(super) fn is_crowded(&self, limits: &Limits) -> bool {
        self.connections() > self.size(limits) / 2
    }

    fn size(&self, limits: &Limits) -> usize {
        limits.max_connections.min(self.most)
    }

    /// Asks the connection that has idled the longest to leave; `false` if none idles.
    pub(super) fn make_room(&self) -> bool {
        let one_idles = self.parked.load(Ordering::Relaxed) > 0;
        if one_idles {
            self.wanted.notify_one();
        }
        one_idles
    }

    /// Waits, as one that idles, until its place is wanted.
    pub(super) async fn wanted(&self) {
        struct Parked<'r>(&'r Room);
        impl Drop for Parked<'_> {
            fn drop(&mut self) {
                self.0.parked.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.parked.fetch_add(1, Ordering::Relaxed);
        let _parked = Parked(self);
        self.wanted.notified().await;
    }

    /// How many connections there are.
    pub(super) fn connections(&self) -> usize {
        self.all.load(Ordering::Relaxed)
    }

    fn by_peer(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.by_peer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
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

/// Whom a connection is counted for: an address, or the /64 that one site has. What comes over
/// loopback comes from a tunnel or a proxy, and so from everybody.
fn counted(peer: IpAddr) -> Option<IpAddr> {
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
        let room = Arc::new(Room::within(1024));
        let enter = |peer: &str| room.enter(Some(peer.parse().unwrap()), &limits());
        let one = enter("2001:db8::1").unwrap();
        let _two = enter("2001:db8::2").unwrap();
        assert_eq!(enter("2001:db8::3").unwrap_err(), Full::Peer);
        let _three = enter("192.0.2.1").unwrap();
        assert_eq!(enter("192.0.2.2").unwrap_err(), Full::All);
        drop(one);
        assert!(enter("2001:db8::3").is_ok());
        assert_eq!(room.connections(), 2);
    }

    #[test]
    fn who_idles_leaves_for_who_comes() {
        let room = Arc::new(Room::within(1024));
        let _places: Vec<_> = (0..3).map(|_| room.enter(None, &limits()).unwrap()).collect();
        let mut parked = Box::pin(room.wanted());
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(parked.as_mut().poll(&mut cx).is_pending());
        assert!(room.enter(None, &limits()).is_ok());
        assert!(parked.as_mut().poll(&mut cx).is_ready());
        drop(parked);
        assert!(room.enter(None, &limits()).is_err());
    }

    #[test]
    fn places_are_scarce_when_half_of_them_are_taken() {
        let room = Arc::new(Room::within(1024));
        let most = Limits { max_connections: 4, ..Limits::default() };
        let mut places = Vec::new();
        for is_crowded in [false, false, true, true] {
            places.push(room.enter(None, &most).unwrap());
            assert_eq!(room.is_crowded(&most), is_crowded, "{}", places.len());
        }
    }

    #[test]
    fn descriptors_are_kept_for_the_apps() {
        assert_eq!(Room::within(64).most, 16);
        assert_eq!(Room::within(1024).most, 496);
        assert_eq!(Room::within(20_000).most, 17_952);
        let room = Arc::new(Room::within(36));
        let limits = Limits::default();
        let _places = [room.enter(None, &limits).unwrap(), room.enter(None, &limits).unwrap()];
        assert_eq!(room.enter(None, &limits).unwrap_err(), Full::All);
    }
}
