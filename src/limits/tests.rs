//! Property of all limiters together: their counts are those of the permits that are held.

use std::{
    future::Future,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Waker},
};

use proptest::prelude::*;

use super::*;

/// What a connection or a request does to the limiters.
#[derive(Clone, Debug)]
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
    in_flight: Arc<InFlightLimit>,
    memory: Arc<MemoryBudget>,
    permits: Vec<ConnectionPermit>,
    parked: Vec<Pin<Box<dyn Future<Output = ()>>>>,
    requests: Vec<InFlightPermit>,
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
        3 => (0..40_000_u64, any::<bool>())
            .prop_map(|(body_len, signed)| Step::Reserve { body_len, signed }),
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

    fn take(&mut self, step: &Step, limits: &Limits) {
        match *step {
            Step::Connect(peer) => {
                let peer: Option<IpAddr> = PEERS.get(peer % 7).map(|peer| peer.parse().unwrap());
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
            Step::Reserve { body_len, signed } => {
                self.bodies.push((self.memory.reserve(MAX_BYTES, body_len, signed), 0));
            }
            Step::Grow { index, bytes } => {
                let at = index.checked_rem(self.bodies.len());
                if let Some((body, size)) = at.and_then(|at| self.bodies.get_mut(at)) {
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
        assert_eq!(self.in_flight.in_flight(), self.requests.len());
        let bytes: u64 = self.bodies.iter().map(|(_, size)| size).sum();
        assert_eq!(self.memory.reserved_bytes(), bytes);
    }
}

fn remove<T>(from: &mut Vec<T>, index: usize) -> Option<T> {
    index.checked_rem(from.len()).map(|at| from.swap_remove(at))
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
            process.take(&step, &limits);
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
        prop_assert_eq!(process.connections.peers(), 0);
        // Everything is available again, whatever happened before.
        let peer = Some(PEERS[0].parse().unwrap());
        let _two: Vec<_> =
            (0..2).map(|_| process.connections.try_acquire(peer, &limits).unwrap()).collect();
        prop_assert!(process.in_flight.try_acquire(1).is_some());
        prop_assert!(process.memory.reserve(MAX_BYTES, 1, true).try_grow(MAX_BYTES));
    }
}
