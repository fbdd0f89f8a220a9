//! Errors of the commands, and their exit codes.

use std::{io, process::ExitCode};

use super::print;

/// Exit code: a failure at run time.
pub(super) const FAILURE: u8 = 1;
/// Exit code: wrong usage (sysexits.h `EX_USAGE`).
pub(super) const USAGE: u8 = 64;
/// Exit code: faulty configuration (sysexits.h `EX_CONFIG`).
const CONFIG: u8 = 78;

/// The failure of a command.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    /// A failure at run time.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// No connection to an address.
    #[error("cannot reach {address}: {}", describe(error, "Is the gate running?"))]
    Unreachable {
        /// The address.
        address: String,
        /// The cause.
        error: io::Error,
    },
    /// The configuration is faulty.
    #[error("{0}")]
    Config(#[from] crate::config::Faults),
    /// The arguments are incomplete or contradict each other.
    #[error("{0}")]
    Usage(&'static str),
}

impl CliError {
    /// Prints the error and returns its exit code.
    pub(super) fn report(&self) -> ExitCode {
        let (code, text) = match self {
            Self::Io(_) | Self::Unreachable { .. } => (FAILURE, format!("gatekeeper: {self}")),
            Self::Config(faults) => (CONFIG, faults.to_string()),
            Self::Usage(message) => (USAGE, format!("gatekeeper: {message}")),
        };
        print::error(&text);
        ExitCode::from(code)
    }
}

/// Describes in plain words why a connection failed; `question` follows where nothing listens.
pub(super) fn describe(error: &io::Error, question: &str) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused if question.is_empty() => "connection refused".to_owned(),
        io::ErrorKind::ConnectionRefused => format!("connection refused. {question}"),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "no answer in time".to_owned(),
        _ => error.to_string(),
    }
}
