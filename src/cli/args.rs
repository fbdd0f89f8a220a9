//! Arguments that several commands share.

use std::path::PathBuf;

use clap::Args;

use crate::config::Sources;

/// The argument that names the configuration file.
#[derive(Debug, Args)]
pub(super) struct FileArgs {
    /// The configuration file [default: gatekeeper.toml, if it exists]
    #[arg(short, long, value_name = "FILE", env = "GATEKEEPER_CONFIG")]
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
        self.config.clone().or_else(|| here.exists().then_some(here))
    }
}

impl RunArgs {
    pub(super) fn sources(&self) -> Sources {
        Sources {
            file: self.file.path(),
            listen: self.listen.clone(),
            public_url: self.public_url.clone(),
            upstream: self.upstream.clone(),
            keeps_odd_tokens: false,
        }
    }
}
