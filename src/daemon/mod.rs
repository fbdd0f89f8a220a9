//! Start, stop and reload of the process, and the admin listener: what an operator deals with.

mod admin;
mod control;
mod expiry;
mod file_watcher;
mod reload;
mod systemd;

use std::{io, sync::Arc, thread};

use crate::config::{Config, Sources};
use crate::downstream::{self, Shared};
use crate::net::{self, Listen, Listeners};
use crate::telemetry::Exporters;
use control::{ControlHandle, ControlThread};

/// A running gate.
#[derive(Debug)]
pub struct Server {
    /// The addresses it listens on, ports resolved.
    pub addresses: Vec<Listen>,
    /// The address of the admin listener, if any, port resolved.
    pub admin: Option<Listen>,
    /// The addresses as configured; their Unix sockets are unlinked at the end.
    configured: Vec<Listen>,
    shared: Arc<Shared>,
    workers: Vec<thread::JoinHandle<()>>,
    control: ControlHandle,
}

/// Opens the listeners, and starts the workers and the control thread. Reloads read `sources`;
/// without them there are none. Outcomes of requests go to `exporters`.
///
/// # Errors
/// When an address cannot be bound or a thread cannot be started.
pub fn start(config: Config, sources: Option<Sources>, exporters: Exporters) -> io::Result<Server> {
    let listeners = Listeners::open(&config.listen)?;
    let addresses = listeners.addresses()?;
    let control = ControlThread::new(&config, sources)?;
    let admin = control.address.clone();
    let configured = config.listen.iter().chain(&config.admin).cloned().collect();
    let shared = Arc::new(Shared::new(config, exporters)?);
    let count = thread::available_parallelism().map_or(1, usize::from);
    let mut workers = Vec::with_capacity(count);
    for number in 0..count {
        let part = listeners.share()?;
        let shared = Arc::clone(&shared);
        let worker = thread::Builder::new().name(format!("worker-{number}"));
        workers.push(worker.spawn(move || downstream::work(part, &shared))?);
    }
    let control = control.start(Arc::clone(&shared))?;
    systemd::notify_ready("serving");
    Ok(Server { addresses, admin, configured, shared, workers, control })
}

impl Server {
    /// Returns the number of requests in flight and of open WebSockets.
    #[must_use]
    pub fn in_flight(&self) -> (i64, i64) {
        let gauges = &self.shared.observer.metrics.gauges;
        (gauges.in_flight.get(), gauges.tunnels.get())
    }

    /// Stops the gate: fails the readiness check, waits `drain_delay`, stops accepting, lets requests
    /// in flight finish, and returns when all workers have ended.
    pub fn stop(self) {
        systemd::notify_stopping();
        self.shared.shutdown.drain();
        thread::sleep(self.shared.snapshot.load().limits.drain_delay);
        self.shared.shutdown.begin();
        for worker in self.workers {
            if worker.join().is_err() {
                tracing::error!("a worker panicked");
            }
        }
        self.shared.observer.flush();
        self.control.stop();
        for listen in &self.configured {
            net::unlink(listen);
        }
    }
}
