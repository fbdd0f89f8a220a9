//! TOML in; a correct configuration, or every fault in it with its line, out.
//!
//! `raw` is the file as written, `read` gets it out of the text, `refine` makes of it what the gate
//! runs on. Secrets are fetched by `secret`.

mod fault;
mod raw;
mod read;
mod refine;
mod secret;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

pub use fault::{Fault, FaultKind, Faults};
pub use raw::RawConfig;
pub use secret::Secret;

use crate::routes::{Limits, Table};
use raw::{At, OneOrMany, Place, RawToken};

/// Everything that the gate runs on.
#[derive(Debug)]
pub struct Config {
    /// Addresses to listen on, as written.
    pub listen: Vec<String>,
    /// The routes.
    pub table: Table,
    /// The bounds.
    pub limits: Limits,
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
        return refine_with(raw, sources, Vec::new(), "flags", "", Path::new("."));
    };
    let name = path.display().to_string();
    let text = read_text(path).map_err(|error| {
        let kind = FaultKind::Unreadable(error);
        Faults::new(&name, "", vec![Fault { place: Place::Nowhere, key: "file", kind }])
    })?;
    let folder = path.parent().unwrap_or(Path::new("."));
    parse_with(&text, sources, &name, folder)
}

/// The same, from text: relative paths in it start at `folder`.
///
/// # Errors
/// [`Faults`]: all of them.
pub fn parse(text: &str, name: &str, folder: &Path) -> Result<Config, Faults> {
    parse_with(text, &Sources::default(), name, folder)
}

fn parse_with(text: &str, sources: &Sources, name: &str, folder: &Path) -> Result<Config, Faults> {
    let (raw, faults) = read::read(text);
    if faults.iter().any(|fault| matches!(fault.kind, FaultKind::Syntax(_))) {
        return Err(Faults::new(name, text, faults)); // half a file has no other faults worth telling
    }
    refine_with(raw, sources, faults, name, text, folder)
}

fn refine_with(
    mut raw: RawConfig,
    sources: &Sources,
    faults: Vec<Fault>,
    name: &str,
    text: &str,
    folder: &Path,
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
    refine::refine(&raw, faults, folder).map_err(|mut faults| {
        faults.sort_by_key(|fault| match &fault.place {
            Place::File(span) => span.start,
            Place::Flag(_) | Place::Nowhere => usize::MAX,
        });
        Faults::new(name, text, faults)
    })
}

const fn at_flag<T>(flag: &'static str, value: T) -> At<T> {
    At { place: Place::Flag(flag), value }
}

fn read_text(path: &Path) -> io::Result<zeroize::Zeroizing<String>> {
    fs::read_to_string(path).map(zeroize::Zeroizing::new)
}
