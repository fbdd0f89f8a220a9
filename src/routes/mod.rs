//! Routes: the expected requests, their keys and their upstreams. Pure.
//!
//! [`Table::find`] looks up the [`Route`] of a path.

mod host;
mod path;
mod table;
mod tls;
mod trust;
mod upstream;

use std::{fmt, sync::Arc, time::Duration};

use smallvec::SmallVec;

pub use host::Hosts;
pub use table::Table;
pub use tls::ClientTls;
pub use trust::{Trust, TrustFault};
pub use upstream::{Address, SocketFault, Upstream, UpstreamFault, socket_path};

use crate::signature::{BodyScheme, Keyring, Origin, QueryOrder};

/// One `[[route]]`, with everything it inherits.
#[derive(Debug)]
pub struct Route {
    /// The index in the table.
    pub number: usize,
    /// The configured path.
    pub path: Pattern,
    /// The accepted methods; others are refused.
    pub methods: Vec<Box<str>>,
    /// The proof that a request needs.
    pub access: Access,
    /// Whether a request needs its proof. If not, it is judged, and forwarded whatever the verdict.
    pub enforced: bool,
    /// The origins configured at Twilio; none if they come from a trusted proxy's headers.
    pub origins: Vec<Origin>,
    /// The order in which the query may have been signed.
    pub query_order: QueryOrder,
    /// The accepted `Host` values.
    pub hosts: Hosts,
    /// The app that proven requests are forwarded to.
    pub upstream: Arc<Upstream>,
    /// Whether a form POST without parameters may pass.
    pub allow_empty_form: bool,
    /// Whether `X-Forwarded-*` headers are appended. Otherwise no header is added.
    pub append_forwarded: bool,
    /// The longest accepted body, in bytes.
    pub max_body_bytes: u64,
    /// The time until the app's response starts, where the route has its own.
    pub response_timeout: Option<Duration>,
    /// The statuses of refusals, 418 and 403 by default.
    pub statuses: Statuses,
    /// The replay limit, if there is one.
    pub replay: Option<Replay>,
}

/// The limit on repeated use of one signature, or of one signed text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replay {
    /// The time for which a signature is remembered.
    pub window: Duration,
    /// The number of repeats accepted within that time: Twilio retries failed webhooks.
    pub retries: u32,
}

/// The proof that a route requires.
#[derive(Clone, Debug)]
pub enum Access {
    /// A signature by one of these keys.
    Twilio(Arc<Keyring>),
    /// A signature by another scheme, over the body and not over the URL.
    Body(Arc<BodyScheme>),
    /// None: configured with `access = "public"`.
    Public,
}

impl Route {
    /// Whether the route requires no proof.
    #[must_use]
    pub const fn is_public(&self) -> bool {
        matches!(self.access, Access::Public)
    }

    /// The origins that a request with this `Host` may have been signed for; one of `allowed_hosts`
    /// stands for all of them.
    #[must_use]
    pub fn origins_for(&self, host: &str) -> SmallVec<[&Origin; 1]> {
        host::origins_for(&self.origins, host)
    }

    /// Whether unproven requests are forwarded until the route enforces its proofs.
    #[must_use]
    pub const fn is_unenforced(&self) -> bool {
        !self.enforced && !self.is_public()
    }

    /// Describes the URLs, without their queries, that are expected to be signed; or says that none is.
    #[must_use]
    pub fn signed_as(&self) -> String {
        if let Access::Body(scheme) = &self.access {
            return format!("{}, the body alone ({})", self.path, scheme.name());
        }
        if self.origins.is_empty() {
            return format!("{}, at the origin that proxies state", self.path);
        }
        let urls = self.origins.iter().map(|origin| format!("{origin}{}", self.path));
        urls.collect::<Vec<_>>().join(" or ")
    }

    /// Whether this method is accepted.
    #[must_use]
    pub fn accepts(&self, method: &str) -> bool {
        self.methods.iter().any(|own| &**own == method)
    }
}

/// The configurable statuses of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statuses {
    /// For a request without a signature. 418 by default.
    pub missing: u16,
    /// For a request that is not proven. 403 by default.
    pub mismatch: u16,
}

impl Default for Statuses {
    fn default() -> Self {
        Self { missing: 418, mismatch: 403 }
    }
}

/// The path of a route: a single path or a subtree.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// This path, byte for byte.
    Exact(Box<str>),
    /// Every path with this prefix, which ends in `/`.
    Subtree(Box<str>),
}

/// The reason for which a text is not a route path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternFault {
    /// No leading slash.
    #[error("a path begins with /")]
    NoSlash,
    /// A `*` other than in a final `/*`.
    #[error("a * may only stand at the end, after a / (as in \"/sms/*\")")]
    Star,
    /// A query or a fragment.
    #[error("a path has no query and no fragment; routes are chosen by path alone")]
    Query,
    /// A character that cannot stand in a request line.
    #[error("a path is written as it comes over the wire: visible ASCII, the rest as %XX")]
    Character,
    /// A subtree whose requests would all be refused as ambiguous.
    #[error(
        "a subtree path may not have dot segments, //, ;, \\ or escapes: such requests are refused"
    )]
    Unsafe,
}

impl Pattern {
    /// Parses the `path` of a route.
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
    /// Whether some app might route one path to both, by the loosest reading.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
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
    fn patterns_that_an_app_might_confuse_overlap() {
        let overlap = |one, other| {
            let (one, other) = (Pattern::parse(one).unwrap(), Pattern::parse(other).unwrap());
            assert_eq!(one.overlaps(&other), other.overlaps(&one), "{one} {other}");
            one.overlaps(&other)
        };
        for (one, other) in [
            ("/voice", "/VOICE/"),
            ("/*", "/voice"),
            ("/sms/*", "/sms"),
            ("/sms/*", "/SMS/in/*"),
            ("/%76oice", "/voice"),
        ] {
            assert!(overlap(one, other), "{one} {other}");
        }
        for (one, other) in
            [("/voice", "/voices"), ("/sms/*", "/smsx/*"), ("/sms/*", "/voice"), ("/a/b", "/a")]
        {
            assert!(!overlap(one, other), "{one} {other}");
        }
    }

    #[test]
    fn path_is_exact_or_a_subtree() {
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
