//! The counters, for Prometheus. Names and units follow its conventions.

use std::{sync::Arc, time::Duration};

use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, Result, TextEncoder, core::Collector,
    process_collector::ProcessCollector,
};

use super::{Outcome, Verdict};
use crate::gate::{Proven, Refusal};
use crate::upstream::Failure;

/// Seconds: from a refusal by the head alone to Twilio's own deadline.
const BUCKETS: [f64; 12] =
    [0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.01, 0.05, 0.25, 1.0, 2.5, 5.0, 15.0];

/// Every counter that there is.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    keys: IntCounterVec,
    candidates: IntCounterVec,
    durations: Durations,
    upstream: Histogram,
    unrouted: Arc<RouteCounters>,
    /// What is there at this moment.
    pub gauges: Gauges,
    /// How the configuration fares.
    pub reload: ReloadMetrics,
    /// Connections that were turned away, by limit.
    pub refused_connections: IntCounterVec,
    log_lines_dropped: IntCounter,
    #[cfg(feature = "otlp")]
    spans_dropped: IntCounter,
}

/// How the configuration fares.
#[derive(Clone, Debug)]
pub struct ReloadMetrics {
    /// Configurations loaded anew, by result.
    pub reloads: IntCounterVec,
    /// Whether the last reload was taken: 1 or 0.
    pub last_successful: IntGauge,
    /// When the configuration in force was loaded, in seconds since 1970.
    pub last_success: IntGauge,
    /// When certificates end, in seconds since 1970.
    pub certificate_expiry: IntGaugeVec,
}

/// What is there at this moment.
#[derive(Clone, Debug)]
pub struct Gauges {
    /// Connections from outside.
    pub connections: IntGauge,
    /// Requests that are not answered yet.
    pub in_flight: IntGauge,
    /// WebSockets.
    pub tunnels: IntGauge,
    /// Bytes of request bodies held.
    pub buffered: IntGauge,
}

/// The counters of one route, at hand without a look-up by name.
#[derive(Debug)]
pub struct RouteCounters {
    path: Box<str>,
    admitted: IntCounter,
    abandoned: IntCounter,
    refused: Vec<IntCounter>,
    failed: Vec<IntCounter>,
}

impl RouteCounters {
    /// The route's path, as configured; empty where no route was found.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    fn of(&self, verdict: &Verdict) -> Option<&IntCounter> {
        match verdict {
            Verdict::Admitted(_) => Some(&self.admitted),
            Verdict::Refused(reason) => self.refused.get(*reason as usize),
            Verdict::Failed(_, failure) => self.failed.get(*failure as usize),
            Verdict::Abandoned => Some(&self.abandoned),
            Verdict::Malformed(_) => None,
        }
    }
}

#[derive(Debug)]
struct Durations {
    admitted: Histogram,
    refused: Histogram,
    failed: Histogram,
    other: Histogram,
}

impl Durations {
    fn of(&self, verdict: &Verdict) -> &Histogram {
        match verdict {
            Verdict::Admitted(_) => &self.admitted,
            Verdict::Refused(_) => &self.refused,
            Verdict::Failed(..) => &self.failed,
            Verdict::Malformed(_) | Verdict::Abandoned => &self.other,
        }
    }
}

impl Metrics {
    /// All at zero.
    ///
    /// # Errors
    /// When a name is taken twice: a fault of this file.
    pub fn new(version: &str, commit: &str) -> Result<Self> {
        let registry = Registry::new();
        let make = Registrar(&registry);
        make.labeled_gauge("gatekeeper_build_info", "Always 1.", &["version", "commit"])?
            .with_label_values(&[version, commit])
            .set(1);
        make.add(ProcessCollector::for_self())?;
        let requests = make.counters(
            "gatekeeper_requests_total",
            "Requests, by the route's path, what became of them, and why.",
            &["route", "verdict", "reason"],
        )?;
        Ok(Self {
            unrouted: Arc::new(counters_of(&requests, "")),
            requests,
            keys: make.keys()?,
            candidates: make.candidates()?,
            durations: make.durations()?,
            upstream: make.upstream()?,
            gauges: make.gauges()?,
            reload: make.reload()?,
            refused_connections: make.refused_connections()?,
            log_lines_dropped: make.log_lines_dropped()?,
            #[cfg(feature = "otlp")]
            spans_dropped: make.spans_dropped()?,
            registry,
        })
    }

    /// The counters of the route with this path; the same ones again after a reload.
    #[must_use]
    pub fn route(&self, path: &str) -> Arc<RouteCounters> {
        Arc::new(counters_of(&self.requests, path))
    }

    pub(super) fn unreadable(&self) {
        self.requests.with_label_values(&["", "malformed", "unreadable"]).inc();
    }

    pub(super) fn count(&self, outcome: &Outcome, duration: Duration) {
        let route = outcome.route.as_ref().unwrap_or(&self.unrouted);
        match (route.of(&outcome.verdict), outcome.verdict.reason()) {
            (Some(counter), _) => counter.inc(),
            (None, reason) => {
                let labels = [route.path(), outcome.verdict.label(), reason.unwrap_or_default()];
                self.requests.with_label_values(&labels).inc();
            }
        }
        self.durations.of(&outcome.verdict).observe(duration.as_secs_f64());
        if let Some(upstream) = outcome.upstream {
            self.upstream.observe(upstream.as_secs_f64());
        }
        if let Some(proof) = outcome.verdict.proven().and_then(Proven::proof) {
            self.keys.with_label_values(&[route.path(), &proof.key]).inc();
            self.candidates.with_label_values(&[&*proof.candidate.label()]).inc();
        }
    }

