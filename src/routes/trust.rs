//! The proxies that are trusted with the public URL, and the hosts that they may name.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;

use crate::signature::split_port;

/// `[trust]`: for tunnels whose public name changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    proxies: Vec<IpNet>,
    /// Whether peers on a Unix socket are trusted.
    unix: bool,
    hosts: Vec<Name>,
}

/// An accepted host or subtree of hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    /// This host.
    Exact(Box<str>),
    /// All hosts with this suffix, which begins with a dot.
    Below(Box<str>),
}

/// The reason for which a text is not an entry of `[trust]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustFault {
    /// Neither an address nor a CIDR block.
    #[error("a proxy is an address, a block of such as 10.0.0.0/8, or unix")]
    Proxy,
    /// Not a host name.
    #[error("a host is a name without a port, or *. and at least two labels, as *.ngrok-free.app")]
    Host,
}

impl Trust {
    /// Adds an entry of `proxies`.
    ///
    /// # Errors
    /// [`TrustFault::Proxy`].
    pub fn add_proxy(&mut self, text: &str) -> Result<(), TrustFault> {
        if text == "unix" {
            self.unix = true;
            return Ok(());
        }
        let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        self.proxies.push(network.map_err(|_| TrustFault::Proxy)?);
        Ok(())
    }

    /// Adds an entry of `hosts`.
    ///
    /// # Errors
    /// [`TrustFault::Host`].
    pub fn add_host(&mut self, text: &str) -> Result<(), TrustFault> {
        let name = text.strip_prefix("*.").unwrap_or(text);
        let plain = matches!(split_port(name), Ok((_, None))) && has_labels(name);
        self.hosts.push(match text.strip_prefix('*') {
            Some(below) if plain && name.contains('.') => Name::Below(below.into()),
            None if plain => Name::Exact(name.into()),
            _ => return Err(TrustFault::Host),
        });
        Ok(())
    }

    /// Whether this peer is trusted; `None` is a peer on a Unix socket.
    #[must_use]
    pub fn trusts(&self, peer: Option<IpAddr>) -> bool {
        let Some(peer) = peer else { return self.unix };
        let peer = peer.to_canonical(); // an IPv4 peer of an IPv6 socket
        self.proxies.iter().any(|network| network.contains(&peer))
    }

    /// Returns the first address of the first trusted block; `None` where only a Unix socket is.
    #[must_use]
    pub fn first_proxy(&self) -> Option<IpAddr> {
        self.proxies.first().map(IpNet::addr)
    }

    /// Whether this host is listed; the case does not matter.
    #[must_use]
    pub fn lists(&self, host: &str) -> bool {
        has_labels(host) && self.hosts.iter().any(|name| name.matches(host))
    }

    /// Whether all IPv4 or all IPv6 peers are trusted.
    #[must_use]
    pub fn trusts_all(&self) -> bool {
        self.proxies.iter().any(|network| network.prefix_len() == 0)
    }
}

/// Shows the proxies and the hosts.
impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proxies = self.proxies.iter().map(ToString::to_string);
        let unix = self.unix.then(|| "unix".to_owned());
        let hosts = self.hosts.iter().map(|name| match name {
            Name::Exact(name) => name.to_string(),
            Name::Below(suffix) => format!("*{suffix}"),
        });
        let (proxies, hosts): (Vec<_>, Vec<_>) = (proxies.chain(unix).collect(), hosts.collect());
        write!(f, "{} about {}", proxies.join(", "), hosts.join(", "))
    }
}

impl Name {
    fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => name.eq_ignore_ascii_case(host),
            Self::Below(suffix) => host
                .len()
                .checked_sub(suffix.len())
                .and_then(|at| host.split_at_checked(at))
                .is_some_and(|(label, end)| !label.is_empty() && suffix.eq_ignore_ascii_case(end)),
        }
    }
}

/// Whether a name has no empty label (as in `a..b`, `a.`, `.a`) and at most 253 bytes (RFC 1035
/// section 2.3.4).
fn has_labels(host: &str) -> bool {
    host.len() <= 253 && host.split('.').all(|label| !label.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_peers_are_trusted() {
        let mut trust = Trust::default();
        for proxy in ["127.0.0.1/32", "10.1.2.3/8", "2001:db8::/32", "192.0.2.7"] {
            trust.add_proxy(proxy).unwrap();
        }
        let trusts = |trust: &Trust, peer: &str| trust.trusts(Some(peer.parse().unwrap()));
        for peer in ["127.0.0.1", "::ffff:127.0.0.1", "10.255.0.1", "2001:db8::7", "192.0.2.7"] {
            assert!(trusts(&trust, peer), "{peer}");
        }
        for peer in ["127.0.0.2", "11.0.0.1", "2001:db9::1", "192.0.2.8", "::1", "::10.0.0.1"] {
            assert!(!trusts(&trust, peer), "{peer}");
        }
        assert!(!trust.trusts(None));
        trust.add_proxy("unix").unwrap();
        assert!(trust.trusts(None) && !trusts(&trust, "::1"));
        for text in ["", "localhost", "10.0.0.0/33", "10.0.0.0/8/8", "*", "10.0.0.1:80"] {
            assert_eq!(trust.add_proxy(text), Err(TrustFault::Proxy), "{text}");
        }
    }

    #[test]
    fn only_listed_hosts_are_accepted() {
        let mut trust = Trust::default();
        for host in ["*.ngrok.app", "hooks.example.com", "*.b.example.com"] {
            trust.add_host(host).unwrap();
        }
        for host in ["a.ngrok.app", "A.B.Ngrok.App", "HOOKS.example.com", "x.b.example.com"] {
            assert!(trust.lists(host), "{host}");
        }
        for host in [
            "",
            "ngrok.app",
            ".ngrok.app",
            "a..ngrok.app",
            "a.ngrok.app.",
            "evilngrok.app",
            "a.ngrok.app.evil.example",
            "x.hooks.example.com",
            "b.example.com",
            "ü.app",
        ] {
            assert!(!trust.lists(host), "{host}");
        }
        for text in ["", "*", "*.", "*.app", "a.*.app", "*a.ngrok.app", "h:80", "a..b", "h/"] {
            assert_eq!(trust.add_host(text), Err(TrustFault::Host), "{text}");
        }
    }
}
