//! The `[limits]` table, and the three limiters that enforce its totals.
//!
//! Each limiter counts for the whole process; each permit releases its share on drop.

mod connections;
mod in_flight;
mod memory;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use connections::{ConnectionLimit, ConnectionPermit, LimitReached};
pub use in_flight::{InFlightLimit, InFlightPermit};
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
    /// Maximum unused upstream connections, per worker and upstream.
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
            upstream_idle_connections: 128,
            tunnel_idle_timeout: Duration::from_secs(300),
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(20),
            tunnel_drain_timeout: Duration::from_secs(10),
        }
    }
}
