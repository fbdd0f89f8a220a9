//! Faults of a configuration, and their report: location, offending text and help.

use std::{fmt, io, ops::Range, path::PathBuf};

use super::{listen::ListenFault, raw::Location, tls::TlsFault};
use crate::routes::{Pattern, PatternFault, TrustFault, UpstreamFault};
use crate::signature::{OriginFault, PublicKeyFault, TokenShape};

/// Maximum number of faults or warnings collected for one file; more are not read at once.
pub(super) const MAX_FAULTS: usize = 50;

/// One fault.
#[derive(Debug)]
pub struct Fault {
    /// The location of the offending text.
    pub location: Location,
    /// The key, such as `route.public_url`.
    pub key: &'static str,
    /// The kind of fault.
    pub kind: FaultKind,
}

impl Fault {
    /// Returns how to fix the fault, as shown to the user.
    #[must_use]
    pub fn help(&self) -> String {
        match (&self.kind, self.key) {
            (FaultKind::Listen(fault), key) => fault.help(key, &self.location),
            (FaultKind::Origin(_), "public_url") if self.is_of_flag() => {
                "write it as configured at Twilio: --public-url https://hooks.example.com"
                    .to_owned()
            }
            (FaultKind::Upstream(_), _) if self.is_of_flag() => {
                "write where your app listens: --upstream http://127.0.0.1:3030".to_owned()
            }
            (FaultKind::Missing, "public_url") => {
                "write public_url = \"https://hooks.example.com\" at the top, or on this route"
                    .to_owned()
            }
            (FaultKind::Missing, "upstream") => {
                "write upstream = \"http://127.0.0.1:3030\" at the top, or on this route".to_owned()
            }
            (FaultKind::Missing, key) => help_for_missing(key),
            (kind, _) => kind.help().to_owned(),
        }
    }
}

impl Fault {
    const fn is_of_flag(&self) -> bool {
        matches!(self.location, Location::Flag(_))
    }
}

/// Returns the line to write for a key that a table lacks.
fn help_for_missing(key: &str) -> String {
    let (table, name) = key.split_once('.').unwrap_or(("", key));
    let value = match key {
        "route.path" => "\"/voice\"",
        "trust.proxies" => "[\"127.0.0.1/32\"]",
        "trust.hosts" => "[\"*.ngrok-free.app\"]",
        "admin.listen" => "\"127.0.0.1:9090\"",
        "tls.cert" => "\"cert.pem\"",
        "tls.key" => "\"key.pem\"",
        _ => "…",
    };
    match table {
        "route" => format!("write {name} = {value} in this [[route]]"),
        table => format!("write {name} = {value} in [{table}]"),
    }
}

