//! The record of one exchange, from which the log line, the counters and the span are made.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{question::Question, route_counters::RouteCounters, verdict::Verdict};
use crate::http1::RequestHead;
use crate::upstream::UpstreamError;

/// The record of one exchange, filled in while it runs and recorded at its end.
#[derive(Debug)]
pub struct Outcome {
    /// Sequence number since the process started.
    pub number: u64,
    /// The client's IP address as text; `None` over a Unix socket.
    pub peer: Option<Arc<str>>,
    /// The request's head. Only the path of its target is logged, never the query.
    pub head: Arc<RequestHead>,
    /// The route's counters, if a route was found.
    pub route: Option<Arc<RouteCounters>>,
    /// The result.
    pub verdict: Verdict,
    /// Status code sent to the client; 0 if the client disconnected before a response.
    pub status: u16,
    /// Bytes of the request body.
    pub received: u64,
    /// Bytes of the response body.
    pub sent: u64,
    /// Time at which the request head was complete.
    pub began: Instant,
    /// Time from admission to the head of the app's response.
    pub upstream: Option<Duration>,
    /// Details of a refusal or a failure, which few exchanges have.
    pub details: Option<Box<Details>>,
    /// The client's `traceparent`; invalid when absent or malformed.
    #[cfg(feature = "otlp")]
    pub parent: opentelemetry::trace::SpanContext,
}

/// Details of a refusal or a failure, for the operator.
#[derive(Debug, Default)]
pub struct Details {
    /// The account that no token is configured for.
    pub account: Option<Box<str>>,
    /// The refused request, if it is to be explained.
    pub question: Option<Question>,
    /// The failure of the app.
    pub error: Option<UpstreamError>,
}

impl Outcome {
    /// Adds to the bytes of the response body.
    pub fn add_sent(&mut self, count: usize) {
        self.sent = self.sent.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }
}

/// Unique id of an exchange: eight hex digits for the process start, then the sequence number.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExchangeId {
    pub(super) start: u32,
    pub(super) number: u64,
}

impl fmt::Display for ExchangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{:x}", self.start, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exchange_id_is_hexadecimal() {
        let id = |start, number| ExchangeId { start, number }.to_string();
        assert_eq!(id(0xABC, 0), "00000abc-0");
        assert_eq!(id(u32::MAX, 0x10), "ffffffff-10");
        assert_eq!(id(0, u64::MAX), "00000000-ffffffffffffffff");
    }
}
