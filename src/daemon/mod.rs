//! Start, stop, reload, and the admin listener: the part of the process that an operator meets.

mod admin;
mod control;
mod file_watcher;
mod reload;
mod systemd;

use std::{io, sync::Arc, thread};

use crate::config::{Config, Sources};
use crate::downstream::{self, Shared};
use crate::net::{self, Listen, Listeners};
use crate::telemetry::Exporters;
use control::{ControlHandle, ControlThread};

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
    control: ControlHandle,
}

/// Opens the listeners and starts the workers. What is loaded anew comes from `sources`, if there
/// are any; outcomes are told to `exporters`.
///
/// # Errors
/// When an address cannot be listened on or a worker not be started.
pub fn start(config: Config, sources: Option<Sources>, exporters: Exporters) -> io::Result<Server> {
    let listening = Listeners::open(&config.listen)?;
    let addresses = listening.addresses()?;
    let control = ControlThread::new(&config, sources)?;
    let admin = control.address.clone();
    let wanted = config.listen.iter().chain(&config.admin).cloned().collect();
    let shared = Arc::new(Shared::new(config, exporters)?);
    let count = thread::available_parallelism().map_or(1, usize::from);
    let mut workers = Vec::with_capacity(count);
    for number in 0..count {
        let part = listening.share()?;
        let shared = Arc::clone(&shared);
        let worker = thread::Builder::new().name(format!("worker-{number}"));
        workers.push(worker.spawn(move || downstream::work(part, &shared))?);
    }
    let control = control.start(Arc::clone(&shared))?;
    systemd::ready("serving");
    Ok(Server { addresses, admin, wanted, shared, workers, control })
}

impl Server {
    /// Says that it is no longer ready, waits as configured, stops accepting, lets what is in
    /// flight end, and returns when all workers have.
    pub fn stop(self) {
        systemd::stopping();
        self.shared.shutdown.drain();
        thread::sleep(self.shared.snapshot.load().limits.drain_delay);
        self.shared.shutdown.begin();
        for worker in self.workers {
            if worker.join().is_err() {
                tracing::error!("a worker ended in a panic");
            }
        }
        self.shared.observer.flush();
        self.control.end();
        for listen in &self.wanted {
            net::unlink(listen);
        }
    }
}
