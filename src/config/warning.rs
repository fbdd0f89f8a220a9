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
    /// The same where an app might mistake its paths for guarded ones, or the other way round.
    #[error("{0} is public and meets {1}, which is guarded: anybody reaches the app there")]
    Shadows(Pattern, Pattern),
    /// A file with tokens that everybody can read.
    #[error("tokens stand in this file, and every user of this machine can read it: chmod o-r")]
    Readable,
    /// A token that will be copied, shown and checked in with the file.
    #[error("a token stands in this file; better name a variable, a file or a credential")]
    Literal,
    /// A token that is none of Twilio's.
    #[error("the token is not 32 hex digits, as Twilio's auth tokens are")]
    OddToken,
    /// An admin listener that others may reach.
    #[error("the admin listener is not on loopback: keep the public away from it")]
    OpenAdmin,
    /// A URL that is called in the clear.
    #[error("it begins with http://: what Twilio sends can be read on its way")]
    PlainUrl,
    /// An answer that nobody waits for.
    #[error("Twilio gives up after 15 s")]
    SlowResponse,
    /// A block of addresses that has them all.
    #[error("every peer is believed about the public URL")]
    TrustsAll,
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
