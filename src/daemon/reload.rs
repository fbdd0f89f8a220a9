//! Reloads the configuration on SIGHUP, and when a file that it was read from changes.
//!
//! A faulty configuration changes nothing. Requests in flight keep the snapshot they started with.

use std::{io, sync::Arc};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{file_watcher::FileWatcher, systemd};
use crate::config::{self, Config, Sources};
use crate::downstream::Shared;
use crate::net::Listen;

/// The triggers of a reload, and the listeners that it cannot change.
pub(super) struct Reload {
    sources: Sources,
    hangup: Signal,
    watcher: FileWatcher,
    bound: BoundListeners,
}

/// The listeners bound at the start; changing one needs a restart.
struct BoundListeners {
    listen: Vec<Listen>,
    admin: Option<Listen>,
}

impl Reload {
    /// Watches for SIGHUP and file changes from now on. Must be called within a tokio runtime.
    pub(super) fn new(sources: Sources, config: &Config) -> io::Result<Self> {
        let bound = BoundListeners { listen: config.listen.clone(), admin: config.admin.clone() };
        let watcher = FileWatcher::new(config.watched.clone());
        Ok(Self { sources, hangup: signal(SignalKind::hangup())?, watcher, bound })
    }

    /// Reloads at each trigger, until the task is dropped.
    pub(super) async fn run(mut self, shared: Arc<Shared>) {
        loop {
            tokio::select! {
                Some(()) = self.hangup.recv() => {}
                () = self.watcher.changed() => {}
            }
            systemd::notify_reloading();
            self.reload(&shared);
        }
    }

    /// Loads the configuration and installs it, or logs its faults and keeps the current one.
    fn reload(&mut self, shared: &Shared) {
        // Before the files are read: a change during the load triggers another one.
        self.watcher.mark_seen();
        match config::load(&self.sources) {
            Ok(config) => {
                self.watcher.set_files(config.watched.clone());
                self.bound.warn_of_restart(&config);
                shared.install(config);
                systemd::notify_ready("serving");
            }
            Err(faults) => {
                shared.reject(&faults);
                self.watcher.set_files(faults.watched);
                systemd::notify_ready("serving; the last reload failed, see the log");
            }
        }
    }
}

impl BoundListeners {
    fn warn_of_restart(&self, config: &Config) {
        for (key, changed) in
            [("listen", config.listen != self.listen), ("admin.listen", config.admin != self.admin)]
        {
            if changed {
                tracing::warn!(key, "this key has changed, which needs a restart");
            }
        }
    }
}
