//! `gatekeeper health`: asks the admin listener for readiness, for images without a shell or curl.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs},
    os::unix::net::UnixStream,
    process::ExitCode,
    time::Duration,
};

use clap::Args;

use super::{
    args::{FileArgs, non_empty},
    error::{CliError, FAILURE},
    print,
};
use crate::{
    config,
    net::Listen,
    routes::{Address, Upstream},
};

/// Timeout to connect and to read: below the usual timeout of a container's health check.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum bytes read of the response: only the status line matters.
const MAX_RESPONSE: u64 = 1024;

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
        let status = request_status(&address);
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

/// Returns the status of `/readyz`.
fn request_status(listen: &Listen) -> io::Result<u16> {
    match listen {
        Listen::Tcp(address) => {
            let stream = TcpStream::connect_timeout(&to_reachable(*address), HEALTH_TIMEOUT)?;
            stream.set_read_timeout(Some(HEALTH_TIMEOUT))?;
            read_status(stream)
        }
        Listen::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(HEALTH_TIMEOUT))?;
            read_status(stream)
        }
        Listen::Systemd => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Replaces the unspecified address (0.0.0.0, ::) by loopback, where it can be reached.
fn to_reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn read_status(mut stream: impl Read + Write) -> io::Result<u16> {
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut head = Vec::new();
    stream.take(MAX_RESPONSE).read_to_end(&mut head)?;
    let line = String::from_utf8_lossy(&head);
    let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    status.ok_or_else(|| io::Error::other("no HTTP answer"))
}
