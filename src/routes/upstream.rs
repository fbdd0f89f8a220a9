//! The address of an app.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use super::ClientTls;
use crate::signature::{OriginFault, split_port};

/// An app's address and TLS configuration. It does not change the request, nor its `Host`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Upstream {
    address: Address,
    https: bool,
    tls: Option<ClientTls>,
}

/// The address to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A host over TCP.
    Host {
        /// The name or address; IPv6 without brackets.
        host: Box<str>,
        /// The port.
        port: u16,
    },
    /// The path of a Unix socket.
    Unix(PathBuf),
}

/// The reason for which a text is not an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamFault {
    /// Not one of the three schemes.
    #[error("it must begin with http://, https:// or unix:/")]
    Scheme,
    /// A faulty host or port.
    #[error(transparent)]
    Address(#[from] OriginFault),
    /// A path, a query or a password: the target is forwarded as received.
    #[error(
        "it is an address only, without user, path or query: the target is forwarded as received"
    )]
    Tail,
    /// Not a valid socket path.
    #[error("{0}")]
    Socket(#[from] SocketFault),
}

/// The text is not a path of a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a socket's path begins with / and has at most {} bytes", SocketFault::MAX_LEN)]
pub struct SocketFault;

impl SocketFault {
    /// The length of `sun_path` in Linux's `sockaddr_un` without the final NUL (unix(7)).
    const MAX_LEN: usize = 107;
}

/// Parses the path of a Unix socket.
///
/// # Errors
/// [`SocketFault`].
pub fn socket_path(text: &str) -> Result<PathBuf, SocketFault> {
    let fits = text.starts_with('/') && text.len() <= SocketFault::MAX_LEN && !text.contains('\0');
    if fits { Ok(PathBuf::from(text)) } else { Err(SocketFault) }
}

impl Upstream {
    /// Parses `http://host[:port]`, `https://host[:port]` or `unix:/path`.
    ///
    /// # Errors
    /// [`UpstreamFault`].
    pub fn parse(text: &str) -> Result<Self, UpstreamFault> {
        if let Some(path) = text.strip_prefix("unix:") {
            let address = Address::Unix(socket_path(path)?);
            return Ok(Self { address, https: false, tls: None });
        }
        let (https, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(rest), _) => (false, rest),
            (None, Some(rest)) => (true, rest),
            (None, None) => return Err(UpstreamFault::Scheme),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#', '@']) {
            return Err(UpstreamFault::Tail);
        }
        let (host, port) = split_port(authority)?;
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let host = bare.unwrap_or(host).into();
        let port = port.unwrap_or(if https { 443 } else { 80 });
        Ok(Self { address: Address::Host { host, port }, https, tls: None })
    }

    /// Sets the TLS configuration; ignored unless it is https.
    #[must_use]
    pub fn with_tls(self, tls: Option<&ClientTls>) -> Self {
        let tls = tls.filter(|_| self.https).cloned();
        Self { tls, ..self }
    }

    /// The address to connect to.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// Whether to connect with TLS.
    #[must_use]
    pub const fn is_https(&self) -> bool {
        self.https
    }

    /// The TLS configuration; every https upstream of a loaded configuration has one.
    #[must_use]
    pub const fn tls(&self) -> Option<&ClientTls> {
        self.tls.as_ref()
    }

    /// The path of the Unix socket, if it is one.
    #[must_use]
    pub fn socket(&self) -> Option<&Path> {
        match &self.address {
            Address::Unix(path) => Some(path),
            Address::Host { .. } => None,
        }
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        match &self.address {
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
            Address::Host { host, port } if host.contains(':') => {
                write!(f, "{scheme}://[{host}]:{port}")
            }
            Address::Host { host, port } => write!(f, "{scheme}://{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_is_an_address_only() {
        let shown = |text: &str| Upstream::parse(text).map(|upstream| upstream.to_string());
        assert_eq!(shown("http://[::1]:3030/").unwrap(), "http://[::1]:3030");
        assert_eq!(shown("http://app").unwrap(), "http://app:80");
        assert_eq!(shown("https://app").unwrap(), "https://app:443");
        assert_eq!(shown("unix:/run/app.sock").unwrap(), "unix:/run/app.sock");
        assert_eq!(shown("app:80"), Err(UpstreamFault::Scheme));
        assert_eq!(shown("http://app/path"), Err(UpstreamFault::Tail));
        assert_eq!(shown("http://app:x"), Err(OriginFault::Port.into()));
        assert_eq!(shown("unix:app.sock"), Err(SocketFault.into()));
        assert_eq!(shown(&format!("unix:/{}", "a".repeat(107))), Err(SocketFault.into()));
    }

    #[test]
    fn ipv6_host_has_no_brackets() {
        let host = Address::Host { host: "::1".into(), port: 3030 };
        assert_eq!(Upstream::parse("http://[::1]:3030").unwrap().address(), &host);
        let socket = Upstream::parse("unix:/run/app.sock").unwrap();
        assert_eq!(socket.socket(), Some(Path::new("/run/app.sock")));
    }
}
