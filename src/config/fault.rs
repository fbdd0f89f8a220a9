//! What is wrong with a configuration, said so that it can be mended.

use std::{fmt, io, ops::Range, path::PathBuf};

use super::{listen::ListenFault, raw::Location, tls::TlsFault};
use crate::routes::{PatternFault, TrustFault, UpstreamFault};
use crate::signature::OriginFault;

/// More faults of one file than this are not worth reading at once.
pub(super) const MAX_FAULTS: usize = 50;

/// One fault: where, what, and the cure.
#[derive(Debug)]
pub struct Fault {
    /// Where it was written.
    pub place: Location,
    /// The key it is about, as `route.public_url`.
    pub key: &'static str,
    /// What it is.
    pub kind: FaultKind,
}

/// Every fault there is.
#[derive(Debug, thiserror::Error)]
pub enum FaultKind {
    /// The file cannot be read.
    #[error("cannot read it: {0}")]
    Unreadable(io::Error),
    /// Not TOML.
    #[error("{0}")]
    Syntax(String),
    /// An unknown key, or a value of the wrong type.
    #[error("{0}")]
    Type(String),
    /// A key of an earlier version.
    #[error("upstream_http2 was removed: apps are spoken to in HTTP/1.1, which all of them speak")]
    RemovedHttp2,
    /// A key that has no default.
    #[error("missing")]
    Missing,
    /// No origin.
    #[error("{0}")]
    Origin(OriginFault),
    /// No upstream.
    #[error("{0}")]
    Upstream(UpstreamFault),
    /// No route path.
    #[error("{0}")]
    Pattern(PatternFault),
    /// No address to listen on.
    #[error("{0}")]
    Listen(ListenFault),
    /// No proxy to believe, or no host.
    #[error("{0}")]
    Trust(TrustFault),
    /// A list of nothing.
    #[error("the list is empty: nobody would be believed about anything")]
    NobodyTrusted,
    /// A plain URL where the gate itself speaks TLS.
    #[error("it begins with http://, but with [tls] on the gate is reached by https only")]
    PlainUrl,
    /// A certificate without its key, or the other way round.
    #[error("cert and key belong together")]
    HalfCertificate,
    /// A certificate, key or root that is of no use.
    #[error("{0}")]
    Tls(TlsFault),
    /// A bound on what is not looked at.
    #[error("replay_retries counts within a replay_window, and there is none")]
    RetriesWithoutWindow,
    /// Two routes on one path; the first one's place is named.
    #[error("an earlier route has this path already")]
    Twice,
    /// No token for a guarded route.
    #[error("nothing could ever be proven here: this route has no auth token")]
    NoToken,
    /// A public route with tokens of its own.
    #[error("a public route checks nothing, so its tokens would be of no use")]
    IdleToken,
    /// An empty token.
    #[error("the token is empty: anybody can compute a signature with it")]
    EmptyToken,
    /// A token with white space around it or line breaks inside.
    #[error("the token begins or ends with white space, or has a line break in it")]
    SpacedToken,
    /// Not exactly one of env, file, credential, value.
    #[error("a token comes from exactly one of env, file, credential or value")]
    Source,
    /// A variable that is not there.
    #[error("the variable {0} cannot be read: {1}")]
    Env(String, io::Error),
    /// A file that is not there.
    #[error("the file {0} cannot be read: {1}")]
    File(PathBuf, io::Error),
    /// A credential that is not there.
    #[error("the credential {0} cannot be read: {1}")]
    Credential(String, io::Error),
    /// An accounts file that is not there.
    #[error("the file {0} cannot be read: {1}")]
    Accounts(PathBuf, io::Error),
    /// An accounts file without an account.
    #[error("the accounts file is empty: no subaccount could ever prove anything")]
    NoAccount,
    /// Something in an accounts file that would bind the token to more than its account.
    #[error(
        "this token is an account's already; account_sid, key_id and algorithm have no place here"
    )]
    BoundAlready,
    /// `algorithm` without `key_id`, or the other way round.
    #[error("key_id and algorithm belong together")]
    HalfSharedKey,
    /// A SharedKey bound to an account.
    #[error("a SharedKey is chosen by its id; account_sid would never be looked at")]
    SharedKeyWithAccount,
    /// No account SID.
    #[error("an account SID is AC and 32 hex digits")]
    AccountSid,
    /// More keys than one request may be tried with.
    #[error("more than {0} tokens: every one of them is tried on every forged request")]
    TooManyTokens(usize),
    /// No method.
    #[error("not an HTTP method in capitals")]
    Method,
    /// No status for a refusal.
    #[error("a refusal is a status from 400 to 599")]
    Status,
    /// A number or duration out of range.
    #[error("must be at least {0}")]
    TooSmall(&'static str),
}