    /// `dropped` is how many spans have not reached the collector so far.
    #[cfg(feature = "otlp")]
    pub(super) fn note_spans(&self, dropped: u64) {
        self.spans_dropped.inc_by(dropped.saturating_sub(self.spans_dropped.get()));
    }

    /// The text that Prometheus reads. `dropped` is what the log has lost so far.
    #[must_use]
    pub fn text(&self, dropped: u64) -> String {
        self.log_lines_dropped.inc_by(dropped.saturating_sub(self.log_lines_dropped.get()));
        let mut text = Vec::new();
        let _never_fails = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        String::from_utf8_lossy(&text).into_owned()
    }
}

fn counters_of(requests: &IntCounterVec, path: &str) -> RouteCounters {
    let of = |verdict, reason| requests.with_label_values(&[path, verdict, reason]);
    RouteCounters {
        path: path.into(),
        admitted: of("admitted", ""),
        abandoned: of("abandoned", ""),
        refused: Refusal::ALL.iter().map(|reason| of("refused", reason.label())).collect(),
        failed: Failure::ALL.iter().map(|failure| of("failed", failure.label())).collect(),
    }
}

/// Makes metrics and registers them.
struct Registrar<'r>(&'r Registry);

impl Registrar<'_> {
    fn add<C: Collector + 'static>(&self, metric: C) -> Result<()> {
        self.0.register(Box::new(metric))
    }

    fn kept<C: Collector + Clone + 'static>(&self, metric: C) -> Result<C> {
        self.add(metric.clone())?;
        Ok(metric)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter> {
        self.kept(IntCounter::new(name, help)?)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec> {
        self.kept(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge> {
        self.kept(IntGauge::new(name, help)?)
    }

    fn labeled_gauge(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec> {
        self.kept(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    fn histogram(&self, name: &str, help: &str) -> Result<Histogram> {
        let options = HistogramOpts::new(name, help).buckets(BUCKETS.to_vec());
        self.kept(Histogram::with_opts(options)?)
    }

    fn keys(&self) -> Result<IntCounterVec> {
        let help = "Proven requests, by the name of the key that signed.";
        self.counters("gatekeeper_key_matches_total", help, &["route", "key"])
    }

    fn candidates(&self) -> Result<IntCounterVec> {
        let help = "Proven requests, by the spelling of the URL that was signed.";
        self.counters("gatekeeper_candidate_matches_total", help, &["candidate"])
    }

    fn upstream(&self) -> Result<Histogram> {
        let help = "From the proof to the beginning of the app's answer.";
        self.histogram("gatekeeper_upstream_duration_seconds", help)
    }

    fn refused_connections(&self) -> Result<IntCounterVec> {
        let help = "Connections turned away, by the limit that was met.";
        self.counters("gatekeeper_connections_refused_total", help, &["reason"])
    }

    fn log_lines_dropped(&self) -> Result<IntCounter> {
        let help = "Log lines that nobody took in time.";
        self.counter("gatekeeper_log_lines_dropped_total", help)
    }

    #[cfg(feature = "otlp")]
    fn spans_dropped(&self) -> Result<IntCounter> {
        let help = "Spans that the collector did not take in time.";
        self.counter("gatekeeper_spans_dropped_total", help)
    }

    fn reload(&self) -> Result<ReloadMetrics> {
        Ok(ReloadMetrics {
            reloads: self.counters(
                "gatekeeper_reloads_total",
                "Configurations loaded anew, by result.",
                &["result"],
            )?,
            last_successful: self
                .gauge("gatekeeper_last_reload_successful", "Whether the last reload was taken.")?,
            last_success: self.gauge(
                "gatekeeper_last_reload_success_timestamp_seconds",
                "When the configuration in force was loaded.",
            )?,
            certificate_expiry: self.labeled_gauge(
                "gatekeeper_certificate_expiry_timestamp_seconds",
                "When certificates end.",
                &["certificate"],
            )?,
        })
    }

    fn durations(&self) -> Result<Durations> {
        let name = "gatekeeper_request_duration_seconds";
        let options =
            HistogramOpts::new(name, "From the end of the head to the end of the answer.");
        let all = HistogramVec::new(options.buckets(BUCKETS.to_vec()), &["verdict"])?;
        self.add(all.clone())?;
        let of = |verdict| all.with_label_values(&[verdict]);
        Ok(Durations {
            admitted: of("admitted"),
            refused: of("refused"),
            failed: of("failed"),
            other: of("other"),
        })
    }

    fn gauges(&self) -> Result<Gauges> {
        Ok(Gauges {
            connections: self.gauge("gatekeeper_connections", "Connections from outside.")?,
            in_flight: self
                .gauge("gatekeeper_requests_in_flight", "Requests that are not answered yet.")?,
            tunnels: self.gauge("gatekeeper_tunnels", "WebSockets.")?,
            buffered: self
                .gauge("gatekeeper_buffered_bytes", "Bytes of request bodies that are held.")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_keeps_its_counters_over_a_reload() {
        let metrics = Metrics::new("0", "none").unwrap();
        metrics.route("/voice").admitted.inc();
        metrics.route("/voice").admitted.inc();
        let text = metrics.text(3);
        assert!(
            text.contains(
                "gatekeeper_requests_total{reason=\"\",route=\"/voice\",verdict=\"admitted\"} 2"
            ),
            "{text}"
        );
        assert!(text.contains("gatekeeper_log_lines_dropped_total 3"), "{text}");
        assert!(text.contains("process_resident_memory_bytes"), "{text}");
    }
}
