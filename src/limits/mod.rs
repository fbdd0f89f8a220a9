//! The `[limits]` table, and the three limiters that enforce its totals.
//!
//! Each limiter is one count for the whole process; each permit gives back on drop what it took.

mod connections;
mod in_flight;
mod memory;

use std::time::Duration;

pub use connections::{ConnectionLimit, ConnectionPermit, LimitReached};
pub use in_flight::{InFlightLimit, InFlightPermit};
pub use memory::{MemoryBudget, Reservation};

/// `[limits]`: what one connection, one request and the whole gate may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once; beyond it new ones wait in the listener's queue.
    pub max_connections: usize,
    /// Connections at once from one address, or from one /64 of IPv6: a quarter of all.
    pub max_connections_per_peer: usize,
    /// Requests at once between their head and the end of their answer.
    pub max_in_flight: usize,
    /// Bytes of bodies held at once, all requests together.
    pub max_buffered_bytes: u64,
    /// Bytes of a request line and its headers together.
    pub max_head_bytes: usize,
    /// Header fields in one request.
    pub max_headers: usize,
    /// From the first byte of a head to its end.
    pub head_timeout: Duration,
    /// How long a connection may wait for the first byte of a request.
    pub idle_timeout: Duration,
    /// From the end of the head to the end of the body.
    pub body_timeout: Duration,
    /// Bytes per second that a body must arrive with, on average; 0: no such bound.
    pub min_body_rate: u64,
    /// How long one attempt to connect to the upstream may take.
    pub connect_timeout: Duration,
    /// How long a refused connection is tried again, as while an app restarts.
    pub connect_retry: Duration,
    /// From the proof to the head of the app's answer. Twilio gives up after 15 s.
    pub response_timeout: Duration,
    /// The longest pause inside the app's answer.
    pub response_idle_timeout: Duration,
    /// How long an unused upstream connection is kept: shorter than gunicorn's 2 s and Node's 5 s,
    /// so that it is never the app that closes first.
    pub upstream_idle_timeout: Duration,
    /// Unused upstream connections kept, per worker and upstream.
    pub upstream_idle_connections: usize,
    /// The longest silence in a tunnelled WebSocket, both ways.
    pub tunnel_idle_timeout: Duration,
    /// From being told to stop to no longer accepting, for a balancer to notice.
    pub drain_delay: Duration,
    /// What is in flight when the gate stops accepting has this long to end.
    pub drain_timeout: Duration,
    /// The same for tunnelled WebSockets.
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
            upstream_idle_connections: 128,
            tunnel_idle_timeout: Duration::from_secs(300),
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(20),
            tunnel_drain_timeout: Duration::from_secs(10),
        }
    }
}
