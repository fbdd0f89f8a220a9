//! `gatekeeper run`: serves until a signal stops it.

use std::{
    io::{self, IsTerminal},
    process::{self, ExitCode},
    thread,
    time::{Duration, Instant},
};

use tokio::{
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
};
use tracing_subscriber::EnvFilter;

use super::error::{CliError, FAILURE};
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
    let log = start_log()?;
    let served = serve(config, sources, &log);
    log.flush();
    served
}

fn serve(config: config::Config, sources: &Sources, log: &LogWriter) -> Result<ExitCode, CliError> {
    if let Some(file) = &sources.absent {
        tracing::info!(file = %file.display(), "no such file: running from the flags");
    }
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
    let routes = Guarded::of(&config);
    let mut signals = Signals::catch()?; // before the gate is announced as ready, and so may be stopped
    let server = daemon::start(config, Some(sources.clone()), exporters(log)?)?;
    announce(&server, &routes);
    signals.wait();
    tracing::info!("stopping");
    exit_on_next_signal(signals, log.clone())?;
    server.stop();
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Returns the log exporter, and the span exporter if the environment names a collector.
fn exporters(log: &LogWriter) -> io::Result<Exporters> {
    Ok(Exporters {
        log: Some(log.clone()),
        #[cfg(feature = "otlp")]
        spans: names_collector().then(crate::telemetry::Spans::start).transpose()?,
    })
}

#[cfg(feature = "otlp")]
fn names_collector() -> bool {
    let names = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
    names.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// The most routes that are announced.
const MAX_ANNOUNCED: usize = 20;

/// The routes to announce, in words.
struct Guarded {
    /// Whether it enforces, the signed URL and the upstream of each.
    shown: Vec<(bool, String, String)>,
    /// The number of those that are not shown.
    more: usize,
}

impl Guarded {
    fn of(config: &config::Config) -> Self {
        let guarded = || config.table.routes().iter().filter(|route| !route.is_public());
        let shown = guarded().take(MAX_ANNOUNCED);
        Self {
            shown: shown
                .map(|route| (route.enforced, route.signed_as(), route.upstream.to_string()))
                .collect(),
            more: guarded().skip(MAX_ANNOUNCED).count(),
        }
    }
}

fn announce(server: &Server, routes: &Guarded) {
    for (enforced, signed_as, upstream) in &routes.shown {
        if *enforced {
            tracing::info!(%signed_as, %upstream, "guarding");
        } else {
            tracing::warn!(%signed_as, %upstream, "observing only: unproven requests are forwarded");
        }
    }
    if routes.more > 0 {
        tracing::info!(routes = routes.more, "guarding more; `gatekeeper check` lists all");
    }
    for address in &server.addresses {
        tracing::info!(%address, "listening");
    }
    if let Some(address) = &server.admin {
        tracing::info!(%address, "admin listening");
    }
}

/// Starts the log: text on a terminal, JSON elsewhere. `GATEKEEPER_LOG` filters; default: `info`.
fn start_log() -> io::Result<LogWriter> {
    let levels = std::env::var("GATEKEEPER_LOG").ok().filter(|levels| !levels.is_empty());
    let filter = EnvFilter::try_new(levels.as_deref().unwrap_or("info"))
        .unwrap_or_else(|_| EnvFilter::new("info"));
    let terminal = io::stderr().is_terminal();
    let format = if terminal { LogFormat::Terminal { colour: true } } else { LogFormat::Json };
    let log = LogWriter::start(format)?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(terminal)
        .with_writer(log.clone());
    if terminal {
        subscriber.init();
    } else {
        subscriber.json().flatten_event(true).init();
    }
    Ok(log)
}

/// Signals within this time of the first are the same stop: `timeout` and some supervisors signal the
/// process and its group.
const SAME_STOP: Duration = Duration::from_secs(1);

/// Exits at once on a second signal, without waiting for the drain.
fn exit_on_next_signal(mut signals: Signals, log: LogWriter) -> io::Result<()> {
    let first = Instant::now();
    let wait = move || {
        signals.wait();
        while first.elapsed() < SAME_STOP {
            signals.wait();
        }
        tracing::warn!("second stop signal: stopping at once");
        log.flush();
        process::exit(FAILURE.into());
    };
    thread::Builder::new().name("signals".into()).spawn(wait).map(drop)
}

/// SIGTERM and SIGINT.
pub(super) struct Signals {
    runtime: Runtime,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Installs handlers; from now on the signals do not end the process by themselves.
    pub(super) fn catch() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let guard = runtime.enter();
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        drop(guard);
        Ok(Self { runtime, terminate, interrupt })
    }

    /// Blocks until the next signal.
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
