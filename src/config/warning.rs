//! What is right but will hurt.

use std::fmt;

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
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.kind)
    }
}
