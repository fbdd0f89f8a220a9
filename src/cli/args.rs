//! Arguments that several commands share.

use std::path::{Path, PathBuf};

use clap::{
    Args,
    builder::{OsStringValueParser, TypedValueParser},
};

use crate::config::Sources;

/// The argument that names the configuration file.
#[derive(Debug, Args)]
pub(super) struct FileArgs {
    /// The configuration file [default: gatekeeper.toml, if it exists]
    #[arg(short, long, value_name = "FILE", env = "GATEKEEPER_CONFIG", value_parser = path_parser())]
    config: Option<PathBuf>,
}

/// The arguments of `run` and `check`.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Address to listen on, such as 0.0.0.0:8080 [default: that of the file, else 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR", env = "GATEKEEPER_LISTEN")]
    listen: Option<String>,
    /// Origin of the URLs configured at Twilio, such as https://hooks.example.com
    #[arg(long, value_name = "URL", env = "GATEKEEPER_PUBLIC_URL")]
    public_url: Option<String>,
    /// Address of the app, such as http://127.0.0.1:3030
    #[arg(long, value_name = "URL", env = "GATEKEEPER_UPSTREAM")]
    upstream: Option<String>,
}

impl FileArgs {
    /// Returns the named file, or `gatekeeper.toml` in the current folder if it exists.
    pub(super) fn path(&self) -> Option<PathBuf> {
        let here = PathBuf::from("gatekeeper.toml");
        let is_unset = |path: &PathBuf| path.as_os_str().is_empty() && self.is_by_variable();
        let named = self.config.clone().filter(|path| !is_unset(path));
        named.or_else(|| here.exists().then_some(here))
    }

    /// Whether the file is named by the variable alone, as in the container image.
    fn is_by_variable(&self) -> bool {
        let variable = std::env::var_os("GATEKEEPER_CONFIG");
        self.config.is_some() && self.config.as_deref().map(Path::as_os_str) == variable.as_deref()
    }
}

impl RunArgs {
    pub(super) fn sources(&self) -> Sources {
        let [listen, public_url, upstream] =
            [&self.listen, &self.public_url, &self.upstream].map(|text| non_empty(text.as_ref()));
        let file = self.file.path();
        // The image sets the variable to a place where a file may be mounted. Where none is, flags
        // that say everything are enough; what they start is one guarded route.
        let is_complete = public_url.is_some() && upstream.is_some();
        let is_absent =
            |path: &PathBuf| is_complete && self.file.is_by_variable() && !path.exists();
        let (absent, file) = match file {
            Some(path) if is_absent(&path) => (Some(path), None),
            file => (None, file),
        };
        Sources { file, absent, listen, public_url, upstream, keeps_odd_tokens: false }
    }
}

/// clap's own parser of paths refuses an empty one, and so an empty variable.
fn path_parser() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

/// An empty variable counts as one that is not set.
pub(super) fn non_empty(text: Option<&String>) -> Option<String> {
    text.filter(|text| !text.is_empty()).cloned()
}
