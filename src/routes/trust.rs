//! Which proxies are believed about the public URL, and for which names.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;

use crate::signature::split_port;

/// `[trust]`: for tunnels whose public name changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    proxies: Vec<IpNet>,
    /// Whether who calls over a Unix socket is believed.
    unix: bool,
    hosts: Vec<Name>,
}

/// A host that may be told.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    /// This one.
    Exact(Box<str>),
    /// All below this, which begins with a dot.
    Below(Box<str>),
}

/// Why a text is no entry of `[trust]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustFault {
    /// Neither an address nor a block of such.
    #[error("a proxy is an address, a block of such as 10.0.0.0/8, or unix")]
    Proxy,
    /// No host name.
    #[error("a host is a name without a port, or *. and at least two labels, as *.ngrok.app")]
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

    /// Whether this peer is believed; who calls over a Unix socket has no address.
    #[must_use]
    pub fn believes(&self, peer: Option<IpAddr>) -> bool {
        let Some(peer) = peer else { return self.unix };
        let peer = peer.to_canonical(); // an IPv4 peer of an IPv6 socket
        self.proxies.iter().any(|network| network.contains(&peer))
    }

    /// Returns the first address of the first trusted block; `None` where only a Unix socket is.
    #[must_use]
    pub fn first_proxy(&self) -> Option<IpAddr> {
        self.proxies.first().map(IpNet::addr)
    }

    /// Whether this host may be told, whatever its letters' case.
    #[must_use]
    pub fn lists(&self, host: &str) -> bool {
        has_labels(host) && self.hosts.iter().any(|name| name.matches(host))
    }

    /// Whether every peer is believed, of one kind of address at least.
    #[must_use]
    pub fn believes_all(&self) -> bool {
        self.proxies.iter().any(|network| network.prefix_len() == 0)
    }
}

/// Who is believed about what.
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

/// Not longer than a name can be (RFC 1035 §2.3.4), and no label is empty: neither `a..b` nor `a.` nor `.a`.
fn has_labels(host: &str) -> bool {
    host.len() <= 253 && host.split('.').all(|label| !label.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_peers_are_believed() {
        let mut trust = Trust::default();
        for proxy in ["127.0.0.1/32", "10.1.2.3/8", "2001:db8::/32", "192.0.2.7"] {
            trust.add_proxy(proxy).unwrap();
        }
        let believes = |trust: &Trust, peer: &str| trust.believes(Some(peer.parse().unwrap()));
        for peer in ["127.0.0.1", "::ffff:127.0.0.1", "10.255.0.1", "2001:db8::7", "192.0.2.7"] {
            assert!(believes(&trust, peer), "{peer}");
        }
        for peer in ["127.0.0.2", "11.0.0.1", "2001:db9::1", "192.0.2.8", "::1", "::10.0.0.1"] {
            assert!(!believes(&trust, peer), "{peer}");
        }
        assert!(!trust.believes(None));
        trust.add_proxy("unix").unwrap();
        assert!(trust.believes(None) && !believes(&trust, "::1"));
        for text in ["", "localhost", "10.0.0.0/33", "10.0.0.0/8/8", "*", "10.0.0.1:80"] {
            assert_eq!(trust.add_proxy(text), Err(TrustFault::Proxy), "{text}");
        }
    }

    #[test]
    fn only_listed_hosts_may_be_told() {
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
