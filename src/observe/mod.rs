//! What happened, counted and said once.
//!
//! An exchange has one [`Outcome`]. When its answer is over it is handed to the [`Observer`], which
//! counts it and writes its line. Counters are exact; of the lines for unsigned requests only the
//! first [`UNSIGNED_LINES`] of a second are written, so that a flood does not fill a disk.

mod line;
mod metrics;
mod sink;

use std::{
    net::IpAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use hyper::{Method, Uri};

pub use line::Look;
pub use metrics::{Loading, Metrics, RouteCounters, Standing};
pub use sink::Sink;

use crate::forward::Failure;
use crate::gate::{Proven, Refusal};

/// How many lines of unsigned requests are written in one second.
pub const UNSIGNED_LINES: u32 = 100;

/// One exchange. It is filled in as the exchange goes, and told at its end.
#[derive(Debug)]
pub struct Outcome {
    /// Its number since the start.
    pub number: u64,
    /// Who connected; none over a Unix socket.
    pub peer: Option<IpAddr>,
    /// The request's method.
    pub method: Method,
    /// The request's target; only its path is told, never the query.
    pub target: Uri,
    /// The route's counters, where one was found.
    pub route: Option<std::sync::Arc<RouteCounters>>,
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

/// Counts outcomes and writes their lines.
#[derive(Debug)]
pub struct Observer {
    /// The counters.
    pub metrics: Metrics,
    sink: Option<Sink>,
    /// Tells the lines of one start of the gate from those of another.
    start: u32,
    number: AtomicU64,
    unsigned: Throttle,
}

impl Observer {
    /// Counts into `metrics`, and writes to `sink` where there is one.
    #[must_use]
    pub fn new(metrics: Metrics, sink: Option<Sink>) -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let start = now.map_or(0, |now| now.subsec_nanos() ^ std::process::id().rotate_left(16));
        let unsigned = Throttle::default();
        Self { metrics, sink, start, number: AtomicU64::new(0), unsigned }
    }

    /// The next exchange's number.
    pub fn next_number(&self) -> u64 {
        self.number.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts the outcome and writes its line.
    pub fn record(&self, outcome: &Outcome) {
        let duration = outcome.began.elapsed();
        self.metrics.count(outcome, duration);
        if let Some(sink) = &self.sink
            && self.is_told(outcome)
            && tracing::enabled!(tracing::Level::INFO)
        {
            sink.write(&line::written(outcome, duration, self.start, sink.look()));
        }
    }

    /// Counts what could not be read as HTTP at all.
    pub fn unreadable(&self) {
        self.metrics.unreadable();
    }

    /// The text that Prometheus reads.
    #[must_use]
    pub fn text(&self) -> String {
        self.metrics.text(self.sink.as_ref().map_or(0, Sink::dropped))
    }

    fn is_told(&self, outcome: &Outcome) -> bool {
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
