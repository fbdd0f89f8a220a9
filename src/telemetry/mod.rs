//! What happened, counted and said once.
//!
//! An exchange has one [`Outcome`]. When its answer is over it is handed to the [`Observer`], which
//! counts it and writes its line (and, with the feature `otlp`, sends its span). Counters are exact;
//! of unsigned requests only the first [`UNSIGNED_LINES`] of a second are told, so that a flood does
//! not fill a disk.

mod access_log;
mod log_writer;
mod metrics;
#[cfg(feature = "otlp")]
mod traces;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

pub use access_log::LogFormat;
pub use log_writer::LogWriter;
pub use metrics::{Gauges, Metrics, ReloadMetrics, RouteCounters};
#[cfg(feature = "otlp")]
pub use traces::{Spans, parent};

use crate::gate::{Proven, Refusal};
use crate::http1::RequestHead;
use crate::upstream::Failure;

/// How many unsigned requests are told in one second.
pub const UNSIGNED_LINES: u32 = 100;

/// One exchange. It is filled in as the exchange goes, and told at its end.
#[derive(Debug)]
pub struct Outcome {
    /// Its number since the start.
    pub number: u64,
    /// The address of who connected, as text; none over a Unix socket.
    pub peer: Option<Arc<str>>,
    /// The request's head; of its target only the path is told, never the query.
    pub head: Arc<RequestHead>,
    /// The route's counters, where one was found.
    pub route: Option<Arc<RouteCounters>>,
    /// What became of it.
    pub verdict: Verdict,
    /// What the sender was told; zero where it left before.
    pub status: u16,
    /// Bytes of the request's body.
    pub received: u64,
    /// Bytes of the answer's body.
    pub sent: u64,
    /// When its head was complete.
    pub began: Instant,
    /// From the proof to the beginning of the app's answer.
    pub upstream: Option<Duration>,
    /// Who called, where a trace is kept; not valid otherwise.
    #[cfg(feature = "otlp")]
    pub parent: opentelemetry::trace::SpanContext,
}

impl Outcome {
    /// Adds to the bytes of the response's body.
    pub fn add_sent(&mut self, count: usize) {
        self.sent = self.sent.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }
}

/// What became of a request.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// The app answered.
    Admitted(Proven),
    /// It was turned away.
    Refused(Refusal),
    /// It was proven, but there is no answer, or not all of one.
    Failed(Proven, Failure),
    /// It was no proper HTTP.
    Malformed(&'static str),
    /// The sender left before there was an answer.
    Abandoned,
}

impl Verdict {
    /// Its name in logs and counters.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Admitted(_) => "admitted",
            Self::Refused(_) => "refused",
            Self::Failed(..) => "failed",
            Self::Malformed(_) => "malformed",
            Self::Abandoned => "abandoned",
        }
    }

    /// Why, where it was not admitted.
    #[must_use]
    pub const fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Admitted(_) | Self::Abandoned => None,
            Self::Refused(reason) => Some(reason.label()),
            Self::Failed(_, failure) => Some(failure.label()),
            Self::Malformed(what) => Some(what),
        }
    }

    const fn proven(&self) -> Option<&Proven> {
        match self {
            Self::Admitted(proven) | Self::Failed(proven, _) => Some(proven),
            Self::Refused(_) | Self::Malformed(_) | Self::Abandoned => None,
        }
    }
}

/// Where outcomes are told beside the counters.
#[derive(Clone, Debug, Default)]
pub struct Exporters {
    /// As lines.
    pub sink: Option<LogWriter>,
    /// As spans.
    #[cfg(feature = "otlp")]
    pub spans: Option<Spans>,
}

/// Counts outcomes and tells them.
#[derive(Debug)]
pub struct Observer {
    /// The counters.
    pub metrics: Metrics,
    exporters: Exporters,
    /// Tells the lines of one start of the gate from those of another.
    start: u32,
    number: AtomicU64,
    unsigned: Throttle,
}

impl Observer {
    /// Counts into `metrics`, and tells the exporters that there are.
    #[must_use]
    pub fn new(metrics: Metrics, exporters: Exporters) -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let start = now.map_or(0, |now| now.subsec_nanos() ^ std::process::id().rotate_left(16));
        let unsigned = Throttle::default();
        Self { metrics, exporters, start, number: AtomicU64::new(0), unsigned }
    }

    /// The next exchange's number.
    pub fn next_number(&self) -> u64 {
        self.number.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts the outcome and tells it.
    pub fn record(&self, outcome: &Outcome) {
        let duration = outcome.began.elapsed();
        self.metrics.count(outcome, duration);
        if !self.should_log(outcome) {
            return;
        }
        if let Some(sink) = &self.exporters.sink
            && tracing::enabled!(tracing::Level::INFO)
        {
            sink.write(&access_log::format(outcome, duration, self.start, sink.look()));
        }
        #[cfg(feature = "otlp")]
        if let Some(spans) = &self.exporters.spans {
            spans.put(outcome, duration, self.start);
        }
    }

    /// Waits for what was told to get out, for a moment at most.
    pub fn flush(&self) {
        self.exporters.sink.as_ref().inspect(|sink| sink.flush());
        #[cfg(feature = "otlp")]
        self.exporters.spans.as_ref().inspect(|spans| spans.flush());
    }

    /// Counts what could not be read as HTTP at all.
    pub fn unreadable(&self) {
        self.metrics.unreadable();
    }

    /// The text that Prometheus reads.
    #[must_use]
    pub fn text(&self) -> String {
        #[cfg(feature = "otlp")]
        self.metrics.note_spans(self.exporters.spans.as_ref().map_or(0, Spans::dropped));
        self.metrics.text(self.exporters.sink.as_ref().map_or(0, LogWriter::dropped))
    }

    fn should_log(&self, outcome: &Outcome) -> bool {
        !matches!(outcome.verdict, Verdict::Refused(Refusal::MissingSignature))
            || self.unsigned.lets_through(outcome.began)
    }
}

/// Lets through so many in a second.
#[derive(Debug, Default)]
struct Throttle(Mutex<Option<(Instant, u32)>>);

impl Throttle {
    fn lets_through(&self, now: Instant) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let current = state
            .filter(|(since, _)| now.saturating_duration_since(*since) < Duration::from_secs(1));
        let (since, count) = current.unwrap_or((now, 0));
        *state = Some((since, count.saturating_add(1)));
        count < UNSIGNED_LINES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_of_in_part() {
        let throttle = Throttle::default();
        let now = Instant::now();
        let told = (0..1000).filter(|_| throttle.lets_through(now)).count();
        assert_eq!(told, UNSIGNED_LINES as usize);
        assert!(throttle.lets_through(now + Duration::from_secs(1)));
    }
}
