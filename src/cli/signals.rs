//! Signals that stop the process.

use std::io;

use tokio::{
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
};

/// SIGTERM and SIGINT, and SIGHUP where it is a stop.
pub(super) struct Signals {
    runtime: Runtime,
    terminate: Signal,
    interrupt: Signal,
    hangup: Option<Signal>,
}

impl Signals {
    /// Installs handlers; from now on the signals do not end the process by themselves.
    pub(super) fn catch(hangup: bool) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let guard = runtime.enter();
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        let hangup = hangup.then(|| signal(SignalKind::hangup())).transpose()?;
        drop(guard);
        Ok(Self { runtime, terminate, interrupt, hangup })
    }

    /// Blocks until the next signal.
    pub(super) fn wait(&mut self) {
        let Self { runtime, terminate, interrupt, hangup } = self;
        let hangup = async {
            match hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = hangup => {}
            }
        });
    }
}
