//! TOML in; a correct configuration, or every fault in it with its line, out.
//!
//! `raw` is the file as written, `read` gets it out of the text, `validate` makes of it what the gate
//! runs on. Secrets are fetched by `secret`.

mod fault;
mod listen;
mod raw;
mod read;
mod secret;
mod tls;
mod validate;
mod warning;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

pub use fault::{Fault, FaultKind, Faults};
pub use listen::{ListenFault, parse_listen};
pub use raw::RawConfig;
pub use secret::Secret;
pub use tls::{Tls, TlsFault, Validity, client};
pub use warning::{Warning, WarningKind};

use crate::limits::Limits;
use crate::net::Listen;
use crate::routes::Table;
use raw::{Located, Location, OneOrMany, RawToken};

/// Everything that the gate runs on.
#[derive(Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: Vec<Listen>,
    /// Where to tell operators of health and figures, if anywhere.
    pub admin: Option<Listen>,
    /// TLS on the listeners, if they speak it.
    pub tls: Option<Tls>,
    /// How long the certificate is good that https upstreams are shown, if there is one.
    pub client_certificate: Option<Validity>,
    /// Whether HTTP/2 is taken without TLS too.
    pub http2_cleartext: bool,
    /// The routes.
    pub table: Table,
    /// The bounds.
    pub limits: Limits,
    /// Every file that was read: a change of one is a change of the configuration.
    pub watched: Vec<PathBuf>,
    /// What is right but will hurt.
    pub warnings: Vec<Warning>,
}

/// A text to read a configuration from.
#[derive(Clone, Copy)]
struct SourceFile<'a> {
    name: &'a str,
    /// The file that it is from, where it is from one.
    file: Option<&'a Path>,
    text: &'a str,
    /// Where relative paths in it start.
    folder: &'a Path,
}

/// Where the configuration comes from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file, where there is one.
    pub file: Option<PathBuf>,
    /// `--listen`
    pub listen: Option<String>,
    /// `--public-url`
    pub public_url: Option<String>,
    /// `--upstream`
    pub upstream: Option<String>,
}

/// The variable that holds the auth token where no file says otherwise.
pub const TOKEN_VARIABLE: &str = "TWILIO_AUTH_TOKEN";

/// Reads file and flags, and fetches the secrets.
///
/// # Errors
/// [`Faults`]: all of them.
pub fn load(sources: &Sources) -> Result<Config, Faults> {
    let Some(path) = &sources.file else {
        let token = at_flag(TOKEN_VARIABLE, RawToken::from_env(TOKEN_VARIABLE));
        let auth_tokens = Some(at_flag("auth_tokens", vec![token]));
        let raw = RawConfig { auth_tokens, ..RawConfig::default() };
        let sheet = SourceFile { name: "flags", file: None, text: "", folder: Path::new(".") };
        return validate_with(raw, sources, Vec::new(), sheet);
    };
    let mut loaded = load_file(path, sources);
    let watched = match &mut loaded {
        Ok(config) => &mut config.watched,
        Err(faults) => &mut faults.watched,
    };
    watched.insert(0, path.clone());
    loaded
}

fn load_file(path: &Path, sources: &Sources) -> Result<Config, Faults> {
    let name = path.display().to_string();
    let text = read_text(path).map_err(|error| {
        let kind = FaultKind::Unreadable(error);
        Faults::new(&name, "", vec![Fault { place: Location::Nowhere, key: "file", kind }])
    })?;
    let folder = path.parent().unwrap_or(Path::new("."));
    parse_with(sources, SourceFile { name: &name, file: Some(path), text: &text, folder })
}

/// Where a file puts the admin listener, whatever else in it is wrong or missing.
///
/// # Errors
/// When the file cannot be read, or what it says is no place to listen.
pub fn admin_of(file: &Path) -> io::Result<Option<Listen>> {
    let text = read_text(file)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))?;
    let listen = read::admin_listen(&text);
    listen.map(|listen| parse_listen(&listen).map_err(io::Error::other)).transpose()
}

/// The same, from text: relative paths in it start at `folder`.
///
/// # Errors
/// [`Faults`]: all of them.
pub fn parse(text: &str, name: &str, folder: &Path) -> Result<Config, Faults> {
    parse_with(&Sources::default(), SourceFile { name, file: None, text, folder })
}

fn parse_with(sources: &Sources, sheet: SourceFile<'_>) -> Result<Config, Faults> {
    let (raw, faults) = read::read(sheet.text);
    if faults.iter().any(|fault| matches!(fault.kind, FaultKind::Syntax(_))) {
        // half a file has no other faults worth telling
        return Err(Faults::new(sheet.name, sheet.text, faults));
    }
    validate_with(raw, sources, faults, sheet)
}

fn validate_with(
    mut raw: RawConfig,
    sources: &Sources,
    faults: Vec<Fault>,
    sheet: SourceFile<'_>,
) -> Result<Config, Faults> {
    if let Some(listen) = &sources.listen {
        raw.listen = Some(at_flag("--listen", OneOrMany::One(listen.clone())));
    }
    if let Some(url) = &sources.public_url {
        raw.public_url = Some(at_flag("--public-url", url.clone()));
    }
    if let Some(upstream) = &sources.upstream {
        raw.upstream = Some(at_flag("--upstream", upstream.clone()));
    }
    validate::validate(&raw, faults, sheet)
}

const fn at_flag<T>(flag: &'static str, value: T) -> Located<T> {
    Located { place: Location::Flag(flag), value }
}

fn read_text(path: &Path) -> io::Result<zeroize::Zeroizing<String>> {
    fs::read_to_string(path).map(zeroize::Zeroizing::new)
}
