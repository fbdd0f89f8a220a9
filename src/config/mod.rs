//! Loads the configuration: TOML in; a valid [`Config`], or every fault with its line, out.
//!
//! `raw` holds the file as written, `read` parses the text into it, `validate` turns it into the
//! [`Config`] that the gate runs on, and `secret` loads the tokens.

mod fault;
mod lines;
mod listen;
mod raw;
mod read;
mod secret;
mod source_file;
mod tls;
mod unknown_key;
mod validate;
mod validated;
mod warning;

use std::{
    io,
    path::{Path, PathBuf},
};

pub use fault::{Fault, FaultKind, Faults};
pub use lines::{Lines, RouteLines};
pub use listen::{ListenFault, parse_listen};
pub use raw::RawConfig;
pub use secret::Secret;
pub use tls::{Tls, TlsFault, Validity, client_config, roots};
pub use validated::Config;
pub use warning::{Warning, WarningKind};

use crate::net::Listen;
use raw::{Located, Location, OneOrMany, RawToken, RawUrls};
use read::RemovedKeys;
use source_file::{SourceFile, read_text};

/// The file and the flags that a configuration is loaded from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The configuration file, if any.
    pub file: Option<PathBuf>,
    /// A file that a variable names and that does not exist; the flags stand in for it.
    pub absent: Option<PathBuf>,
    /// `--listen`
    pub listen: Option<String>,
    /// `--public-url`
    pub public_url: Option<String>,
    /// `--upstream`
    pub upstream: Option<String>,
    /// Whether tokens that cannot be auth tokens are warnings, so that `explain` can name them.
    pub keeps_odd_tokens: bool,
}

/// The environment variable with the auth token when there is no configuration file.
pub const TOKEN_VARIABLE: &str = "TWILIO_AUTH_TOKEN";

/// Loads the configuration from file and flags, secrets included.
///
/// # Errors
/// [`Faults`] with every fault found, not only the first.
pub fn load(sources: &Sources) -> Result<Config, Faults> {
    let Some(path) = &sources.file else {
        let token = from_flag(TOKEN_VARIABLE, RawToken::from_env(TOKEN_VARIABLE));
        let auth_tokens = Some(from_flag("auth_tokens", vec![token]));
        let raw = RawConfig { auth_tokens, ..RawConfig::default() };
        let source = SourceFile { name: "flags", file: None, text: "", folder: Path::new(".") };
        return validate_with(raw, sources, Default::default(), source);
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
        Faults::new(&name, "", vec![Fault { location: Location::Nowhere, key: "file", kind }])
    })?;
    let folder = path.parent().unwrap_or(Path::new("."));
    parse_with(sources, SourceFile { name: &name, file: Some(path), text: &text, folder })
}

/// Reads `[admin] listen` alone; faults elsewhere in the file are ignored.
///
/// # Errors
/// When the file cannot be read, or the value is not an address to listen on.
pub fn read_admin_listen(file: &Path) -> io::Result<Option<Listen>> {
    let text = read_text(file)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))?;
    let listen = read::admin_listen(&text);
    listen.map(|listen| parse_listen(&listen).map_err(io::Error::other)).transpose()
}

/// Parses a configuration from text; relative paths in it are resolved against `folder`.
///
/// # Errors
/// [`Faults`] with every fault found.
pub fn parse(text: &str, name: &str, folder: &Path) -> Result<Config, Faults> {
    parse_with(&Sources::default(), SourceFile { name, file: None, text, folder })
}

/// The same for `explain`: tokens that cannot be auth tokens are warnings.
///
/// # Errors
/// [`Faults`] with every other fault found.
pub fn parse_to_explain(text: &str, name: &str, folder: &Path) -> Result<Config, Faults> {
    let sources = Sources { keeps_odd_tokens: true, ..Sources::default() };
    parse_with(&sources, SourceFile { name, file: None, text, folder })
}

fn parse_with(sources: &Sources, source: SourceFile<'_>) -> Result<Config, Faults> {
    let (raw, faults, removed) = read::read_config(source.text);
    if faults.iter().any(|fault| matches!(fault.kind, FaultKind::Syntax(_))) {
        // The parser recovers with half a file: faults found in that would mislead.
        return Err(Faults::new(source.name, source.text, faults));
    }
    validate_with(raw, sources, (faults, removed), source)
}

fn validate_with(
    mut raw: RawConfig,
    sources: &Sources,
    (faults, removed): (Vec<Fault>, RemovedKeys),
    source: SourceFile<'_>,
) -> Result<Config, Faults> {
    if let Some(listen) = &sources.listen {
        raw.listen = Some(from_flag("--listen", OneOrMany::One(listen.clone())));
    }
    if let Some(url) = &sources.public_url {
        raw.public_url = Some(from_flag("--public-url", RawUrls::One(url.clone())));
    }
    if let Some(upstream) = &sources.upstream {
        raw.upstream = Some(from_flag("--upstream", upstream.clone()));
    }
    validate::validate(&raw, faults, removed, source, sources.keeps_odd_tokens)
}

const fn from_flag<T>(flag: &'static str, value: T) -> Located<T> {
    Located { location: Location::Flag(flag), value }
}
