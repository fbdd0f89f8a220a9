//! The state that the connections of one worker share.

use std::{net::IpAddr, sync::Arc};

use tokio::sync::{Mutex, mpsc};

use super::state::Shared;
use crate::limits::{Limits, Reservation};
use crate::upstream::Forwarder;

/// The state that the connections of one worker share.
#[derive(Debug)]
pub struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) forwarder: Forwarder,
    /// Held while a request is judged whose verification costs as much as dozens of others.
    pub(super) costly_turn: Mutex<()>,
}

impl Worker {
    /// `alive` is dropped with the last connection and the last request that is being sent.
    pub(super) fn new(shared: Arc<Shared>, alive: mpsc::Sender<()>) -> Self {
        let (in_flight, idle) = (&shared.in_flight_limit, &shared.idle_upstream_limit);
        let forwarder = Forwarder::new(Arc::clone(in_flight), Arc::clone(idle), alive);
        Self { shared, forwarder, costly_turn: Mutex::default() }
    }

    /// Reserves memory for what is neither a body nor proven: a large head, an HTTP/2 stream.
    pub(super) fn reserve(
        &self,
        bytes: usize,
        peer: Option<IpAddr>,
        limits: &Limits,
    ) -> Option<Reservation> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let budget = &self.shared.memory_budget;
        let mut reservation = budget.reserve(limits.max_buffered_bytes, bytes, false, peer);
        reservation.try_grow(bytes).then_some(reservation)
    }
}
