//! Warnings: valid but risky settings.

use std::{fmt, time::SystemTime};

use crate::{routes::Pattern, signature::TokenShape};

/// One warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The location: `gatekeeper.toml:3:1`, or the flag.
    pub location: String,
    /// The kind of warning.
    pub kind: WarningKind,
}

/// The kinds of warnings. Their texts are shown to the user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WarningKind {
    /// A route that verifies nothing.
    #[error("{0} is public: anyone can reach the app there")]
    Public(Pattern),
    /// A public route whose pattern overlaps a guarded one: the app may route such a path differently.
    #[error("{0} is public and overlaps {1}, which is guarded: anyone can reach the app there")]
    PublicMeetsGuarded(Pattern, Pattern),
    /// A subtree whose sender signs no URL.
    #[error(
        "{0} is a subtree, and this sender does not sign the URL: a captured request can be sent to any path below it"
    )]
    UnsignedSubtree(Pattern),
    /// A SendGrid route that accepts any timestamp.
    #[error("no max_age: a captured request can be sent again at any time")]
    NoMaxAge,
    /// A route that forwards unproven requests for now.
    #[error("{0} is NOT ENFORCED: unproven requests are logged as observed, and reach the app")]
    Unenforced(Pattern),
    /// The same, beside a route that enforces: the app may route such a path differently.
    #[error(
        "{0} is NOT ENFORCED and overlaps {1}, which is: unproven requests may reach the app there"
    )]
    UnenforcedMeetsGuarded(Pattern, Pattern),
    /// A world-readable file with inline tokens.
    #[error("this file contains tokens, and every user of this machine can read it: chmod o-r")]
    WorldReadable,
    /// An inline token, which is copied and checked in with the file.
    #[error("this file contains a token; prefer a variable, a file or a credential")]
    InlineToken,
    /// A token that does not have the form of a Twilio auth token.
    #[error("this is hardly an auth token: {}; {}", .0.says(), .0.cure())]
    UnusualToken(TokenShape),
    /// An admin listener that is not on loopback.
    #[error("the admin listener is not on loopback: keep the public away from it")]
    ExposedAdmin,
    /// An `http://` public URL.
    #[error("it begins with http://: Twilio's requests travel unencrypted")]
    PlainUrl,
    /// A public URL with the path of a webhook.
    #[error("{}", in_public_url("its path comes before the request's", .signed, .bare))]
    PathInPublicUrl {
        /// The beginning of what is expected to be signed.
        signed: String,
        /// The public URL without its path.
        bare: String,
    },
    /// A public URL with a `*`.
    #[error("{}", in_public_url("a * is no pattern here", .signed, .bare))]
    StarInPublicUrl {
        /// The beginning of what is expected to be signed.
        signed: String,
        /// The public URL without its path.
        bare: String,
    },
    /// A public URL with `//` in its path.
    #[error("{}", in_public_url("its path has empty segments", .signed, .bare))]
    SlashesInPublicUrl {
        /// The beginning of what is expected to be signed.
        signed: String,
        /// The public URL without its path.
        bare: String,
    },
    /// A `response_timeout` beyond Twilio's own.
    #[error("Twilio times out after 15 s")]
    LongResponseTimeout,
    /// A sink of Event Streams whose app may take longer than it waits.
    #[error(
        "{0} is named like a sink of Event Streams, which waits 5 s: write response_timeout = \"5s\" on this route"
    )]
    SlowEvents(Pattern),
    /// A trusted block that covers every address.
    #[error("every peer is trusted to state the public URL")]
    TrustsAll,
    /// An expired certificate.
    #[error("the certificate expired on {}", date(.0))]
    Expired(SystemTime),
    /// A certificate that expires soon.
    #[error("the certificate expires on {}", date(.0))]
    ExpiresSoon(SystemTime),
    /// A certificate that is not valid yet.
    #[error("the certificate is not valid before {}", date(.0))]
    NotYetValid(SystemTime),
}

fn in_public_url(why: &str, signed: &str, bare: &str) -> String {
    format!(
        "{why}: only requests signed as {signed} would match; write public_url = \"{bare}\", unless a proxy in front strips the path"
    )
}

/// Formats a time as `2026-01-31T12:00:00Z`.
fn date(moment: &SystemTime) -> humantime::Rfc3339Timestamp {
    humantime::format_rfc3339_seconds(*moment)
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.location, self.kind)
    }
}
