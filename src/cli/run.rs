//! `gatekeeper run`: the main job.

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};

use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::Failed;
use crate::config::{self, Sources};
use crate::server::{self, Server};

pub(super) fn run(sources: &Sources) -> Result<ExitCode, Failed> {
    if sources.file.is_none() && (sources.upstream.is_none() || sources.public_url.is_none()) {
        return Err(Failed::Usage(
            "nothing to run: name a file with -c, or give --upstream and --public-url",
        ));
    }
    let config = config::load(sources)?;
    start_log();
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let server = server::start(config)?;
    announce(&server);
    wait_for_signal()?;
    tracing::info!("stopping");
    server.stop();
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

fn announce(server: &Server) {
    for address in &server.addresses {
        tracing::info!(%address, "listening");
    }
}

/// Lines for people on a terminal, JSON elsewhere; `GATEKEEPER_LOG` filters (`info` by default).
fn start_log() {
    let filter =
        EnvFilter::try_from_env("GATEKEEPER_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_writer(io::stderr);
    if io::stderr().is_terminal() {
        log.init();
    } else {
        log.json().flatten_event(true).init();
    }
}

pub(super) fn wait_for_signal() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(())
    })
}
