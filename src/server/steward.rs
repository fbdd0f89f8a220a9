//! The thread that looks after the others: it reloads, and answers operators.

use std::{io, sync::Arc, thread};

use tokio::{
    runtime::{Builder, Runtime},
    sync::oneshot,
};

use super::{
    Shared, admin,
    listener::{Acceptor, Listener, Listening},
    reload::Reload,
};
use crate::config::{Config, Listen, Sources};

/// Ready to be started: signals are heard and the admin listener is open.
pub(super) struct Steward {
    runtime: Runtime,
    reload: Option<Reload>,
    admin: Option<Acceptor>,
    /// Where the admin listener is, port resolved.
    pub(super) address: Option<Listen>,
}

/// At work until it is told that the others have ended.
#[derive(Debug)]
pub(super) struct AtWork {
    end: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Steward {
    /// Without sources nothing is ever loaded anew.
    pub(super) fn new(config: &Config, sources: Option<Sources>) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let within = runtime.enter();
        let reload = sources.map(|sources| Reload::of(sources, config)).transpose()?;
        let listening = Listening::open(config.admin.as_slice())?;
        let address = listening.addresses()?.pop();
        let admin = listening.listeners.into_iter().next();
        let admin = admin.map(Listener::on_runtime).transpose()?;
        drop(within);
        Ok(Self { runtime, reload, admin, address })
    }

    pub(super) fn start(self, shared: Arc<Shared>) -> io::Result<AtWork> {
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
        let thread = thread::Builder::new().name("steward".into()).spawn(work)?;
        Ok(AtWork { end, thread })
    }
}

impl AtWork {
    pub(super) fn end(self) {
        drop(self.end);
        if self.thread.join().is_err() {
            tracing::error!("the steward ended in a panic");
        }
    }
}
