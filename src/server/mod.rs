//! Sockets, lifetimes, drain: everything that waits.
//!
//! One worker per core, each with a runtime, a share of every listener and its own upstream
//! connections: nothing on a request's way crosses threads.

mod admin;
mod changes;
mod connection;
mod exchange;
mod http1;
mod http2;
mod listener;
mod reload;
mod reply;
mod room;
mod steward;
mod stop;
mod systemd;
mod tls;
mod worker;

use std::{io, sync::Arc, thread};

use arc_swap::ArcSwap;
use rustls::ServerConfig;

use crate::config::{Config, Listen, Sources};
use crate::forward::Load;
use crate::gate::{Buffers, Seen};
use crate::observe::{Metrics, Observer, Outlets, RouteCounters};
use crate::routes::{Limits, Route, Table};
use listener::Listening;
use room::Room;
use steward::{AtWork, Steward};
use stop::Stop;
pub use worker::Worker;

/// What every exchange reads once and holds to its end.
#[derive(Debug)]
pub struct Snapshot {
    /// The routes.
    pub table: Table,
    /// The bounds.
    pub limits: Limits,
    /// TLS for connections from now on, if the listeners speak it.
    tls: Option<Arc<ServerConfig>>,
    /// Whether HTTP/2 is taken without TLS too.
    http2_cleartext: bool,
    /// The routes' counters, in the table's order.
    counters: Vec<Arc<RouteCounters>>,
}

/// What the workers share.
#[derive(Debug)]
struct Shared {
    live: ArcSwap<Snapshot>,
    observer: Observer,
    room: Arc<Room>,
    buffers: Arc<Buffers>,
    load: Arc<Load>,
    seen: Seen,
    stop: Stop,
}

/// A gate that is open.
#[derive(Debug)]
pub struct Server {
    /// Where it listens, ports resolved.
    pub addresses: Vec<Listen>,
    /// Where the admin listener is, if there is one.
    pub admin: Option<Listen>,
    /// As written.
    wanted: Vec<Listen>,
    shared: Arc<Shared>,
    workers: Vec<thread::JoinHandle<()>>,
    steward: AtWork,
}

impl Shared {
    fn new(config: Config, outlets: Outlets) -> io::Result<Self> {
        let metrics = Metrics::new(env!("CARGO_PKG_VERSION"), env!("GATEKEEPER_COMMIT"))
            .map_err(io::Error::other)?;
        reload::note_load(&metrics, &config);
        Ok(Self {
            live: ArcSwap::from_pointee(Snapshot::new(config, &metrics)),
            observer: Observer::new(metrics, outlets),
            room: Arc::new(Room::within(descriptors())),
            buffers: Arc::default(),
            load: Arc::default(),
            seen: Seen::default(),
            stop: Stop::new(),
        })
    }

    /// The text that Prometheus reads.
    fn figures(&self) -> String {
        let standing = &self.observer.metrics.standing;
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        standing.connections.set(number(self.room.connections()));
        standing.buffered.set(i64::try_from(self.buffers.held()).unwrap_or(i64::MAX));
        self.observer.text()
    }
}

impl Snapshot {
    fn new(config: Config, metrics: &Metrics) -> Self {
        let Config { table, limits, http2_cleartext, tls, .. } = config;
        let tls = tls.map(|tls| tls.server);
        let counters = table.routes().iter().map(|route| metrics.route(&route.path.to_string()));
        let counters = counters.collect();
        Self { table, limits, tls, http2_cleartext, counters }
    }

    fn counters(&self, route: &Route) -> Option<Arc<RouteCounters>> {
        self.counters.get(route.number).cloned()
    }
}

/// How many files the system lets this process open.
fn descriptors() -> usize {
    let limit = rlimit::Resource::NOFILE.get_soft();
    limit.map_or(1024, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// Opens the listeners and starts the workers. What is loaded anew comes from `sources`, if there
/// are any; outcomes are told to `outlets`.
///
/// # Errors
/// When an address cannot be listened on or a worker not be started.
pub fn start(config: Config, sources: Option<Sources>, outlets: Outlets) -> io::Result<Server> {
    let listening = Listening::open(&config.listen)?;
    let addresses = listening.addresses()?;
    let steward = Steward::new(&config, sources)?;
    let admin = steward.address.clone();
    let wanted = config.listen.iter().chain(&config.admin).cloned().collect();
    let shared = Arc::new(Shared::new(config, outlets)?);
    let count = thread::available_parallelism().map_or(1, usize::from);
    let mut workers = Vec::with_capacity(count);
    for number in 0..count {
        let part = listening.share()?;
        let shared = Arc::clone(&shared);
        let worker = thread::Builder::new().name(format!("worker-{number}"));
        workers.push(worker.spawn(move || worker::work(part, &shared))?);
    }
    let steward = steward.start(Arc::clone(&shared))?;
    systemd::ready("serving");
    Ok(Server { addresses, admin, wanted, shared, workers, steward })
}

impl Server {
    /// Says that it is no longer ready, waits as configured, stops accepting, lets what is in
    /// flight end, and returns when all workers have.
    pub fn stop(self) {
        systemd::stopping();
        self.shared.stop.drain();
        thread::sleep(self.shared.live.load().limits.drain_delay);
        self.shared.stop.tell();
        for worker in self.workers {
            if worker.join().is_err() {
                tracing::error!("a worker ended in a panic");
            }
        }
        self.shared.observer.flush();
        self.steward.end();
        for listen in &self.wanted {
            listener::tidy(listen);
        }
    }
}