impl FaultKind {
    /// What to do about it.
    #[must_use]
    pub const fn cure(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => {
                "name the file with -c, or run without one: gatekeeper run --upstream URL --public-url URL"
            }
            Self::Syntax(_) => "see https://toml.io; strings stand in quotes",
            Self::Type(_) => "`gatekeeper schema` lists every key and its type",
            Self::RemovedHttp2 => "drop the line; HTTP/2 from clients is not affected",
            Self::Missing => "write it at the top, or on the route that needs it",
            Self::Origin(_) => {
                "write it as Twilio has it on file: public_url = \"https://hooks.example.com\""
            }
            Self::Upstream(_) => {
                "write where your app listens: upstream = \"http://127.0.0.1:3030\""
            }
            Self::Pattern(_) => "write one path (\"/voice\") or a subtree (\"/sms/*\")",
            Self::Listen(_) => {
                "write listen = \"0.0.0.0:8080\", \"unix:/run/gatekeeper.sock\" or \"systemd\""
            }
            Self::Trust(_) => "write proxies = [\"127.0.0.1/32\"] and hosts = [\"*.ngrok.app\"]",
            Self::NobodyTrusted => "name at least one, or drop [trust]",
            Self::PlainUrl => "write https://, here and at Twilio; or drop [tls]",
            Self::HalfCertificate => "add the other one, or drop both",
            Self::Tls(fault) => fault.cure(),
            Self::RetriesWithoutWindow => "write replay_window = \"1m\", or drop replay_retries",
            Self::Twice => "keep one of the two",
            Self::NoToken => {
                "add auth_tokens = [{ env = \"TWILIO_AUTH_TOKEN\" }] at the top or here"
            }
            Self::IdleToken => "drop auth_tokens, or drop access = \"public\"",
            Self::EmptyToken => "copy the auth token from the Twilio console",
            Self::SpacedToken => "copy the token alone: 32 hex digits",
            Self::Source => {
                "write { env = \"NAME\" }, { file = \"PATH\" }, { credential = \"NAME\" } or \"TOKEN\""
            }
            Self::Env(..) => "export it before the start, or pass it to the container",
            Self::File(..) => "create it with the token as its only line, readable by this user",
            Self::Credential(..) => "add LoadCredential=NAME:PATH to the systemd unit",
            Self::Accounts(..) => "correct the path, and let this user read the file",
            Self::NoAccount => "write one line per account: AC… = \"TOKEN\"; or drop accounts_file",
            Self::BoundAlready => "write the token alone; SharedKeys belong into auth_tokens",
            Self::HalfSharedKey => {
                "add the other: { env = \"…\", key_id = \"webhooks_sharedkey_…\", algorithm = \"HMAC_SHA256\" }"
            }
            Self::SharedKeyWithAccount => "drop account_sid",
            Self::AccountSid => "copy the Account SID from the Twilio console",
            Self::TooManyTokens(_) => "keep the current and the previous token of each account",
            Self::Method => "write methods = [\"GET\", \"POST\"]",
            Self::Status => "write for example missing_status = 401",
            Self::TooSmall(_) => "raise it, or drop the line for the default",
        }
    }

    /// Whether its own text quotes the file, and so perhaps a token.
    const fn quotes_the_file(&self) -> bool {
        matches!(self, Self::Syntax(_) | Self::Type(_))
    }

    /// Whether what stands at its place is known to hold no token.
    const fn is_harmless(&self) -> bool {
        matches!(
            self,
            Self::Origin(_)
                | Self::Upstream(_)
                | Self::Pattern(_)
                | Self::Listen(_)
                | Self::Trust(_)
                | Self::NobodyTrusted
                | Self::PlainUrl
                | Self::RetriesWithoutWindow
                | Self::Twice
                | Self::RemovedHttp2
                | Self::Method
                | Self::Status
                | Self::TooSmall(_)
        )
    }
}

