//! The configuration loaded anew: on SIGHUP, and when a file that it was made from has changed.
//!
//! All or nothing. What has begun ends with what it began with.

use std::{io, sync::Arc};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{file_watcher::FileWatcher, systemd};
use crate::config::{self, Config, Sources};
use crate::downstream::Shared;
use crate::net::Listen;

/// What starts a reload, and what it is measured against.
pub(super) struct Reload {
    sources: Sources,
    hangup: Signal,
    changes: FileWatcher,
    open: BoundListeners,
}

/// What was opened at the start and is not opened anew.
struct BoundListeners {
    listen: Vec<Listen>,
    admin: Option<Listen>,
}

impl Reload {
    /// Listens for SIGHUP and for changes from now on. Belongs on a runtime.
    pub(super) fn new(sources: Sources, config: &Config) -> io::Result<Self> {
        let open = BoundListeners { listen: config.listen.clone(), admin: config.admin.clone() };
        let changes = FileWatcher::new(config.watched.clone());
        Ok(Self { sources, hangup: signal(SignalKind::hangup())?, changes, open })
    }

    /// Loads anew whenever there is a reason to, for ever.
    pub(super) async fn run(mut self, shared: Arc<Shared>) {
        loop {
            tokio::select! {
                Some(()) = self.hangup.recv() => {}
                () = self.changes.next() => {}
            }
            systemd::reloading();
            self.load(&shared);
        }
    }

    fn load(&mut self, shared: &Shared) {
        self.changes.mark_seen();
        match config::load(&self.sources) {
            Ok(config) => {
                self.changes.set_files(config.watched.clone());
                self.open.warn_of_restart(&config);
                shared.install(config);
                systemd::ready("serving");
            }
            Err(faults) => {
                shared.reject(&faults);
                self.changes.set_files(faults.watched);
                systemd::ready("serving; the last reload failed, see the log");
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