/// The kinds of faults. Their texts are shown to the user.
#[derive(Debug, thiserror::Error)]
pub enum FaultKind {
    /// The file cannot be read.
    #[error("cannot read it: {0}")]
    Unreadable(io::Error),
    /// The text is not valid TOML.
    #[error("{0}")]
    Syntax(String),
    /// A value of the wrong type.
    #[error("{0}")]
    Type(String),
    /// A key that is not known where it stands.
    #[error("{0}")]
    UnknownKey(String),
    /// `[route]` in place of `[[route]]`.
    #[error("routes are a list: [route] is one table")]
    SingleRoute,
    /// The key `upstream_http2` of an earlier version.
    #[error(
        "upstream_http2 was removed: requests are forwarded over HTTP/1.1, which every app server supports"
    )]
    RemovedHttp2,
    /// A required key is missing.
    #[error("missing")]
    Missing,
    /// Not a valid origin.
    #[error("{0}")]
    Origin(OriginFault),
    /// An empty list of public URLs.
    #[error("the list is empty: nothing could ever match")]
    NoPublicUrl,
    /// More public URLs than one request is checked against.
    #[error("more than {0} public URLs: a forged request can be checked against all of them")]
    TooManyUrls(usize),
    /// An admin listener at an address of the gate itself.
    #[error("the gate itself listens there")]
    AdminIsGate,
    /// An upstream that is the gate, or its admin listener.
    #[error("{0} listens there: a request would be forwarded to the gate itself")]
    UpstreamIsGate(&'static str),
    /// Not a valid upstream URL.
    #[error("{0}")]
    Upstream(UpstreamFault),
    /// Not a valid route path.
    #[error("{0}")]
    Pattern(PatternFault),
    /// Not a valid address to listen on.
    #[error("{0}")]
    Listen(ListenFault),
    /// Not a valid entry of `trust.proxies` or `trust.hosts`.
    #[error("{0}")]
    Trust(TrustFault),
    /// A list in `[trust]` is empty.
    #[error("the list is empty: no proxy would be trusted")]
    EmptyTrustList,
    /// An `http://` public URL although the listeners use TLS.
    #[error("it begins with http://, but with [tls] on the gate is reached by https only")]
    PlainUrl,
    /// A certificate without a key, or a key without a certificate.
    #[error("cert and key belong together")]
    HalfCertificate,
    /// An unusable certificate, key or CA file.
    #[error("{0}")]
    Tls(TlsFault),
    /// `replay_retries` without `replay_window`, which it depends on.
    #[error("replay_retries counts within a replay_window, and none is set")]
    RetriesWithoutWindow,
    /// Two routes with the same path; located at the second.
    #[error("an earlier route has this path already")]
    DuplicatePath,
    /// A guarded route without an auth token.
    #[error("no request could ever be verified: there is no auth token")]
    NoToken,
    /// A public route with its own tokens.
    #[error("a public route verifies nothing, so its tokens would never be used")]
    UnusedToken,
    /// A key of another kind of access; the kind that uses it.
    #[error("only a route with access = \"{0}\" uses it")]
    UnusedKey(&'static str),
    /// A guarded route without a key of its scheme.
    #[error("no request could ever be verified: there is no key")]
    NoKey,
    /// More keys than one request is checked against.
    #[error("more than {0} keys: each forged request is checked against all of them")]
    TooManyKeys(usize),
    /// Not a usable public key.
    #[error("{0}")]
    PublicKey(PublicKeyFault),
    /// A key of another sender than Twilio with a selector.
    #[error("account_sid, key_id and algorithm belong to Twilio's keys")]
    TwilioSelector,
    /// A key of two routes that lead to different apps; the earlier route.
    #[error(
        "{0} has the same key and another upstream: the URL is not signed, so what is signed for one could be sent to the other"
    )]
    SharedKey(Pattern),
    /// A method other than POST where the method is not signed.
    #[error("this sender sends POST only, and the method is not signed")]
    OnlyPost,
    /// `enforce` on a public route.
    #[error("a public route verifies nothing, so there is nothing to enforce")]
    NothingToEnforce,
    /// An empty token.
    #[error("the token is empty: anyone can compute a signature with it")]
    EmptyToken,
    /// An environment variable that is set, but empty.
    #[error(
        "the variable {0} is set, but empty: anyone can compute a signature with an empty token"
    )]
    EmptyVariable(String),
    /// A text that cannot be an auth token.
    #[error("this cannot be an auth token: {}", .0.says())]
    TokenShape(TokenShape),
    /// A token with surrounding white space or a line break.
    #[error("the token begins or ends with white space, or has a line break in it")]
    SpacedToken,
    /// Not exactly one of `env`, `file`, `credential` and `value`.
    #[error("a token comes from exactly one of env, file, credential or value")]
    TokenSource,
    /// An environment variable that is not set.
    #[error("the variable {0} is not set")]
    UnsetVariable(String),
    /// An environment variable that cannot be read.
    #[error("the variable {0} cannot be read: {1}")]
    Env(String, io::Error),
    /// A token file that cannot be read.
    #[error("the file {0} cannot be read: {1}")]
    File(PathBuf, io::Error),
    /// A systemd credential that cannot be read.
    #[error("the credential {0} cannot be read: {1}")]
    Credential(String, io::Error),
    /// An accounts file that cannot be read.
    #[error("the file {0} cannot be read: {1}")]
    Accounts(PathBuf, io::Error),
    /// An accounts file without an account.
    #[error("the accounts file is empty: no subaccount's request could ever be verified")]
    NoAccount,
    /// `account_sid`, `key_id` or `algorithm` in an accounts file, where the SID is the selector.
    #[error(
        "this token is bound to an account already; account_sid, key_id and algorithm are not allowed here"
    )]
    AccountTokenSelector,
    /// `key_id` without `algorithm`, or `algorithm` without `key_id`.
    #[error("key_id and algorithm belong together")]
    HalfSharedKey,
    /// A SharedKey bound to an account.
    #[error("a SharedKey is chosen by its id; account_sid would be ignored")]
    SharedKeyWithAccount,
    /// Not an account SID.
    #[error("an account SID is AC and 32 hex digits")]
    AccountSid,
    /// More tokens than one request is checked against.
    #[error("more than {0} tokens: each forged request is checked against all of them")]
    TooManyTokens(usize),
    /// Not an HTTP method.
    #[error("not an HTTP method in capitals")]
    Method,
    /// Not a status for a refusal.
    #[error("a refusal is a status from 400 to 599")]
    Status,
    /// A number or duration out of range.
    #[error("must be at least {0}")]
    TooSmall(&'static str),
}

