//! Prometheus metrics. Names and units follow its conventions
//! (<https://prometheus.io/docs/practices/naming/>).

use std::{sync::Arc, time::Duration};

use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, Result, TextEncoder, core::Collector,
};

use super::{
    explainer::ExplainMetrics, outcome::Outcome, route_counters::RouteCounters, verdict::Verdict,
};
use crate::gate::Proven;
use crate::http1::HeadError;

/// Histogram buckets in seconds, from a refusal by the head alone to Twilio's 15 s timeout.
const BUCKETS: [f64; 12] =
    [0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.01, 0.05, 0.25, 1.0, 2.5, 5.0, 15.0];

/// The label that stands for all keys of `accounts_file`.
const ACCOUNTS: &str = "accounts";

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    keys: IntCounterVec,
    candidates: IntCounterVec,
    durations: Durations,
    upstream: Histogram,
    unrouted: Arc<RouteCounters>,
    /// Current totals.
    pub gauges: Gauges,
    /// Reloads and certificates.
    pub reload: ReloadMetrics,
    /// Connections rejected, by limit.
    pub refused_connections: IntCounterVec,
    /// Explanations of refusals.
    pub(super) explain: ExplainMetrics,
    log_lines_dropped: IntCounter,
    #[cfg(feature = "otlp")]
    spans_dropped: IntCounter,
}

/// Metrics of configuration reloads and certificates.
#[derive(Clone, Debug)]
pub struct ReloadMetrics {
    /// Reloads, by result.
    pub reloads: IntCounterVec,
    /// 1 if the last reload was applied, else 0.
    pub last_successful: IntGauge,
    /// Load time of the current configuration, in Unix seconds.
    pub last_success: IntGauge,
    /// Expiry time of each certificate, in Unix seconds.
    pub certificate_expiry: IntGaugeVec,
}

/// Current totals.
#[derive(Clone, Debug)]
pub struct Gauges {
    /// Client connections.
    pub connections: IntGauge,
    /// Requests without a complete response.
    pub in_flight: IntGauge,
    /// Open WebSocket tunnels.
    pub tunnels: IntGauge,
    /// Bytes of request bodies in memory.
    pub buffered: IntGauge,
    /// Routes with `enforce = false`.
    pub unenforced_routes: IntGauge,
}

#[derive(Debug)]
struct Durations {
    admitted: Histogram,
    observed: Histogram,
    refused: Histogram,
    failed: Histogram,
    other: Histogram,
}

impl Durations {
    fn get(&self, verdict: &Verdict) -> &Histogram {
        match verdict {
            Verdict::Admitted(Proven::Unenforced(_)) => &self.observed,
            Verdict::Admitted(_) => &self.admitted,
            Verdict::Refused(_) => &self.refused,
            Verdict::Failed(..) => &self.failed,
            Verdict::Malformed(_) | Verdict::Abandoned | Verdict::Doctor => &self.other,
        }
    }
}

impl Metrics {
    /// Registers all metrics, at zero.
    ///
    /// # Errors
    /// When a name is registered twice, which is a bug in this file.
    pub fn new(version: &str, commit: &str) -> Result<Self> {
        let registry = Registry::new();
        let registrar = Registrar(&registry);
        registrar
            .labeled_gauge("gatekeeper_build_info", "Always 1.", &["version", "commit"])?
            .with_label_values(&[version, commit])
            .set(1);
        #[cfg(target_os = "linux")] // it reads /proc
        registrar.register(prometheus::process_collector::ProcessCollector::for_self())?;
        let requests = registrar.counters(
            "gatekeeper_requests_total",
            "Requests, by the route's path, what became of them, and why.",
            &["route", "verdict", "reason"],
        )?;
        Ok(Self {
            unrouted: Arc::new(RouteCounters::new(&requests, "")),
            requests,
            keys: registrar.keys()?,
            candidates: registrar.candidates()?,
            durations: registrar.durations()?,
            upstream: registrar.upstream()?,
            gauges: registrar.gauges()?,
            reload: registrar.reload()?,
            refused_connections: registrar.refused_connections()?,
            explain: registrar.explain()?,
            log_lines_dropped: registrar.log_lines_dropped()?,
            #[cfg(feature = "otlp")]
            spans_dropped: registrar.spans_dropped()?,
            registry,
        })
    }

    /// Returns the counters of the route with this path. They survive a reload.
    #[must_use]
    pub fn route(&self, path: &str) -> Arc<RouteCounters> {
        Arc::new(RouteCounters::new(&self.requests, path))
    }

    pub(super) fn record_unreadable(&self, error: HeadError) {
        let (verdict, reason) = match error {
            HeadError::Overloaded => ("refused", "overloaded"),
            HeadError::Malformed | HeadError::TargetTooLong | HeadError::TooLarge => {
                ("malformed", "unreadable")
            }
        };
        self.requests.with_label_values(&["", verdict, reason]).inc();
    }

