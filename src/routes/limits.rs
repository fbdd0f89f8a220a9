//! How much, and how long. All settable, all bounded by default.

use std::time::Duration;

/// `[limits]`: what one connection, one request and the whole gate may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once; beyond it new ones wait in the listener's queue.
    pub max_connections: usize,
    /// Bytes of a request line and its headers together.
    pub max_head_bytes: usize,
    /// Header fields in one request.
    pub max_headers: usize,
    /// From the first byte awaited to the end of the head; also how long a connection may idle.
    pub head_timeout: Duration,
    /// From the end of the head to the end of the body.
    pub body_timeout: Duration,
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
    /// What is in flight when the gate is told to stop has this long to end.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 10_240,
            max_head_bytes: 32 * 1024,
            max_headers: 100,
            head_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(3),
            connect_retry: Duration::from_secs(1),
            response_timeout: Duration::from_secs(14),
            response_idle_timeout: Duration::from_secs(30),
            upstream_idle_timeout: Duration::from_secs(1),
            upstream_idle_connections: 128,
            tunnel_idle_timeout: Duration::from_secs(300),
            drain_timeout: Duration::from_secs(20),
        }
    }
}
