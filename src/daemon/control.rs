//! The thread that looks after the others: it reloads, and answers operators.

use std::{io, sync::Arc, thread};

use tokio::{
    runtime::{Builder, Runtime},
    sync::oneshot,
};

use super::{admin, reload::Reload};
use crate::config::{Config, Sources};
use crate::downstream::Shared;
use crate::net::{Acceptor, Listen, Listener, Listeners};

/// Ready to be started: signals are heard and the admin listener is open.
pub(super) struct ControlThread {
    runtime: Runtime,
    reload: Option<Reload>,
    admin: Option<Acceptor>,
    /// Where the admin listener is, port resolved.
    pub(super) address: Option<Listen>,
}

/// At work until it is told that the others have ended.
#[derive(Debug)]
pub(super) struct ControlHandle {
    end: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl ControlThread {
    /// Without sources nothing is ever loaded anew.
    pub(super) fn new(config: &Config, sources: Option<Sources>) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let within = runtime.enter();
        let reload = sources.map(|sources| Reload::new(sources, config)).transpose()?;
        let listening = Listeners::open(config.admin.as_slice())?;
        let address = listening.addresses()?.pop();
        let admin = listening.listeners.into_iter().next();
        let admin = admin.map(Listener::into_tokio).transpose()?;
        drop(within);
        Ok(Self { runtime, reload, admin, address })
    }

    pub(super) fn start(self, shared: Arc<Shared>) -> io::Result<ControlHandle> {
        let Self { runtime, reload, admin, .. } = self;
        let (end, ended) = oneshot::channel();
        let work = move || {
            runtime.block_on(async {
                if let Some(reload) = reload {
                    tokio::spawn(reload.run(Arc::clone(&shared)));
                }
                if let Some(admin) = admin {
                    tokio::spawn(admin::serve(admin, shared));
                }
                let _ended = ended.await;
            });
        };
        let thread = thread::Builder::new().name("control".into()).spawn(work)?;
        Ok(ControlHandle { end, thread })
    }
}

impl ControlHandle {
    pub(super) fn end(self) {
        drop(self.end);
        if self.thread.join().is_err() {
            tracing::error!("the control thread ended in a panic");
        }
    }
}
