//! Starts the log of `run`.

use std::{
    env, fmt,
    io::{self, IsTerminal},
    time::SystemTime,
};

use clap::{
    ValueEnum,
    builder::{StringValueParser, TypedValueParser},
};
use tracing_subscriber::{
    EnvFilter,
    filter::LevelFilter,
    fmt::{format::Writer, time::FormatTime},
};

use super::error::CliError;
use crate::telemetry::{LogFormat, LogWriter};

/// The format that was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum LogStyle {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// One JSON object per line.
    Json,
    /// Text.
    Text,
}

/// Parses a format; an empty variable counts as one that is not set.
pub(super) fn style_parser() -> impl TypedValueParser<Value = LogStyle> {
    let parse = |text: String| match text.as_str() {
        "" => Ok(LogStyle::Auto),
        name => LogStyle::from_str(name, true).map_err(|_| "it is auto, json or text"),
    };
    StringValueParser::new().try_map(parse)
}

/// Starts the log. `GATEKEEPER_LOG` filters it; default: `info`.
pub(super) fn start(style: LogStyle) -> Result<LogWriter, CliError> {
    let filter = filter()?;
    let terminal = io::stderr().is_terminal();
    let format = match (style, terminal) {
        (LogStyle::Json, _) | (LogStyle::Auto, false) => LogFormat::Json,
        (LogStyle::Text | LogStyle::Auto, true) => {
            LogFormat::Text { colour: !is_set("NO_COLOR"), date: false }
        }
        (LogStyle::Text, false) => LogFormat::Text { colour: false, date: true },
    };
    let log = LogWriter::start(format)?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_writer(log.clone());
    match format {
        LogFormat::Json => subscriber.with_ansi(false).json().flatten_event(true).init(),
        LogFormat::Text { colour, date: true } => subscriber.with_ansi(colour).init(),
        LogFormat::Text { colour, date: false } => {
            subscriber.with_ansi(colour).with_timer(TimeOfDay).init();
        }
    }
    Ok(log)
}

/// Reads `GATEKEEPER_LOG`: a level, or directives with `=`. A filter would take any other word for the
/// name of a module, and log nothing.
fn filter() -> Result<EnvFilter, CliError> {
    const USAGE: &str = "GATEKEEPER_LOG is a level (off, error, warn, info, debug, trace), or directives MODULE=LEVEL";
    let levels = env::var("GATEKEEPER_LOG").unwrap_or_default();
    if levels.is_empty() {
        return Ok(EnvFilter::new("info"));
    }
    let is_directive =
        |part: &str| part.contains('=') || part.trim().parse::<LevelFilter>().is_ok();
    if !levels.split(',').all(is_directive) {
        return Err(CliError::Usage(USAGE));
    }
    EnvFilter::try_new(&levels).map_err(|_| CliError::Usage(USAGE))
}

fn is_set(name: &str) -> bool {
    env::var_os(name).is_some_and(|value| !value.is_empty())
}

/// The time of day, in UTC: a person at a terminal knows the date.
struct TimeOfDay;

impl FormatTime for TimeOfDay {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let now = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        writer.write_str(now.get(11..).unwrap_or(&now))
    }
}
