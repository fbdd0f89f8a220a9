//! Logs, metrics and traces.
//!
//! Each exchange has one [`Outcome`]. At its end [`Observer::record`] counts it and writes its log
//! line (and, with the feature `otlp`, exports its span). Counters are exact. Log lines of requests
//! without a signature are limited to [`MAX_UNSIGNED_LINES`] per second, so that a flood of them does
//! not fill a disk.

mod access_log;
mod explainer;
mod log_writer;
mod metrics;
mod outcome;
mod question;
mod route_counters;
#[cfg(feature = "otlp")]
mod traces;
mod verdict;

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

pub use access_log::LogFormat;
pub use explainer::{ExplainMetrics, cure_line};
pub use log_writer::LogWriter;
pub use metrics::{Gauges, Metrics, ReloadMetrics};
pub use outcome::{Details, Outcome};
pub use question::{Knowledge, Question};
pub use route_counters::RouteCounters;
#[cfg(feature = "otlp")]
pub use traces::{Spans, parent};
pub use verdict::Verdict;

use crate::gate::Refusal;
use crate::http1::HeadError;
use explainer::{Explainer, Job};
use outcome::ExchangeId;

/// Maximum log lines per second for requests without a signature.
pub const MAX_UNSIGNED_LINES: u32 = 100;

/// Destinations of outcomes besides the counters.
#[derive(Clone, Debug, Default)]
pub struct Exporters {
    /// Log lines.
    pub log: Option<LogWriter>,
    /// Spans.
    #[cfg(feature = "otlp")]
    pub spans: Option<Spans>,
}

/// Counts outcomes and exports them.
#[derive(Debug)]
pub struct Observer {
    /// The counters.
    pub metrics: Metrics,
    exporters: Exporters,
    explainer: Option<Explainer>,
    /// Makes exchange ids unique across restarts.
    start: u32,
    next_number: AtomicU64,
    unsigned: Throttle,
}

impl Observer {
    /// Creates an observer that counts into `metrics` and writes to `exporters`. Where there is a log,
    /// refusals are explained in it.
    ///
    /// # Errors
    /// When the thread that explains cannot be started.
    pub fn new(metrics: Metrics, exporters: Exporters) -> io::Result<Self> {
        let explainer = |log: &LogWriter| Explainer::start(log.clone(), metrics.explain.clone());
        let explainer = exporters.log.as_ref().map(explainer).transpose()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let start = now.map_or(0, |now| now.subsec_nanos() ^ std::process::id().rotate_left(16));
        let (next_number, unsigned) = Default::default();
        Ok(Self { metrics, exporters, explainer, start, next_number, unsigned })
    }

    /// Returns the sequence number of the next exchange.
    pub fn next_number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts the outcome, and logs and exports it unless the throttle applies.
    pub fn record(&self, outcome: &mut Outcome) {
        let duration = outcome.began.elapsed();
        self.metrics.record(outcome, duration);
        if !self.should_log(outcome) {
            return;
        }
        let id = ExchangeId { start: self.start, number: outcome.number };
        if let Some(log) = &self.exporters.log
            && tracing::enabled!(tracing::Level::INFO)
        {
            let line = access_log::format(outcome, duration, id, log.format());
            let question = outcome.details.as_mut().and_then(|details| details.question.take());
            match (question, &self.explainer) {
                (Some(question), Some(explainer)) => {
                    explainer.submit(Job { line, head: Arc::clone(&outcome.head), question });
                }
                _ => log.write(&line),
            }
        }
        #[cfg(feature = "otlp")]
        if let Some(spans) = &self.exporters.spans {
            spans.export(outcome, duration, id);
        }
    }

    /// Waits until queued log lines and spans are written, two seconds at most for each.
    pub fn flush(&self) {
        self.explainer.as_ref().inspect(|explainer| explainer.flush());
        self.exporters.log.as_ref().inspect(|log| log.flush());
        #[cfg(feature = "otlp")]
        self.exporters.spans.as_ref().inspect(|spans| spans.flush());
    }

    /// Counts input that could not be parsed as HTTP. It has no log line.
    pub fn record_unreadable(&self, error: HeadError) {
        self.metrics.record_unreadable(error);
    }

    /// Returns all metrics in the Prometheus text format.
    #[must_use]
    pub fn metrics_text(&self) -> String {
        #[cfg(feature = "otlp")]
        self.metrics.record_dropped_spans(self.exporters.spans.as_ref().map_or(0, Spans::dropped));
        self.metrics.text(self.exporters.log.as_ref().map_or(0, LogWriter::dropped))
    }

    fn should_log(&self, outcome: &Outcome) -> bool {
        !is_unsigned(&outcome.verdict) || self.unsigned.allows(outcome.began)
    }
}

/// Whether a request had no signature, which anybody can send.
fn is_unsigned(verdict: &Verdict) -> bool {
    let reason = match verdict {
        Verdict::Refused(reason) => Some(*reason),
        Verdict::Admitted(proven) => proven.unenforced(),
        Verdict::Failed(..) | Verdict::Malformed(_) | Verdict::Abandoned | Verdict::Doctor => None,
    };
    reason == Some(Refusal::MissingSignature)
}

/// Allows [`MAX_UNSIGNED_LINES`] events in each window of one second.
#[derive(Debug, Default)]
struct Throttle(Mutex<Option<(Instant, u32)>>);

impl Throttle {
    fn allows(&self, now: Instant) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let current = state
            .filter(|(since, _)| now.saturating_duration_since(*since) < Duration::from_secs(1));
        let (since, count) = current.unwrap_or((now, 0));
        *state = Some((since, count.saturating_add(1)));
        count < MAX_UNSIGNED_LINES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_lines_of_unsigned_requests_are_limited_per_second() {
        let throttle = Throttle::default();
        let now = Instant::now();
        let allowed = (0..1000).filter(|_| throttle.allows(now)).count();
        assert_eq!(allowed, MAX_UNSIGNED_LINES as usize);
        assert!(throttle.allows(now + Duration::from_secs(1)));
    }
}
