//! `gatekeeper run`: the main job.

use std::{
    io::{self, IsTerminal},
    process::{self, ExitCode},
    thread,
};

use tokio::{
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
};
use tracing_subscriber::EnvFilter;

use super::{CliError, FAILURE};
use crate::config::{self, Sources};
use crate::daemon::{self, Server};
use crate::telemetry::{Exporters, LogFormat, LogWriter};

pub(super) fn run(sources: &Sources) -> Result<ExitCode, CliError> {
    if sources.file.is_none() && (sources.upstream.is_none() || sources.public_url.is_none()) {
        return Err(CliError::Usage(
            "nothing to run: name a file with -c, or give --upstream and --public-url",
        ));
    }
    let config = config::load(sources)?;
    let sink = start_log()?;
    let served = serve(config, sources, &sink);
    sink.flush();
    served
}

fn serve(
    config: config::Config,
    sources: &Sources,
    sink: &LogWriter,
) -> Result<ExitCode, CliError> {
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
    let mut signals = Signals::caught()?; // before anybody hears that the gate is open
    let server = daemon::start(config, Some(sources.clone()), exporters(sink)?)?;
    announce(&server);
    signals.wait();
    tracing::info!("stopping");
    end_at_next(signals, sink.clone())?;
    server.stop();
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Lines, and spans where the environment names a collector.
fn exporters(sink: &LogWriter) -> io::Result<Exporters> {
    Ok(Exporters {
        log: Some(sink.clone()),
        #[cfg(feature = "otlp")]
        spans: names_collector().then(crate::telemetry::Spans::start).transpose()?,
    })
}

#[cfg(feature = "otlp")]
fn names_collector() -> bool {
    let names = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
    names.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

fn announce(server: &Server) {
    for address in &server.addresses {
        tracing::info!(%address, "listening");
    }
    if let Some(address) = &server.admin {
        tracing::info!(%address, "admin listening");
    }
}

/// Lines for people on a terminal, JSON elsewhere; `GATEKEEPER_LOG` filters (`info` by default).
fn start_log() -> io::Result<LogWriter> {
    let filter =
        EnvFilter::try_from_env("GATEKEEPER_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let terminal = io::stderr().is_terminal();
    let look = if terminal { LogFormat::Terminal { colour: true } } else { LogFormat::Json };
    let sink = LogWriter::start(look)?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(terminal)
        .with_writer(sink.clone());
    if terminal {
        log.init();
    } else {
        log.json().flatten_event(true).init();
    }
    Ok(sink)
}

/// Whoever asks twice does not want to wait.
fn end_at_next(mut signals: Signals, sink: LogWriter) -> io::Result<()> {
    let wait = move || {
        signals.wait();
        tracing::warn!("told twice to stop: stopping at once");
        sink.flush();
        process::exit(FAILURE.into());
    };
    thread::Builder::new().name("signals".into()).spawn(wait).map(drop)
}

/// The signals that ask a program to stop.
pub(super) struct Signals {
    runtime: Runtime,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From here on they no longer end the program by themselves.
    pub(super) fn caught() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        drop(entered);
        Ok(Self { runtime, terminate, interrupt })
    }

    /// Waits for the next one.
    pub(super) fn wait(&mut self) {
        let Self { runtime, terminate, interrupt } = self;
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        });
    }
}
