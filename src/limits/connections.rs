//! Limits on client connections: in total and per peer.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;

use super::{Limits, peer::peer_key};

/// Counts client connections and enforces `max_connections` and `max_connections_per_peer`.
#[derive(Debug)]
pub struct ConnectionLimit {
    /// Upper bound from the file descriptor limit; applies whatever the configuration allows.
    max_by_descriptors: usize,
    total: AtomicUsize,
    by_peer: Mutex<HashMap<IpAddr, usize>>,
    /// Idle connections that wait in [`Self::evicted`].
    parked: AtomicUsize,
    /// Wakes the connection that has been parked longest: `Notify` is first in, first out.
    eviction: Notify,
}

/// One counted connection; released on drop.
#[derive(Debug)]
pub struct ConnectionPermit {
    limit: Arc<ConnectionLimit>,
    peer: Option<IpAddr>,
}

/// Error: which limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitReached {
    /// `max_connections`.
    All,
    /// `max_connections_per_peer`.
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

/// File descriptors reserved for upstream connections (1,024 in use, as many idle), refused connections
/// and files: this many, or half of all if less.
const RESERVED_FDS: usize = 2560;
/// File descriptors that the process itself holds: listeners, epoll, standard streams.
const OWN_FDS: usize = 16;

impl ConnectionLimit {
    /// Creates the limit for a process that may open this many file descriptors.
    #[must_use]
    pub fn for_descriptors(descriptors: usize) -> Self {
        let reserved = RESERVED_FDS.min((descriptors / 2).saturating_add(OWN_FDS));
        Self {
            max_by_descriptors: descriptors.saturating_sub(reserved),
            total: AtomicUsize::default(),
            by_peer: Mutex::default(),
            parked: AtomicUsize::default(),
            eviction: Notify::default(),
        }
    }

    /// Counts a new connection. At `max_connections` it evicts one idle connection to make space.
    ///
    /// Connections over a Unix socket have no `peer` and no per-peer limit.
    ///
    /// # Errors
    /// [`LimitReached`], when a limit is reached and no connection is idle.
    pub fn try_acquire(
        self: &Arc<Self>,
        peer: Option<IpAddr>,
        limits: &Limits,
    ) -> Result<ConnectionPermit, LimitReached> {
        // Counts first and checks after: two threads cannot both take the last permit. On an error
        // the permit is dropped, which undoes the count.
        let permit = ConnectionPermit { limit: Arc::clone(self), peer: peer.and_then(peer_key) };
        let before = self.total.fetch_add(1, Ordering::Relaxed);
        let peer_total = permit.peer.map_or(0, |peer| {
            let mut by_peer = self.by_peer();
            let count = by_peer.entry(peer).or_default();
            *count = count.saturating_add(1);
            *count
        });
        if peer_total > self.max_per_peer(limits) {
            return Err(LimitReached::Peer);
        }
        if before >= self.max(limits) && !self.evict_idle() {
            return Err(LimitReached::All);
        }
        Ok(permit)
    }

    /// Returns whether more than half of the limit is in use. Idle keep-alive connections should then
    /// park, where they can be evicted.
    pub fn is_near_limit(&self, limits: &Limits) -> bool {
        self.connections() > self.max(limits) / 2
    }

    fn max(&self, limits: &Limits) -> usize {
        limits.max_connections.min(self.max_by_descriptors)
    }

    /// Returns the configured limit, reduced in proportion where there are fewer file descriptors than
    /// `max_connections`: else one peer could take them all.
    fn max_per_peer(&self, limits: &Limits) -> usize {
        let (all, max) = (limits.max_connections.max(1), self.max(limits));
        limits.max_connections_per_peer.saturating_mul(max).div_ceil(all)
    }

    /// Evicts the connection that has been parked longest. Returns `false` if none is parked.
    pub fn evict_idle(&self) -> bool {
        let has_parked = self.parked.load(Ordering::Relaxed) > 0;
        if has_parked {
            self.eviction.notify_one();
        }
        has_parked
    }

