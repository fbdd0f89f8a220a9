//! Sockets, lifetimes, drain: everything that waits.
//!
//! One worker per core, each with a runtime, a share of every listener and its own upstream
//! connections: nothing on a request's way crosses threads.

mod connection;
mod exchange;
mod reply;
mod wire;
mod worker;

use std::{io, net::SocketAddr, sync::Arc, thread};

use arc_swap::ArcSwap;
use tokio::sync::{Semaphore, watch};

use crate::config::Config;
use crate::routes::{Limits, Table};
pub use worker::Listening;

/// What every exchange reads once and holds to its end.
#[derive(Debug)]
pub struct Snapshot {
    /// The routes.
    pub table: Table,
    /// The bounds.
    pub limits: Limits,
}

/// What the workers share.
#[derive(Debug)]
struct Shared {
    live: ArcSwap<Snapshot>,
    connections: Arc<Semaphore>,
}

/// A gate that is open.
#[derive(Debug)]
pub struct Server {
    /// Where it listens, ports resolved.
    pub addresses: Vec<SocketAddr>,
    stop: watch::Sender<bool>,
    workers: Vec<thread::JoinHandle<()>>,
}

/// Opens the listeners and starts the workers.
///
/// # Errors
/// When an address cannot be listened on or a worker not be started.
pub fn start(config: Config) -> io::Result<Server> {
    if config.tls.is_some() || config.admin.is_some() {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "no TLS and no admin listener yet"));
    }
    let listening = Listening::open(&config.listen)?;
    let addresses = listening.addresses()?;
    let connections = Arc::new(Semaphore::new(config.limits.max_connections));
    let snapshot = Snapshot { table: config.table, limits: config.limits };
    let shared = Arc::new(Shared { live: ArcSwap::from_pointee(snapshot), connections });
    let (stop, stopped) = watch::channel(false);
    let count = thread::available_parallelism().map_or(1, usize::from);
    let mut workers = Vec::with_capacity(count);
    for number in 0..count {
        let part = listening.share()?;
        let (shared, stopped) = (Arc::clone(&shared), stopped.clone());
        let name = format!("worker-{number}");
        let work = move || worker::work(part, &shared, stopped);
        workers.push(thread::Builder::new().name(name).spawn(work)?);
    }
    Ok(Server { addresses, stop, workers })
}

impl Server {
    /// Stops accepting, lets what is in flight end, and returns when all workers have.
    pub fn stop(self) {
        self.stop.send_replace(true);
        for worker in self.workers {
            if worker.join().is_err() {
                tracing::error!("a worker ended in a panic");
            }
        }
    }
}
