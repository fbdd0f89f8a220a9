//! Addresses of a host, and `--resolve`, which replaces them as in curl.

use std::{
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
};

/// `--resolve HOST:PORT:ADDR`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Override {
    host: String,
    port: u16,
    address: IpAddr,
}

impl Override {
    /// Parses `HOST:PORT:ADDR`; an IPv6 address may stand in brackets.
    pub(in crate::cli) fn parse(text: &str) -> Result<Self, &'static str> {
        let expected = "it is to be HOST:PORT:ADDR, such as hooks.example.com:443:127.0.0.1";
        let after_brackets = text.find(']').filter(|_| text.starts_with('[')).unwrap_or(0);
        let end = text.get(after_brackets..).and_then(|rest| rest.find(':')).ok_or(expected)?;
        let (host, rest) = text.split_at(after_brackets.saturating_add(end));
        let rest = rest.strip_prefix(':').unwrap_or(rest);
        let (port, address) = rest.split_once(':').ok_or(expected)?;
        let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let address = bare.unwrap_or(address).parse().map_err(|_| expected)?;
        let port = port.parse().map_err(|_| expected)?;
        Ok(Self { host: host.to_owned(), port, address })
    }
}

/// The addresses of a host, one at least.
pub(super) struct Addresses {
    pub(super) all: Vec<SocketAddr>,
    /// `--resolve` gave them.
    pub(super) is_overridden: bool,
}

/// Looks up a host, which may be an IPv6 address in brackets.
pub(super) fn look_up(host: &str, port: u16, overrides: &[Override]) -> io::Result<Addresses> {
    let named = |own: &&Override| own.host.eq_ignore_ascii_case(host) && own.port == port;
    if let Some(own) = overrides.iter().find(named) {
        return Ok(Addresses { all: vec![(own.address, port).into()], is_overridden: true });
    }
    let all: Vec<SocketAddr> = format!("{host}:{port}").to_socket_addrs()?.collect();
    if all.is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(Addresses { all, is_overridden: false })
}

/// Whether the internet cannot route to this address: loopback, private (RFC 1918, RFC 6598,
/// RFC 4193) or link-local.
pub(super) fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(ip) => {
            let shared = matches!(ip.octets(), [100, 64..=127, ..]);
            ip.is_loopback()
                || ip.is_private()
                || ip.is_link_local()
                || ip.is_unspecified()
                || shared
        }
        IpAddr::V6(ip) => {
            let first = ip.segments().first().copied().unwrap_or_default();
            let local = first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfe80;
            ip.is_loopback() || ip.is_unspecified() || local
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_override_is_parsed_as_in_curl_and_replaces_the_look_up() {
        let host = |text: &str| Override::parse(text).map(|own| (own.host, own.port, own.address));
        let local = "127.0.0.1".parse::<IpAddr>().unwrap();
        let six = "::1".parse::<IpAddr>().unwrap();
        assert_eq!(host("h.example:443:127.0.0.1"), Ok(("h.example".to_owned(), 443, local)));
        assert_eq!(host("h.example:443:[::1]"), Ok(("h.example".to_owned(), 443, six)));
        assert_eq!(host("[::2]:443:::1"), Ok(("[::2]".to_owned(), 443, six)));
        for text in ["", "h", "h:443", "h:x:127.0.0.1", "h:443:nowhere", "[::1"] {
            assert!(Override::parse(text).is_err(), "{text}");
        }
        let own = [Override::parse("H.invalid:443:127.0.0.1").unwrap()];
        let found = look_up("h.invalid", 443, &own).unwrap();
        assert!(found.is_overridden && found.all == ["127.0.0.1:443".parse().unwrap()]);
        assert!(!look_up("127.0.0.1", 80, &own).unwrap().is_overridden);
    }

    #[test]
    fn private_addresses_are_recognised() {
        for text in [
            "127.0.0.1",
            "10.1.2.3",
            "192.168.0.1",
            "100.64.0.1",
            "169.254.1.1",
            "::1",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.1",
            "0.0.0.0",
        ] {
            assert!(is_private(text.parse().unwrap()), "{text}");
        }
        for text in ["54.172.60.1", "100.128.0.1", "2600::1", "172.32.0.1"] {
            assert!(!is_private(text.parse().unwrap()), "{text}");
        }
    }
}
