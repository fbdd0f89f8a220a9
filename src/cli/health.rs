//! `gatekeeper health`: asks the admin listener for readiness, where there is no shell to ask with.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs},
    os::unix::net::UnixStream,
    process::ExitCode,
    time::Duration,
};

use clap::Args;

use super::{CliError, FAILURE, FileArgs, print};
use crate::{
    config,
    net::Listen,
    routes::{Address, Upstream},
};

/// How long the answer may take: less than a container's health check usually has.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);
/// The status line is all that is wanted.
const MAX_RESPONSE: u64 = 1024;

#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    #[command(flatten)]
    file: FileArgs,
    /// The admin listener, instead of the file's: http://127.0.0.1:9090 or unix:/path
    #[arg(long, value_name = "URL", env = "GATEKEEPER_ADMIN")]
    url: Option<String>,
}

/// 0 or 1, and one line, whatever comes.
pub(super) fn health(args: &HealthArgs) -> Result<ExitCode, CliError> {
    let asked = address(args).and_then(|address| {
        let status = ask(&address);
        status.map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))
    });
    match asked {
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

fn address(args: &HealthArgs) -> io::Result<Listen> {
    if let Some(url) = &args.url {
        return named(url);
    }
    let none = || io::Error::other("no admin listener: write [admin] listen, or give --url");
    let file = args.file.path().ok_or_else(none)?;
    config::read_admin_listen(&file)?.ok_or_else(none)
}

fn named(url: &str) -> io::Result<Listen> {
    let upstream = Upstream::parse(url).map_err(io::Error::other)?;
    match upstream.address() {
        Address::Unix(path) => Ok(Listen::Unix(path.clone())),
        Address::Host { .. } if upstream.is_https() => {
            Err(io::Error::other("the admin listener speaks http"))
        }
        Address::Host { host, port } => {
            let resolved = (&**host, *port).to_socket_addrs()?.next();
            Ok(Listen::Tcp(resolved.ok_or(io::ErrorKind::NotFound)?))
        }
    }
}

/// The status of `/readyz`.
fn ask(listen: &Listen) -> io::Result<u16> {
    match listen {
        Listen::Tcp(address) => {
            let stream = TcpStream::connect_timeout(&reachable(*address), HEALTH_TIMEOUT)?;
            stream.set_read_timeout(Some(HEALTH_TIMEOUT))?;
            status(stream)
        }
        Listen::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(HEALTH_TIMEOUT))?;
            status(stream)
        }
        Listen::Systemd => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Who listens everywhere is reached over loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn status(mut stream: impl Read + Write) -> io::Result<u16> {
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut head = Vec::new();
    stream.take(MAX_RESPONSE).read_to_end(&mut head)?;
    let line = String::from_utf8_lossy(&head);
    let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    status.ok_or_else(|| io::Error::other("no HTTP answer"))
}
