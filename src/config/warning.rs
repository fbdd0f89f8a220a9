//! What is right but will hurt.

use std::{fmt, time::SystemTime};

use crate::routes::Pattern;

/// One warning: where, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Where it was written: `gatekeeper.toml:3:1`, or the flag.
    pub place: String,
    /// What it is.
    pub kind: WarningKind,
}

/// Every warning there is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WarningKind {
    /// A route that asks for no proof.
    #[error("{0} is public: anybody reaches the app there")]
    Public(Pattern),
    /// A certificate that nobody trusts any more.
    #[error("the certificate expired on {}", date(.0))]
    Expired(SystemTime),
    /// A certificate that will soon be such.
    #[error("the certificate expires on {}", date(.0))]
    ExpiresSoon(SystemTime),
    /// A certificate from the future.
    #[error("the certificate is not valid before {}", date(.0))]
    NotYetValid(SystemTime),
}

/// `2026-01-31T12:00:00Z`
fn date(moment: &SystemTime) -> humantime::Rfc3339Timestamp {
    humantime::format_rfc3339_seconds(*moment)
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.kind)
    }
}