    pub(super) fn record(&self, outcome: &Outcome, duration: Duration) {
        let route = outcome.route.as_ref().unwrap_or(&self.unrouted);
        match (route.get(&outcome.verdict), outcome.verdict.reason()) {
            (Some(counter), _) => counter.inc(),
            (None, reason) => {
                let labels = [route.path(), outcome.verdict.label(), reason.unwrap_or_default()];
                self.requests.with_label_values(&labels).inc();
            }
        }
        self.durations.get(&outcome.verdict).observe(duration.as_secs_f64());
        if let Some(upstream) = outcome.upstream {
            self.upstream.observe(upstream.as_secs_f64());
        }
        if let Some(proof) = outcome.verdict.proven().and_then(Proven::proof) {
            // 10,000 subaccounts would be as many series for each route; the log names them.
            let key = if proof.is_of_accounts { ACCOUNTS } else { &*proof.key };
            self.keys.with_label_values(&[route.path(), key]).inc();
            if let Some(candidate) = &proof.candidate {
                self.candidates.with_label_values(&[&*candidate.label()]).inc();
            }
        }
    }

    /// Sets the total of dropped spans.
    #[cfg(feature = "otlp")]
    pub(super) fn record_dropped_spans(&self, dropped: u64) {
        self.spans_dropped.inc_by(dropped.saturating_sub(self.spans_dropped.get()));
    }

    /// Returns all metrics in the Prometheus text format. `dropped` is the total of dropped log lines.
    #[must_use]
    pub fn text(&self, dropped: u64) -> String {
        self.log_lines_dropped.inc_by(dropped.saturating_sub(self.log_lines_dropped.get()));
        let mut text = Vec::new();
        // Writing to a `Vec` cannot fail.
        let _infallible = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// Creates metrics and registers them.
struct Registrar<'r>(&'r Registry);

impl Registrar<'_> {
    fn register<C: Collector + 'static>(&self, metric: C) -> Result<()> {
        self.0.register(Box::new(metric))
    }

    fn registered<C: Collector + Clone + 'static>(&self, metric: C) -> Result<C> {
        self.register(metric.clone())?;
        Ok(metric)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter> {
        self.registered(IntCounter::new(name, help)?)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec> {
        self.registered(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge> {
        self.registered(IntGauge::new(name, help)?)
    }

    fn labeled_gauge(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec> {
        self.registered(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    fn histogram(&self, name: &str, help: &str) -> Result<Histogram> {
        let options = HistogramOpts::new(name, help).buckets(BUCKETS.to_vec());
        self.registered(Histogram::with_opts(options)?)
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

    fn explain(&self) -> Result<ExplainMetrics> {
        let help = "Refused requests whose mistake was found, by its name.";
        let mistakes = self.counters("gatekeeper_mistakes_total", help, &["mistake"])?;
        let help = "Refused requests that were not explained, since too many waited.";
        let skipped = self.counter("gatekeeper_explanations_skipped_total", help)?;
        Ok(ExplainMetrics { mistakes, skipped })
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
        self.register(all.clone())?;
        let histogram = |verdict| all.with_label_values(&[verdict]);
        Ok(Durations {
            admitted: histogram("admitted"),
            observed: histogram("observed"),
            refused: histogram("refused"),
            failed: histogram("failed"),
            other: histogram("other"),
        })
    }

    fn gauges(&self) -> Result<Gauges> {
        Ok(Gauges {
            connections: self.gauge("gatekeeper_connections", "Connections from outside.")?,
            in_flight: self
                .gauge("gatekeeper_requests_in_flight", "Requests that are not answered yet.")?,
            tunnels: self.gauge("gatekeeper_tunnels", "WebSockets.")?,
            buffered: self.gauge(
                "gatekeeper_buffered_bytes",
                "Bytes that count towards max_buffered_bytes.",
            )?,
            unenforced_routes: self.gauge(
                "gatekeeper_unenforced_routes",
                "Routes that forward unproven requests for now.",
            )?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn route_keeps_its_counters_across_a_reload() {
        let metrics = Metrics::new("0", "none").unwrap();
        for _load in 0..2 {
            let proven = Verdict::Admitted(Proven::DeclaredPublic);
            metrics.route("/voice").get(&proven).unwrap().inc();
        }
        let text = metrics.text(3);
        assert!(
            text.contains(
                "gatekeeper_requests_total{reason=\"\",route=\"/voice\",verdict=\"admitted\"} 2"
            ),
            "{text}"
        );
        assert!(text.contains("gatekeeper_log_lines_dropped_total 3"), "{text}");
        let of_process = text.contains("process_resident_memory_bytes");
        assert_eq!(of_process, cfg!(target_os = "linux"), "{text}");
    }
}
