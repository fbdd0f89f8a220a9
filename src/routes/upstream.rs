//! Where proven requests go.

use std::fmt;

use crate::signature::{OriginFault, split_port};

/// The app: an address to connect to. The request itself is not changed by it, `Host` included.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Upstream {
    host: Box<str>,
    port: u16,
}

/// Why a text is no upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamFault {
    /// Not `http://`.
    #[error("it must begin with http://")]
    Scheme,
    /// As for an origin.
    #[error(transparent)]
    Address(#[from] OriginFault),
    /// A path, a query or a password: the target is forwarded as received.
    #[error(
        "it is an address only, without user, path or query: the target is forwarded as received"
    )]
    Tail,
}

impl Upstream {
    /// Reads `http://host[:port]`.
    ///
    /// # Errors
    /// [`UpstreamFault`].
    pub fn parse(text: &str) -> Result<Self, UpstreamFault> {
        let rest = text.strip_prefix("http://").ok_or(UpstreamFault::Scheme)?;
        let address = rest.strip_suffix('/').unwrap_or(rest);
        if address.contains(['/', '?', '#', '@']) {
            return Err(UpstreamFault::Tail);
        }
        let (host, port) = split_port(address)?;
        Ok(Self { host: host.into(), port: port.unwrap_or(80) })
    }

    /// Host name or address, without an IPv6 address's brackets, and port: what to connect to.
    #[must_use]
    pub fn address(&self) -> (&str, u16) {
        let host = &*self.host;
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        (bare.unwrap_or(host), self.port)
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_an_address_only() {
        assert_eq!(Upstream::parse("http://[::1]:3030/").unwrap().address(), ("::1", 3030));
        assert_eq!(Upstream::parse("http://app").unwrap().to_string(), "http://app:80");
        assert_eq!(Upstream::parse("app:80"), Err(UpstreamFault::Scheme));
        assert_eq!(Upstream::parse("http://app/path"), Err(UpstreamFault::Tail));
        assert_eq!(Upstream::parse("http://app:x"), Err(OriginFault::Port.into()));
    }
}