impl FaultKind {
    /// Returns how to fix the fault, as shown to the user.
    #[must_use]
    const fn help(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => {
                "name the file with -c, or run without one: gatekeeper run --upstream URL --public-url URL"
            }
            Self::Syntax(_) => "see https://toml.io; strings stand in quotes",
            Self::Type(_) => "`gatekeeper schema` lists every key and its type",
            Self::UnknownKey(_) => "correct the key, move it, or drop the line",
            Self::SingleRoute => "write [[route]], with two brackets",
            Self::RemovedHttp2 => "drop the line; HTTP/2 from clients is not affected",
            Self::Missing => "write it at the top, or on the route that needs it", // see `Fault::help`
            Self::NoPublicUrl => "name at least one URL",
            Self::TooManyUrls(_) => "give the routes of other domains a public_url of their own",
            Self::AdminIsGate => "give the admin listener another port",
            Self::UpstreamIsGate(_) => "write where your app listens, which is another port",
            Self::Origin(_) => {
                "write it as configured at Twilio: public_url = \"https://hooks.example.com\""
            }
            Self::Upstream(_) => {
                "write where your app listens: upstream = \"http://127.0.0.1:3030\""
            }
            Self::Pattern(_) => "write one path (\"/voice\") or a subtree (\"/sms/*\")",
            Self::Listen(_) => "write unix: and a path that begins with /",
            Self::Trust(_) => {
                "write proxies = [\"127.0.0.1/32\"] and hosts = [\"*.ngrok-free.app\"]"
            }
            Self::EmptyTrustList => "name at least one, or drop [trust]",
            Self::PlainUrl => "write https://, here and at Twilio; or drop [tls]",
            Self::HalfCertificate => "add the other one, or drop both",
            Self::Tls(fault) => fault.help(),
            Self::RetriesWithoutWindow => "write replay_window = \"1m\", or drop replay_retries",
            Self::DuplicatePath => "keep one of the two",
            Self::NoToken => {
                "add auth_tokens = [{ env = \"TWILIO_AUTH_TOKEN\" }] at the top or here"
            }
            Self::UnusedToken => "drop auth_tokens, or drop access = \"public\"",
            Self::NothingToEnforce => "drop enforce, or drop access = \"public\"",
            Self::EmptyToken | Self::EmptyVariable(_) => {
                "copy the auth token from the Twilio console"
            }
            Self::TokenShape(shape) => shape.cure(),
            Self::UnusedKey(_) => "drop it, or write that access on this route",
            Self::NoKey => {
                "add verification_keys = [\"MFkw…\"] for SendGrid, shared_secrets = [{ env = \"SEGMENT_SECRET\" }] for Segment"
            }
            Self::TooManyKeys(_) => "keep the current and the previous key of each webhook",
            Self::PublicKey(PublicKeyFault::Private) => {
                "write the public key instead, and make a new pair: this one may have been read"
            }
            Self::PublicKey(_) => {
                "copy the Verification Key of the webhook from SendGrid: it begins with MFkwEwYHKoZIzj0C"
            }
            Self::TwilioSelector => "drop them",
            Self::SharedKey(_) => "give each webhook a key of its own, or both routes one upstream",
            Self::OnlyPost => "write methods = [\"POST\"], or drop the line",
            Self::SpacedToken => "copy the token alone: 32 hex digits",
            Self::TokenSource => {
                "write { env = \"NAME\" }, { file = \"PATH\" }, { credential = \"NAME\" } or \"TOKEN\""
            }
            Self::UnsetVariable(_) => "export it before the start, or pass it to the container",
            Self::Env(..) => "set it to the token alone, in ASCII",
            Self::File(..) => "create it with the token as its only line, readable by this user",
            Self::Credential(..) => "add LoadCredential=NAME:PATH to the systemd unit",
            Self::Accounts(..) => "correct the path, and let this user read the file",
            Self::NoAccount => "write one line per account: AC… = \"TOKEN\"; or drop accounts_file",
            Self::AccountTokenSelector => "write the token alone; SharedKeys belong in auth_tokens",
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

    /// Whether the message itself quotes the file, and so may contain a token.
    const fn quotes_file(&self) -> bool {
        matches!(self, Self::Syntax(_) | Self::Type(_) | Self::UnknownKey(_))
    }

    /// Whether the text at the location can contain no token.
    const fn is_safe_to_show(&self) -> bool {
        matches!(
            self,
            Self::Origin(_)
                | Self::Upstream(_)
                | Self::SingleRoute
                | Self::NothingToEnforce
                | Self::NoPublicUrl
                | Self::TooManyUrls(_)
                | Self::AdminIsGate
                | Self::UpstreamIsGate(_)
                | Self::Pattern(_)
                | Self::Listen(_)
                | Self::Trust(_)
                | Self::EmptyTrustList
                | Self::PlainUrl
                | Self::RetriesWithoutWindow
                | Self::DuplicatePath
                | Self::RemovedHttp2
                | Self::OnlyPost
                | Self::Method
                | Self::Status
                | Self::TooSmall(_)
        )
    }
}

/// All faults of one configuration, with the text that they refer to.
#[derive(Debug)]
pub struct Faults {
    /// The file's name.
    pub name: String,
    text: zeroize::Zeroizing<String>,
    /// The faults of this file, in the order of its text.
    pub list: Vec<Fault>,
    /// The faults of the accounts file that this one names.
    accounts_file: Option<Box<Self>>,
    /// Every file that was read or looked for; a change to one may fix a fault, and triggers a reload.
    pub watched: Vec<PathBuf>,
}

impl Faults {
    /// Sorts the faults by location and removes duplicates: keys at the top are validated once for
    /// each route.
    #[must_use]
    pub fn new(name: &str, text: &str, mut list: Vec<Fault>) -> Self {
        list.sort_by_key(|fault| match &fault.location {
            Location::File(span) => span.start,
            Location::Flag(_) | Location::Nowhere => usize::MAX,
        });
        list.dedup_by(|later, earlier| {
            later.location == earlier.location
                && later.key == earlier.key
                && later.kind.to_string() == earlier.kind.to_string()
        });
        let (name, text) = (name.to_owned(), text.to_owned().into());
        Self { name, text, list, accounts_file: None, watched: Vec::new() }
    }

