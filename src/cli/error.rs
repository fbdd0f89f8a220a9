//! Errors of the commands, and their exit codes.

use std::process::ExitCode;

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
    Io(#[from] std::io::Error),
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
            Self::Io(error) => (FAILURE, format!("gatekeeper: {error}")),
            Self::Config(faults) => (CONFIG, faults.to_string()),
            Self::Usage(message) => (USAGE, format!("gatekeeper: {message}")),
        };
        print::error(&text);
        ExitCode::from(code)
    }
}
