//! The `[limits]` table, and the three limiters that enforce its totals.
//!
//! Each limiter counts for the whole process; each permit releases its share on drop.

mod connections;
mod count;
mod memory;
mod peer;

use std::time::Duration;

pub use connections::{ConnectionLimit, ConnectionPermit, LimitReached};
pub use count::{CountLimit, CountPermit};
pub use memory::{MemoryBudget, Reservation};

/// `[limits]`: bounds on one connection, one request and the whole process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Maximum concurrent client connections. Beyond it, a new connection evicts an idle one or gets 503.
    pub max_connections: usize,
    /// Maximum concurrent connections from one IPv4 address or IPv6 /64. Default: a quarter of
    /// `max_connections`.
    pub max_connections_per_peer: usize,
    /// Maximum concurrent requests to apps: counted from after the judgement, in `Forwarder::send`, until
    /// the end of the app's response.
    pub max_in_flight: usize,
    /// Maximum bytes of request bodies in memory, all requests together.
    pub max_buffered_bytes: u64,
    /// Maximum bytes of a request head: request line and headers together.
    pub max_head_bytes: usize,
    /// Maximum header fields in one request.
    pub max_headers: usize,
    /// Maximum time from the first byte of a head to its end.
    pub head_timeout: Duration,
    /// Maximum time that a connection waits for the first byte of a request.
    pub idle_timeout: Duration,
    /// Maximum time from the end of the head to the end of the body.
    pub body_timeout: Duration,
    /// Minimum average rate of a body in bytes per second; 0 disables the check.
    pub min_body_rate: u64,
    /// Maximum time of one attempt to connect to the upstream.
    pub connect_timeout: Duration,
    /// Time during which a refused connection is retried, for an app that restarts.
    pub connect_retry: Duration,
    /// Maximum time from admission to the head of the app's response. Twilio gives up after 15 s.
    pub response_timeout: Duration,
    /// Maximum pause within the app's response.
    pub response_idle_timeout: Duration,
    /// Maximum time that an unused upstream connection is kept. Shorter than gunicorn's 2 s and Node's 5 s,
    /// so that the app is never the first to close.
    pub upstream_idle_timeout: Duration,
    /// Maximum unused upstream connections of the whole process. Default: `max_in_flight`, so that a
    /// connection is closed only when it was not in use for `upstream_idle_timeout`.
    pub upstream_idle_connections: usize,
    /// Maximum time without data in either direction of a WebSocket tunnel.
    pub tunnel_idle_timeout: Duration,
    /// Time from the stop signal to the last accept, for a load balancer to notice.
    pub drain_delay: Duration,
    /// Maximum time for requests in flight to finish after the last accept.
    pub drain_timeout: Duration,
    /// Maximum time for WebSocket tunnels to finish after the last accept.
    pub tunnel_drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 10_240,
            max_connections_per_peer: 2_560,
            max_in_flight: 1024,
            max_buffered_bytes: 64 * 1024 * 1024,
            max_head_bytes: 32 * 1024,
            max_headers: 100,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(10),
            min_body_rate: 1024,
            connect_timeout: Duration::from_secs(3),
            connect_retry: Duration::from_secs(1),
            response_timeout: Duration::from_secs(14),
            response_idle_timeout: Duration::from_secs(30),
            upstream_idle_timeout: Duration::from_secs(1),
            upstream_idle_connections: 1024,
            tunnel_idle_timeout: Duration::from_secs(300),
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(20),
            tunnel_drain_timeout: Duration::from_secs(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future,
        net::IpAddr,
        pin::Pin,
        sync::Arc,
        task::{Context, Waker},
    };

    use proptest::prelude::*;

    use super::*;

    /// A step that a connection or a request takes with the limiters.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Connect(usize),
        Park,
        /// Polls every parked connection; those that are evicted leave.
        Poll,
        Evict,
        Begin {
            max: usize,
        },
        Reserve {
            body_len: u64,
            signed: bool,
            peer: usize,
        },
        Grow {
            index: usize,
            bytes: u64,
        },
        Disconnect(usize),
        Unpark(usize),
        End(usize),
        Release(usize),
    }

    /// The limiters and everything that is held of them.
    struct Process {
        connections: Arc<ConnectionLimit>,
        in_flight: Arc<CountLimit>,
        memory: Arc<MemoryBudget>,
        permits: Vec<ConnectionPermit>,
        parked: Vec<Pin<Box<dyn Future<Output = ()>>>>,
        requests: Vec<CountPermit>,
        /// Reservations and their bytes.
        bodies: Vec<(Reservation, u64)>,
    }

    const PEERS: [&str; 6] =
        ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "2001:db8:1::1", "127.0.0.1"];
    const MAX_BYTES: u64 = 1 << 20;

    fn step() -> impl Strategy<Value = Step> {
        let index = || any::<usize>();
        prop_oneof![
            4 => index().prop_map(Step::Connect),
            2 => Just(Step::Park),
            1 => Just(Step::Poll),
            1 => Just(Step::Evict),
            3 => (0..6_usize).prop_map(|max| Step::Begin { max }),
            3 => (0..40_000_u64, any::<bool>(), index())
                .prop_map(|(body_len, signed, peer)| Step::Reserve { body_len, signed, peer }),
            4 => (index(), 0..MAX_BYTES / 2).prop_map(|(index, bytes)| Step::Grow { index, bytes }),
            2 => index().prop_map(Step::Disconnect),
            1 => index().prop_map(Step::Unpark),
            2 => index().prop_map(Step::End),
            2 => index().prop_map(Step::Release),
        ]
    }

    impl Process {
        fn new() -> Self {
            Self {
                connections: Arc::new(ConnectionLimit::for_descriptors(64)),
                in_flight: Arc::default(),
                memory: Arc::default(),
                permits: Vec::new(),
                parked: Vec::new(),
                requests: Vec::new(),
                bodies: Vec::new(),
            }
        }

        fn take(&mut self, step: Step, limits: &Limits) {
            match step {
                Step::Connect(peer) => {
                    let peer: Option<IpAddr> =
                        PEERS.get(peer % 7).map(|peer| peer.parse().unwrap());
                    self.permits.extend(self.connections.try_acquire(peer, limits).ok());
                }
                Step::Park => {
                    let limit = Arc::clone(&self.connections);
                    self.parked.push(Box::pin(async move { limit.evicted().await }));
                    self.poll();
                }
                Step::Poll => self.poll(),
                Step::Evict => {
                    let evicts = self.connections.evict_idle();
                    assert_eq!(evicts, !self.parked.is_empty());
                }
                Step::Begin { max } => self.requests.extend(self.in_flight.try_acquire(max)),
                Step::Reserve { body_len, signed, peer } => {
                    let peer = PEERS.get(peer % 7).map(|peer| peer.parse().unwrap());
                    let body = self.memory.reserve(MAX_BYTES, body_len, signed, peer);
                    self.bodies.push((body, 0));
                }
                Step::Grow { index, bytes } => {
                    let count = self.bodies.len().max(1);
                    if let Some((body, size)) =
                        self.bodies.get_mut(index.checked_rem(count).unwrap_or(0))
                    {
                        let _may_exceed = body.try_grow(bytes);
                        *size = size.saturating_add(bytes);
                    }
                }
                Step::Disconnect(index) => drop(remove(&mut self.permits, index)),
                Step::Unpark(index) => drop(remove(&mut self.parked, index)),
                Step::End(index) => drop(remove(&mut self.requests, index)),
                Step::Release(index) => drop(remove(&mut self.bodies, index)),
            }
        }

        fn poll(&mut self) {
            let mut cx = Context::from_waker(Waker::noop());
            self.parked.retain_mut(|parked| parked.as_mut().poll(&mut cx).is_pending());
        }

        fn assert_counts(&self) {
            assert_eq!(self.connections.connections(), self.permits.len());
            assert_eq!(self.connections.parked(), self.parked.len());
            assert_eq!(self.in_flight.count(), self.requests.len());
            let bytes: u64 = self.bodies.iter().map(|(_, size)| size).sum();
            assert_eq!(self.memory.reserved_bytes(), bytes);
        }
    }

    fn remove<T>(from: &mut Vec<T>, index: usize) -> Option<T> {
        let count = from.len().max(1);
        (!from.is_empty()).then(|| from.swap_remove(index.checked_rem(count).unwrap_or(0)))
    }

    proptest! {
        /// Also that a refused attempt leaves no count behind.
        #[test]
        fn all_counts_are_exact_and_return_to_zero(
            steps in proptest::collection::vec(step(), 0..120),
            order in any::<u8>(),
        ) {
            let limits =
                Limits { max_connections: 6, max_connections_per_peer: 2, ..Limits::default() };
            let mut process = Process::new();
            for step in steps {
                process.take(step, &limits);
                process.assert_counts();
            }
            for group in 0..4_u8 {
                match group.wrapping_add(order) % 4 {
                    0 => process.permits.clear(),
                    1 => process.parked.clear(),
                    2 => process.requests.clear(),
                    _ => process.bodies.clear(),
                }
                process.assert_counts();
            }
            prop_assert_eq!((process.connections.peers(), process.memory.peers()), (0, 0));
            // Everything is available again, whatever happened before.
            let peer = Some(PEERS[0].parse().unwrap());
            let _two: Vec<_> =
                (0..2).map(|_| process.connections.try_acquire(peer, &limits).unwrap()).collect();
            prop_assert!(process.in_flight.try_acquire(1).is_some());
            prop_assert!(process.memory.reserve(MAX_BYTES, 1, true, None).try_grow(MAX_BYTES));
        }
    }
}
