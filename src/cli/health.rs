//! `gatekeeper health`: asks the admin listener for readiness, for images without a shell or curl.

use std::{io, net::ToSocketAddrs, process::ExitCode};

use clap::Args;

use super::{
    admin,
    args::{FileArgs, non_empty},
    error::{CliError, FAILURE},
    print,
};
use crate::{
    config,
    net::Listen,
    routes::{Address, Upstream},
};

#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Address of the admin listener, instead of the one in the file: http://127.0.0.1:9090 or unix:/path
    #[arg(long, value_name = "URL", env = "GATEKEEPER_ADMIN")]
    url: Option<String>,
}

/// Prints one line and exits with 0 or 1, whatever fails.
pub(super) fn health(args: &HealthArgs) -> Result<ExitCode, CliError> {
    let result = resolve_address(args).and_then(|address| {
        let status = admin::ask(&address, "GET", "/readyz").map(|answer| answer.status());
        status.map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))
    });
    match result {
        Ok(200) => {
            print::line("ready")?;
            return Ok(ExitCode::SUCCESS);
        }
        Ok(503) => print::error("not ready"),
        Ok(status) => print::error(&format!("not ready: answered {status}")),
        Err(error) => print::error(&format!("not ready: {error}")),
    }
    Ok(ExitCode::from(FAILURE))
}

fn resolve_address(args: &HealthArgs) -> io::Result<Listen> {
    if let Some(url) = non_empty(args.url.as_ref()) {
        return parse_url(&url);
    }
    let none = || io::Error::other("no admin listener: write [admin] listen, or give --url");
    let file = args.file.path().ok_or_else(none)?;
    config::read_admin_listen(&file)?.ok_or_else(none)
}

fn parse_url(url: &str) -> io::Result<Listen> {
    let upstream = Upstream::parse(url).map_err(io::Error::other)?;
    match upstream.address() {
        Address::Unix(path) => Ok(Listen::Unix(path.clone())),
        Address::Host { .. } if upstream.is_https() => {
            Err(io::Error::other("the admin listener speaks HTTP, not HTTPS"))
        }
        Address::Host { host, port } => {
            let resolved = (&**host, *port).to_socket_addrs()?.next();
            Ok(Listen::Tcp(resolved.ok_or(io::ErrorKind::NotFound)?))
        }
    }
}
