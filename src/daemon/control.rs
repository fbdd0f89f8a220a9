//! The control thread: reloads the configuration and serves the admin listener.

use std::{io, sync::Arc, thread};

use tokio::{
    runtime::{Builder, Runtime},
    sync::oneshot,
};

use super::{admin, expiry, reload::Reload};
use crate::config::{Config, Sources};
use crate::downstream::Shared;
use crate::net::{Acceptor, Listen, Listener, Listeners};

/// A control thread to start: its signal handlers are installed and its admin listener is bound.
pub(super) struct ControlThread {
    runtime: Runtime,
    reload: Option<Reload>,
    admin: Option<Acceptor>,
    /// The address of the admin listener, port resolved.
    pub(super) address: Option<Listen>,
}

/// A handle to stop the control thread.
#[derive(Debug)]
pub(super) struct ControlHandle {
    stop: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl ControlThread {
    /// Binds the admin listener and installs the signal handlers. Without sources there are no reloads.
    pub(super) fn new(config: &Config, sources: Option<Sources>) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let guard = runtime.enter();
        let reload = sources.map(|sources| Reload::new(sources, config)).transpose()?;
        let listeners = Listeners::open(config.admin.as_slice())?;
        let address = listeners.addresses()?.pop();
        let admin = listeners.listeners.into_iter().next();
        let admin = admin.map(Listener::into_tokio).transpose()?;
        drop(guard);
        Ok(Self { runtime, reload, admin, address })
    }

    /// Starts the thread.
    pub(super) fn start(self, shared: Arc<Shared>) -> io::Result<ControlHandle> {
        let Self { runtime, reload, admin, .. } = self;
        let (stop, stopped) = oneshot::channel();
        let run = move || {
            runtime.block_on(async {
                if let Some(reload) = reload {
                    tokio::spawn(reload.run(Arc::clone(&shared)));
                }
                tokio::spawn(expiry::watch(Arc::clone(&shared)));
                if let Some(admin) = admin {
                    tokio::spawn(admin::serve(admin, shared));
                }
                let _stopped = stopped.await;
            });
        };
        let thread = thread::Builder::new().name("control".into()).spawn(run)?;
        Ok(ControlHandle { stop, thread })
    }
}

impl ControlHandle {
    /// Stops the thread and waits for it.
    pub(super) fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the control thread panicked");
        }
    }
}