/// All faults of one configuration, with the text they are in.
#[derive(Debug)]
pub struct Faults {
    /// The file's name.
    pub name: String,
    text: zeroize::Zeroizing<String>,
    /// Located least one, or there are some elsewhere.
    pub list: Vec<Fault>,
    /// Those of a file that this one names.
    elsewhere: Option<Box<Self>>,
    /// Every file that was looked for, whether it is there or not: a change of one may be the cure.
    pub watched: Vec<PathBuf>,
}

impl Faults {
    /// Puts faults and text together, in the text's order and each once: what stands at the top
    /// is read for every route.
    #[must_use]
    pub fn new(name: &str, text: &str, mut list: Vec<Fault>) -> Self {
        list.sort_by_key(|fault| match &fault.place {
            Location::File(span) => span.start,
            Location::Flag(_) | Location::Nowhere => usize::MAX,
        });
        list.dedup_by(|later, earlier| {
            later.place == earlier.place
                && later.key == earlier.key
                && later.kind.to_string() == earlier.kind.to_string()
        });
        let (name, text) = (name.to_owned(), text.to_owned().into());
        Self { name, text, list, elsewhere: None, watched: Vec::new() }
    }

    /// The same, with those of a file that this one names.
    pub(super) fn and(self, elsewhere: Option<Self>) -> Self {
        Self { elsewhere: elsewhere.map(Box::new), ..self }
    }

    /// The same, with the files that were looked for.
    pub(super) fn watching(self, watched: Vec<PathBuf>) -> Self {
        Self { watched, ..self }
    }
}

/// Every fault with file, line, column, the offending text and the cure. No token is ever shown.
impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.list {
            let Fault { place, key, kind } = fault;
            let what = masked(&kind.to_string(), kind.quotes_the_file());
            match place {
                Location::File(span) => {
                    let (line, column) = position(&self.text, span.start);
                    writeln!(f, "{}:{line}:{column}: {key}: {what}", self.name)?;
                    writeln!(f, "    | {}", self.shown(span, kind))?;
                }
                Location::Flag(flag) => writeln!(f, "{flag}: {what}")?,
                Location::Nowhere => writeln!(f, "{}: {key}: {what}", self.name)?,
            }
            writeln!(f, "    = {}", kind.cure())?;
        }
        self.elsewhere.as_ref().map_or(Ok(()), |faults| faults.fmt(f))
    }
}

impl std::error::Error for Faults {}

/// Line and column of a byte, from 1.
pub(super) fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count().saturating_add(1);
    let start = before.rfind('\n').map_or(0, |newline| newline.saturating_add(1));
    let column = before.get(start..).unwrap_or_default().chars().count().saturating_add(1);
    (line, column)
}

impl Faults {
    /// The offending text: itself where it can hold no token, else the line it begins in with all
    /// that stands in quotes hidden.
    fn shown(&self, span: &Range<usize>, kind: &FaultKind) -> String {
        if kind.is_harmless() {
            let own = self.text.get(span.clone()).unwrap_or_default();
            return masked(&without_password(own.lines().next().unwrap_or_default()), false);
        }
        let before = self.text.get(..span.start).unwrap_or_default();
        let start = before.rfind('\n').map_or(0, |newline| newline.saturating_add(1));
        let line = self.text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        masked(line.trim(), true)
    }
}

/// `https://user:password@host` without what stands before the `@`.
fn without_password(text: &str) -> String {
    match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => {
            let start = text.get(..scheme.saturating_add(3)).unwrap_or_default();
            format!("{start}…{}", text.get(at..).unwrap_or_default())
        }
        _ => text.to_owned(),
    }
}

/// Hides what may be a token: long runs of letters and digits always, and on demand all that stands
/// in quotes.
fn masked(text: &str, quoted_too: bool) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut quote = None;
    let mut run = String::new();
    for character in text.chars().chain(std::iter::once('\n')) {
        if character.is_ascii_alphanumeric() && quote.is_none() {
            run.push(character);
            continue;
        }
        let hide = run.len() >= 16 && run.contains(|c: char| c.is_ascii_digit());
        shown.push_str(if hide { "…" } else { &run });
        run.clear();
        match (quote, character) {
            (Some(open), _) if open == character => {
                quote = None;
                shown.push('…');
                shown.push(character);
            }
            (Some(_), _) => {}
            (None, '"' | '\'') if quoted_too => {
                quote = Some(character);
                shown.push(character);
            }
            (None, _) => shown.push(character),
        }
    }
    shown.truncate(shown.trim_end().len());
    shown
}
