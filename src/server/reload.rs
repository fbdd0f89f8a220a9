//! The configuration loaded anew: on SIGHUP, and when a file that it was made from has changed.
//!
//! All or nothing. What has begun ends with what it began with.

use std::{
    io,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus::IntGauge;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Shared, Snapshot, changes::Changes, systemd};
use crate::config::{self, Config, Faults, Listen, Sources};
use crate::observe::Metrics;

/// What starts a reload, and what it is measured against.
pub(super) struct Reload {
    sources: Sources,
    hangup: Signal,
    changes: Changes,
    open: Open,
}

/// What was opened at the start and is not opened anew.
struct Open {
    listen: Vec<Listen>,
    admin: Option<Listen>,
}

impl Reload {
    /// Listens for SIGHUP and for changes from now on. Belongs on a runtime.
    pub(super) fn of(sources: Sources, config: &Config) -> io::Result<Self> {
        let open = Open { listen: config.listen.clone(), admin: config.admin.clone() };
        let changes = Changes::of(config.watched.clone());
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
        self.changes.look();
        match config::load(&self.sources) {
            Ok(config) => {
                self.changes.are_of(config.watched.clone());
                self.open.warn_of_restart(&config);
                shared.take(config);
                systemd::ready("serving");
            }
            Err(faults) => {
                shared.refuse(&faults);
                self.changes.are_of(faults.watched);
                systemd::ready("serving; the last reload failed, see the log");
            }
        }
    }
}

impl Open {
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

impl Shared {
    /// In force for all that begins from now on.
    fn take(&self, config: Config) {
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        let metrics = &self.observer.metrics;
        metrics.loading.reloads.with_label_values(&["success"]).inc();
        note_load(metrics, &config);
        self.live.store(Arc::new(Snapshot::new(config, metrics)));
        tracing::info!("reloaded");
    }

    /// Everything stays as it was.
    fn refuse(&self, faults: &Faults) {
        let loading = &self.observer.metrics.loading;
        loading.reloads.with_label_values(&["failure"]).inc();
        loading.last_successful.set(0);
        // The offending text and the cure are for `check`, which shows them in lines of their own.
        for fault in faults.to_string().lines().filter(|line| !line.starts_with("    ")) {
            tracing::error!(%fault, "the configuration is faulty");
        }
        tracing::error!("not reloaded: the configuration before is still in force");
    }
}

/// Counts a configuration that is in force from now on.
pub(super) fn note_load(metrics: &Metrics, config: &Config) {
    let loading = &metrics.loading;
    for result in ["success", "failure"] {
        loading.reloads.with_label_values(&[result]).inc_by(0); // there from the start
    }
    loading.last_successful.set(1);
    set_time(&loading.last_success, SystemTime::now());
    let listener = config.tls.as_ref().map(|tls| tls.validity);
    for (certificate, validity) in [("listener", listener), ("client", config.client_certificate)] {
        match validity {
            Some(validity) => {
                let gauge = loading.certificate_expiry.with_label_values(&[certificate]);
                set_time(&gauge, validity.until);
            }
            None => {
                let _was_none = loading.certificate_expiry.remove_label_values(&[certificate]);
            }
        }
    }
}

fn set_time(gauge: &IntGauge, time: SystemTime) {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    gauge.set(i64::try_from(seconds).unwrap_or(i64::MAX));
}
