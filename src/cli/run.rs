//! `gatekeeper run`: serves until a signal stops it.

use std::{
    io,
    process::{self, ExitCode},
    thread,
    time::{Duration, Instant},
};

use clap::Args;

use super::{
    args::RunArgs,
    error::{CliError, FAILURE},
    log::{self, LogStyle},
    signals::Signals,
};
use crate::config::{self, Sources};
use crate::daemon::{self, Server};
use crate::telemetry::{Exporters, LogWriter};

/// The arguments of `run`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    sources: RunArgs,
    /// Format of the log: auto (text on a terminal, else json), json or text [default: auto]
    #[arg(long, value_name = "FORMAT", env = "GATEKEEPER_LOG_FORMAT", value_parser = log::style_parser())]
    log_format: Option<LogStyle>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, CliError> {
    let sources = &arguments.sources.sources();
    if sources.file.is_none() && (sources.upstream.is_none() || sources.public_url.is_none()) {
        return Err(CliError::Usage(
            "nothing to run: name a file with -c, or give --upstream and --public-url",
        ));
    }
    let config = config::load(sources)?;
    let log = log::start(arguments.log_format.unwrap_or_default())?;
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
    // Without a file there is nothing to reload: SIGHUP, as from a terminal that is closed, is a stop.
    let reloads = sources.file.is_some();
    let mut signals = Signals::catch(!reloads)?; // before the gate is announced as ready
    let sources = reloads.then(|| sources.clone());
    let server = daemon::start(config, sources, exporters(log)?)?;
    announce(&server, &routes);
    signals.wait();
    let (requests, websockets) = server.in_flight();
    tracing::info!(requests, websockets, "stopping");
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