    /// Marks this connection as parked and waits until it is evicted.
    pub async fn evicted(&self) {
        struct Parked<'r>(&'r ConnectionLimit);
        impl Drop for Parked<'_> {
            fn drop(&mut self) {
                self.0.parked.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.parked.fetch_add(1, Ordering::Relaxed);
        let _parked = Parked(self);
        self.eviction.notified().await;
    }

    /// Returns the number of connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    /// Returns the number of parked connections.
    #[cfg(test)]
    pub(super) fn parked(&self) -> usize {
        self.parked.load(Ordering::Relaxed)
    }

    /// Returns the number of peers with a connection.
    #[cfg(test)]
    pub(super) fn peers(&self) -> usize {
        self.by_peer().len()
    }

    fn by_peer(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.by_peer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.limit.total.fetch_sub(1, Ordering::Relaxed);
        let Some(peer) = self.peer else { return };
        let mut by_peer = self.limit.by_peer();
        if let Some(count) = by_peer.get_mut(&peer) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                by_peer.remove(&peer);
            }
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
    fn connections_of_one_peer_are_limited() {
        let limit = Arc::new(ConnectionLimit::for_descriptors(1024));
        let try_acquire = |peer: &str| limit.try_acquire(Some(peer.parse().unwrap()), &limits());
        let one = try_acquire("2001:db8::1").unwrap();
        let _two = try_acquire("2001:db8::2").unwrap();
        assert_eq!(try_acquire("2001:db8::3").unwrap_err(), LimitReached::Peer);
        let _three = try_acquire("192.0.2.1").unwrap();
        assert_eq!(try_acquire("192.0.2.2").unwrap_err(), LimitReached::All);
        drop(one);
        assert!(try_acquire("2001:db8::3").is_ok());
        assert_eq!(limit.connections(), 2);
    }

    #[test]
    fn idle_connection_is_evicted_for_a_new_one() {
        let limit = Arc::new(ConnectionLimit::for_descriptors(1024));
        let _permits: Vec<_> =
            (0..3).map(|_| limit.try_acquire(None, &limits()).unwrap()).collect();
        let mut parked = Box::pin(limit.evicted());
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(parked.as_mut().poll(&mut cx).is_pending());
        assert!(limit.try_acquire(None, &limits()).is_ok());
        assert!(parked.as_mut().poll(&mut cx).is_ready());
        drop(parked);
        assert!(limit.try_acquire(None, &limits()).is_err());
    }

    #[test]
    fn limit_is_near_when_more_than_half_is_in_use() {
        let limit = Arc::new(ConnectionLimit::for_descriptors(1024));
        let limits = Limits { max_connections: 4, ..Limits::default() };
        let mut permits = Vec::new();
        for is_near_limit in [false, false, true, true] {
            permits.push(limit.try_acquire(None, &limits).unwrap());
            assert_eq!(limit.is_near_limit(&limits), is_near_limit, "{}", permits.len());
        }
    }

    #[test]
    fn descriptors_are_reserved_for_upstreams() {
        assert_eq!(ConnectionLimit::for_descriptors(64).max_by_descriptors, 16);
        assert_eq!(ConnectionLimit::for_descriptors(1024).max_by_descriptors, 496);
        assert_eq!(ConnectionLimit::for_descriptors(20_000).max_by_descriptors, 17_440);
        let limit = Arc::new(ConnectionLimit::for_descriptors(36));
        let limits = Limits::default();
        let _permits =
            [limit.try_acquire(None, &limits).unwrap(), limit.try_acquire(None, &limits).unwrap()];
        assert_eq!(limit.try_acquire(None, &limits).unwrap_err(), LimitReached::All);
    }
    #[test]
    fn one_peer_has_its_share_of_fewer_connections_than_configured() {
        let limit = Arc::new(ConnectionLimit::for_descriptors(64)); // 16 connections
        let limits =
            Limits { max_connections: 100, max_connections_per_peer: 25, ..Limits::default() };
        let peer = || limit.try_acquire(Some([192, 0, 2, 1].into()), &limits);
        let _permits: Vec<_> = (0..4).map(|_| peer().unwrap()).collect();
        assert_eq!(peer().unwrap_err(), LimitReached::Peer);
    }
}
