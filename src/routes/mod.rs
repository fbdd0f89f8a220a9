//! Which requests we expect, with which keys, and bound for where. Pure.
//!
//! [`Table::find`] answers for one path; everything else here is what it answers with.

mod host;
mod path;
mod table;
mod tls;
mod trust;
mod upstream;

use std::{fmt, sync::Arc, time::Duration};

pub use host::Hosts;
pub use table::Table;
pub use tls::ClientTls;
pub use trust::{Trust, TrustFault};
pub use upstream::{Address, SocketFault, Upstream, UpstreamFault, socket_path};

use crate::signature::{Keyring, Origin};

/// One `[[route]]`, with everything it inherits.
#[derive(Debug)]
pub struct Route {
    /// Its place in the table.
    pub number: usize,
    /// The path it was written with, `/*` at the end for a subtree.
    pub path: Pattern,
    /// The methods it takes; others are refused.
    pub methods: Vec<Box<str>>,
    /// What a request must prove.
    pub access: Access,
    /// What Twilio has on file for it; none, where only a proxy can tell.
    pub origin: Option<Origin>,
    /// The `Host` values it answers to.
    pub hosts: Hosts,
    /// Where proven requests go.
    pub upstream: Arc<Upstream>,
    /// Whether a form POST without parameters may pass.
    pub allow_empty_form: bool,
    /// Whether `X-Forwarded-*` are appended; off, no header is added.
    pub append_forwarded: bool,
    /// The longest body that it takes, in bytes.
    pub max_body_bytes: u64,
    /// What the sender is told in place of 418 and 403.
    pub statuses: Statuses,
    /// How often one signature may pass, where that is bounded.
    pub replay: Option<Replay>,
}

/// How often one signature may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replay {
    /// How long a signature is remembered.
    pub window: Duration,
    /// How often it may come again within that time: Twilio itself tries again.
    pub retries: u32,
}

/// What a request must prove to pass a route.
#[derive(Clone, Debug)]
pub enum Access {
    /// That one of these keys signed it.
    Twilio(Arc<Keyring>),
    /// Nothing: its owner wrote `access = "public"`.
    Public,
}

impl Route {
    /// Whether its owner declared it public.
    #[must_use]
    pub const fn is_public(&self) -> bool {
        matches!(self.access, Access::Public)
    }

    /// Whether it takes this method.
    #[must_use]
    pub fn takes(&self, method: &str) -> bool {
        self.methods.iter().any(|own| &**own == method)
    }
}

/// The statuses that an owner may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statuses {
    /// For a request without a signature. 418, as in Twilio's article.
    pub missing: u16,
    /// For a request that is not proven. 403.
    pub mismatch: u16,
}

impl Default for Statuses {
    fn default() -> Self {
        Self { missing: 418, mismatch: 403 }
    }
}

/// A route's path: one path, or all below one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// Byte for byte this path.
    Exact(Box<str>),
    /// Every path that begins with this, which ends in `/`.
    Subtree(Box<str>),
}

/// Why a text is no route path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternFault {
    /// No leading slash.
    #[error("a path begins with /")]
    NoSlash,
    /// A `*` elsewhere than in a final `/*`.
    #[error("a * may only stand at the end, after a / (as in \"/sms/*\")")]
    Star,
    /// A query or a fragment.
    #[error("a path has no query and no fragment; routes are chosen by path alone")]
    Query,
    /// A character that cannot stand in a request line.
    #[error("a path is written as it comes over the wire: visible ASCII, the rest as %XX")]
    Character,
    /// A subtree that no request can enter.
    #[error(
        "a subtree path may not have dot segments, //, ;, \\ or escapes: such requests are refused"
    )]
    Unsafe,
}

impl Pattern {
    /// Reads `path` of a route.
    ///
    /// # Errors
    /// [`PatternFault`].
    pub fn parse(text: &str) -> Result<Self, PatternFault> {
        if !text.starts_with('/') {
            return Err(PatternFault::NoSlash);
        }
        if text.contains(['?', '#']) {
            return Err(PatternFault::Query);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(PatternFault::Character);
        }
        match text.strip_suffix('*') {
            Some(prefix) if prefix.contains('*') || !prefix.ends_with('/') => {
                Err(PatternFault::Star)
            }
            Some(prefix) if path::is_unsafe(prefix.as_bytes()) => Err(PatternFault::Unsafe),
            Some(prefix) => Ok(Self::Subtree(prefix.into())),
            None if text.contains('*') => Err(PatternFault::Star),
            None => Ok(Self::Exact(text.into())),
        }
    }
}

impl Pattern {
    /// Whether some app might take one path for both, by the loosest reading.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        let (own, others) = (self.folded(), other.folded());
        match (self, other) {
            (Self::Exact(_), Self::Exact(_)) => own == others,
            (Self::Subtree(_), Self::Exact(_)) => path::lies_below(&others, &own),
            (Self::Exact(_), Self::Subtree(_)) => path::lies_below(&own, &others),
            (Self::Subtree(_), Self::Subtree(_)) => {
                path::lies_below(&own, &others) || path::lies_below(&others, &own)
            }
        }
    }

    fn folded(&self) -> Vec<u8> {
        let (Self::Exact(path) | Self::Subtree(path)) = self;
        path::folded(path.as_bytes())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(path) => f.write_str(path),
            Self::Subtree(prefix) => write!(f, "{prefix}*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_meet_where_an_app_might_confuse_them() {
        let meet = |one, other| {
            let (one, other) = (Pattern::parse(one).unwrap(), Pattern::parse(other).unwrap());
            assert_eq!(one.meets(&other), other.meets(&one), "{one} {other}");
            one.meets(&other)
        };
        for (one, other) in [
            ("/voice", "/VOICE/"),
            ("/*", "/voice"),
            ("/sms/*", "/sms"),
            ("/sms/*", "/SMS/in/*"),
            ("/%76oice", "/voice"),
        ] {
            assert!(meet(one, other), "{one} {other}");
        }
        for (one, other) in
            [("/voice", "/voices"), ("/sms/*", "/smsx/*"), ("/sms/*", "/voice"), ("/a/b", "/a")]
        {
            assert!(!meet(one, other), "{one} {other}");
        }
    }

    #[test]
    fn a_path_is_exact_or_a_subtree() {
        assert_eq!(Pattern::parse("/voice"), Ok(Pattern::Exact("/voice".into())));
        assert_eq!(Pattern::parse("/sms/*"), Ok(Pattern::Subtree("/sms/".into())));
        assert_eq!(Pattern::parse("/*").unwrap().to_string(), "/*");
        for (text, fault) in [
            ("voice", PatternFault::NoSlash),
            ("/voice*", PatternFault::Star),
            ("/*/x", PatternFault::Star),
            ("/a?b", PatternFault::Query),
            ("/ä", PatternFault::Character),
            ("/a/../*", PatternFault::Unsafe),
        ] {
            assert_eq!(Pattern::parse(text), Err(fault), "{text}");
        }
    }
}