    /// Adds the faults of the accounts file.
    pub(super) fn with_accounts_file(self, accounts_file: Option<Self>) -> Self {
        Self { accounts_file: accounts_file.map(Box::new), ..self }
    }

    /// Sets the files to watch.
    pub(super) fn with_watched(self, watched: Vec<PathBuf>) -> Self {
        Self { watched, ..self }
    }
}

impl Faults {
    /// Returns each fault in one line, location first, with its cure. Tokens are masked.
    #[must_use]
    pub fn entries(&self) -> Vec<(String, &'static str)> {
        let own = self.list.iter().map(|fault| (self.headline(fault), fault.kind.help()));
        own.chain(self.accounts_file.iter().flat_map(|faults| faults.entries())).collect()
    }

    fn headline(&self, fault: &Fault) -> String {
        let Fault { location, key, kind } = fault;
        let what = mask_tokens(&kind.to_string(), kind.quotes_file());
        match location {
            Location::File(span) => {
                let (line, column) = position(&self.text, span.start);
                format!("{}:{line}:{column}: {key}: {what}", self.name)
            }
            Location::Flag(flag) => format!("{flag}: {what}"),
            Location::Nowhere => format!("{}: {key}: {what}", self.name),
        }
    }
}

/// Prints each fault with file, line, column, offending text and help. Tokens are masked.
impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.list {
            writeln!(f, "{}", self.headline(fault))?;
            if let Location::File(span) = &fault.location {
                writeln!(f, "    | {}", self.excerpt(span, &fault.kind))?;
            }
            writeln!(f, "    = {}", fault.help())?;
        }
        self.accounts_file.as_ref().map_or(Ok(()), |faults| faults.fmt(f))
    }
}

impl std::error::Error for Faults {}

/// Returns line and column of a byte offset, both from 1. Columns count characters.
pub(super) fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count().saturating_add(1);
    let start = before.rfind('\n').map_or(0, |newline| newline.saturating_add(1));
    let column = before.get(start..).unwrap_or_default().chars().count().saturating_add(1);
    (line, column)
}

impl Faults {
    /// Returns the offending text if it can contain no token, else its line with all quoted strings
    /// masked.
    fn excerpt(&self, span: &Range<usize>, kind: &FaultKind) -> String {
        if kind.is_safe_to_show() {
            let own = self.text.get(span.clone()).unwrap_or_default();
            return mask_tokens(&hide_password(own.lines().next().unwrap_or_default()), false);
        }
        let before = self.text.get(..span.start).unwrap_or_default();
        let start = before.rfind('\n').map_or(0, |newline| newline.saturating_add(1));
        let line = self.text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        mask_tokens(line.trim(), true)
    }
}

/// Replaces the userinfo of `https://user:password@host` with `…`.
fn hide_password(text: &str) -> String {
    match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => {
            let start = text.get(..scheme.saturating_add(3)).unwrap_or_default();
            format!("{start}…{}", text.get(at..).unwrap_or_default())
        }
        _ => text.to_owned(),
    }
}

/// Masks possible tokens: alphanumeric runs of 16 characters or more with a digit, and with
/// `hide_quoted` all quoted strings.
fn mask_tokens(text: &str, hide_quoted: bool) -> String {
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
            (None, '"' | '\'') if hide_quoted => {
                quote = Some(character);
                shown.push(character);
            }
            (None, _) => shown.push(character),
        }
    }
    shown.truncate(shown.trim_end().len());
    shown
}
