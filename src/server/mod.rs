//! Sockets, lifetimes, drain: everything that waits.
//!
//! One worker per core, each with a runtime, a share of every listener and its own upstream
//! connections: nothing on a request's way crosses threads.

mod connection;
mod exchange;
mod http1;
mod http2;
mod listener;
mod reply;
mod room;
mod stop;
mod wire;
mod worker;

use std::{io, sync::Arc, thread};

use arc_swap::ArcSwap;

use crate::config::{Config, Listen};
use crate::forward::Load;
use crate::gate::Buffers;
use crate::observe::{Metrics, Observer, RouteCounters, Sink};
use crate::routes::{Limits, Route, Table};
use listener::Listening;
use room::Room;
use stop::Stop;

/// What every exchange reads once and holds to its end.
#[derive(Debug)]
pub struct Snapshot {
    /// The routes.
    pub table: Table,
    /// The bounds.
    pub limits: Limits,
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
    stop: Stop,
}

/// A gate that is open.
#[derive(Debug)]
pub struct Server {
    /// Where it listens, ports resolved.
    pub addresses: Vec<Listen>,
    wanted: Vec<Listen>,
    shared: Arc<Shared>,
    workers: Vec<thread::JoinHandle<()>>,
}

impl Shared {
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
    fn new(table: Table, limits: Limits, http2_cleartext: bool, metrics: &Metrics) -> Self {
        let counters = table.routes().iter().map(|route| metrics.route(&route.path.to_string()));
        let counters = counters.collect();
        Self { table, limits, http2_cleartext, counters }
    }

    fn counters(&self, route: &Route) -> Option<Arc<RouteCounters>> {
        self.counters.get(route.number).cloned()
    }
}

/// Opens the listeners and starts the workers. Lines go to `sink`, where there is one.
///
/// # Errors
/// When an address cannot be listened on or a worker not be started.
pub fn start(config: Config, sink: Option<Sink>) -> io::Result<Server> {
    let listening = Listening::open(&config.listen)?;
    let addresses = listening.addresses()?;
    let metrics = Metrics::new(env!("CARGO_PKG_VERSION"), env!("GATEKEEPER_COMMIT"))
        .map_err(io::Error::other)?;
    let snapshot = Snapshot::new(config.table, config.limits, config.http2_cleartext, &metrics);
    let shared = Arc::new(Shared {
        live: ArcSwap::from_pointee(snapshot),
        observer: Observer::new(metrics, sink),
        room: Arc::default(),
        buffers: Arc::default(),
        load: Arc::default(),
        stop: Stop::new(),
    });
    let count = thread::available_parallelism().map_or(1, usize::from);
    let mut workers = Vec::with_capacity(count);
    for number in 0..count {
        let part = listening.share()?;
        let shared = Arc::clone(&shared);
        let worker = thread::Builder::new().name(format!("worker-{number}"));
        workers.push(worker.spawn(move || worker::work(part, &shared))?);
    }
    Ok(Server { addresses, wanted: config.listen, shared, workers })
}

impl Server {
    /// The text that Prometheus reads.
    #[must_use]
    pub fn figures(&self) -> String {
        self.shared.figures()
    }

    /// Whether requests should be sent here: not while it drains.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.shared.stop.is_draining()
    }

    /// Says that it is no longer ready, waits as configured, stops accepting, lets what is in
    /// flight end, and returns when all workers have.
    pub fn stop(self) {
        self.shared.stop.drain();
        thread::sleep(self.shared.live.load().limits.drain_delay);
        self.shared.stop.tell();
        for worker in self.workers {
            if worker.join().is_err() {
                tracing::error!("a worker ended in a panic");
            }
        }
        for listen in &self.wanted {
            listener::tidy(listen);
        }
    }
}
