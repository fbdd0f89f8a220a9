//! Talks to the admin listener of a running gate.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    time::Duration,
};

use super::{
    connect::ReadWrite,
    http::{self, Answer},
};
use crate::net::Listen;

/// Timeout to connect and to read: below the usual timeout of a container's health check.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Sends one request without a body.
pub(super) fn ask(listen: &Listen, method: &str, path: &str) -> io::Result<Answer> {
    http::exchange(&http::request(method, path, "localhost"), connect(listen)?)
}

fn connect(listen: &Listen) -> io::Result<Box<dyn ReadWrite>> {
    Ok(match listen {
        Listen::Tcp(address) => {
            let stream = TcpStream::connect_timeout(&to_reachable(*address), ADMIN_TIMEOUT)?;
            stream.set_read_timeout(Some(ADMIN_TIMEOUT))?;
            Box::new(stream)
        }
        Listen::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(ADMIN_TIMEOUT))?;
            Box::new(stream)
        }
        Listen::Systemd => return Err(io::ErrorKind::Unsupported.into()),
    })
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
