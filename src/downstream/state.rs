//! The state that connections share: the configuration snapshot, the limits and the telemetry.

use std::{
    io,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use prometheus::IntGauge;

use super::{nonces::Nonces, shutdown::Shutdown};
use crate::config::{Config, Faults, Tls, Validity};
use crate::gate::ReplayCache;
use crate::limits::{ConnectionLimit, CountLimit, Limits, MemoryBudget};
use crate::routes::{Route, Table};
use crate::telemetry::{Exporters, Knowledge, Metrics, Observer, RouteCounters};

type Certificates = [(&'static str, Option<Validity>); 2];

/// One configuration, immutable. Each request uses the snapshot of its beginning to its end.
#[derive(Debug)]
pub struct Snapshot {
    /// The routes.
    pub table: Arc<Table>,
    /// The part that explanations need; `None` where `explain = false`.
    pub(super) knowledge: Option<Arc<Knowledge>>,
    /// The limits.
    pub limits: Limits,
    /// TLS for new connections, if the listeners use it.
    pub(super) tls: Option<Tls>,
    /// Accepts HTTP/2 without TLS too.
    pub(super) http2_cleartext: bool,
    /// The certificates by name, with their validity where there is one.
    pub certificates: Certificates,
    /// The routes' counters, in the table's order.
    counters: Vec<Arc<RouteCounters>>,
}

/// The state that all workers and the control thread share.
#[derive(Debug)]
pub struct Shared {
    /// The configuration in force.
    pub snapshot: ArcSwap<Snapshot>,
    /// Metrics and log.
    pub observer: Observer,
    /// Phase of the process.
    pub shutdown: Shutdown,
    /// The nonces of `gatekeeper doctor`.
    pub nonces: Nonces,
    pub(super) connection_limit: Arc<ConnectionLimit>,
    pub(super) memory_budget: Arc<MemoryBudget>,
    pub(super) in_flight_limit: Arc<CountLimit>,
    pub(super) idle_upstream_limit: Arc<CountLimit>,
    /// Counts the refused connections that are still open.
    pub(super) rejected_limit: Arc<CountLimit>,
    pub(super) replay_cache: ReplayCache,
}

impl Shared {
    /// Builds the state for a configuration.
    ///
    /// # Errors
    /// When the metrics cannot be registered, or a thread cannot be started.
    pub fn new(config: Config, exporters: Exporters) -> io::Result<Self> {
        let metrics = Metrics::new(env!("CARGO_PKG_VERSION"), env!("GATEKEEPER_COMMIT"))
            .map_err(io::Error::other)?;
        record_load(&metrics, &config);
        Ok(Self {
            snapshot: ArcSwap::from_pointee(Snapshot::new(config, &metrics)),
            observer: Observer::new(metrics, exporters)?,
            connection_limit: Arc::new(ConnectionLimit::for_descriptors(descriptors())),
            memory_budget: Arc::default(),
            in_flight_limit: Arc::default(),
            idle_upstream_limit: Arc::default(),
            rejected_limit: Arc::default(),
            replay_cache: ReplayCache::default(),
            shutdown: Shutdown::default(),
            nonces: Nonces::default(),
        })
    }

    /// Returns the metrics in Prometheus' text format.
    pub fn metrics_text(&self) -> String {
        let gauges = &self.observer.metrics.gauges;
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        gauges.connections.set(number(self.connection_limit.connections()));
        gauges.buffered.set(i64::try_from(self.memory_budget.reserved_bytes()).unwrap_or(i64::MAX));
        self.observer.metrics_text()
    }
}

impl Snapshot {
    fn new(config: Config, metrics: &Metrics) -> Self {
        let certificates = certificates(&config);
        let listen_ports = config.listen_ports();
        let Config { table, limits, http2_cleartext, tls, explain, probes, lines, .. } = config;
        let table = Arc::new(table);
        let knowledge =
            || Knowledge { table: Arc::clone(&table), keys: probes, lines, listen_ports };
        let knowledge = explain.then(|| Arc::new(knowledge()));
        let counters = table.routes().iter().map(|route| metrics.route(&route.path.to_string()));
        let counters = counters.collect();
        Self { table, knowledge, limits, tls, http2_cleartext, certificates, counters }
    }

    pub(super) fn counters(&self, route: &Route) -> Option<Arc<RouteCounters>> {
        self.counters.get(route.number).cloned()
    }
}

/// Returns the soft limit of open file descriptors.
fn descriptors() -> usize {
    let limit = rlimit::Resource::NOFILE.get_soft();
    limit.map_or(1024, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

impl Shared {
    /// Replaces the snapshot. Requests in flight keep the one they began with.
    pub fn install(&self, config: Config) {
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        let metrics = &self.observer.metrics;
        metrics.reload.reloads.with_label_values(&["success"]).inc();
        record_load(metrics, &config);
        self.snapshot.store(Arc::new(Snapshot::new(config, metrics)));
        tracing::info!("reloaded");
    }

    /// Logs and counts a configuration that was not taken over; the snapshot stays as it is.
    pub fn reject(&self, faults: &Faults) {
        let reload = &self.observer.metrics.reload;
        reload.reloads.with_label_values(&["failure"]).inc();
        reload.last_successful.set(0);
        // The offending text and the cure are for `check`, which shows them in lines of their own.
        for fault in faults.to_string().lines().filter(|line| !line.starts_with("    ")) {
            tracing::error!(%fault, "the configuration is faulty");
        }
        tracing::error!("not reloaded: the configuration before is still in force");
    }
}

/// Records a configuration that is now in force.
fn record_load(metrics: &Metrics, config: &Config) {
    let reload = &metrics.reload;
    for result in ["success", "failure"] {
        reload.reloads.with_label_values(&[result]).inc_by(0); // exported from the start
    }
    reload.last_successful.set(1);
    let unenforced = config.table.routes().iter().filter(|route| route.is_unenforced()).count();
    metrics.gauges.unenforced_routes.set(i64::try_from(unenforced).unwrap_or(i64::MAX));
    set_time(&reload.last_success, SystemTime::now());
    for (certificate, validity) in certificates(config) {
        match validity {
            Some(validity) => {
                let gauge = reload.certificate_expiry.with_label_values(&[certificate]);
                set_time(&gauge, validity.until);
            }
            None => {
                let _was_none = reload.certificate_expiry.remove_label_values(&[certificate]);
            }
        }
    }
}

fn certificates(config: &Config) -> Certificates {
    let listener = config.tls.as_ref().map(|tls| tls.validity);
    [("listener", listener), ("client", config.client_certificate)]
}

fn set_time(gauge: &IntGauge, time: SystemTime) {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    gauge.set(i64::try_from(seconds).unwrap_or(i64::MAX));
}
