//! Validates the addresses to listen on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Validator;
use crate::config::{
    fault::FaultKind,
    listen::{ListenFault, parse_listen},
    raw::{Located, Location, OneOrMany},
};
use crate::net::Listen;
use crate::routes::{Address, Upstream};

/// Default address: loopback, so that trying it out exposes no port.
const DEFAULT_LISTEN: &str = "127.0.0.1:8080";

impl Validator<'_> {
    pub(super) fn validate_listen(&mut self) -> Vec<Listen> {
        let default = Located {
            location: Location::Nowhere,
            value: OneOrMany::One(DEFAULT_LISTEN.to_owned()),
        };
        let raw = self.raw;
        let written = raw.listen.as_ref().unwrap_or(&default);
        let texts = OneOrMany::as_slice(&written.value);
        if texts.is_empty() {
            self.record_fault(
                &written.location,
                "listen",
                FaultKind::Listen(ListenFault::Address(None)),
            );
        }
        let parsed = texts.iter().map(|text| parse_listen(text));
        parsed
            .filter_map(|one| self.record_err(&written.location, "listen", one, FaultKind::Listen))
            .collect()
    }

    pub(super) fn validate_admin(&mut self, gate: &[Listen]) -> Option<Listen> {
        let raw = self.raw.admin.as_ref()?;
        let Some(listen) = &raw.value.listen else {
            self.record_missing(&raw.location, "admin.listen");
            return None;
        };
        let parsed = match parse_listen(&listen.value) {
            Ok(Listen::Systemd) => Err(ListenFault::AdminSystemd),
            parsed => parsed,
        };
        let admin = self.record_err(&listen.location, "admin.listen", parsed, FaultKind::Listen)?;
        if gate.iter().any(|gate| is_one_address(gate, &admin)) {
            self.record_fault(&listen.location, "admin.listen", FaultKind::AdminIsGate);
        }
        Some(admin)
    }

    /// Finds upstreams that are the gate itself: one signed request would go round until the
    /// connections are used up.
    pub(super) fn validate_no_loop(&mut self, gate: &[Listen], admin: Option<&Listen>) {
        let raw = self.raw;
        let of_routes = raw.route.iter().filter_map(|route| route.value.upstream.as_ref());
        for written in raw.upstream.iter().chain(of_routes) {
            let Ok(upstream) = Upstream::parse(&written.value) else { continue };
            let is_gate = gate.iter().any(|listen| leads_to(&upstream, listen));
            let is_admin = admin.is_some_and(|listen| leads_to(&upstream, listen));
            if is_gate || is_admin {
                let who = if is_gate { "the gate" } else { "the admin listener" };
                self.record_fault(&written.location, "upstream", FaultKind::UpstreamIsGate(who));
            }
        }
    }

    /// Records a missing key, unless reading removed it because of another fault.
    pub(super) fn record_missing(&mut self, location: &Location, key: &'static str) {
        let (table, name) = key.split_once('.').unwrap_or((key, ""));
        if !self.removed.contains_in(table, name) {
            self.record_fault(location, key, FaultKind::Missing);
        }
    }
}

/// Whether only one of the two can be bound.
fn is_one_address(one: &Listen, other: &Listen) -> bool {
    match (one, other) {
        (Listen::Tcp(one), Listen::Tcp(other)) => {
            let any = one.ip().is_unspecified() || other.ip().is_unspecified();
            one.port() == other.port() && one.port() > 0 && (any || one.ip() == other.ip())
        }
        (Listen::Unix(one), Listen::Unix(other)) => one == other,
        _ => false,
    }
}

/// Whether a connection to this upstream certainly arrives at this listener. No name but `localhost`
/// is looked up.
fn leads_to(upstream: &Upstream, listen: &Listen) -> bool {
    match (upstream.address(), listen) {
        (Address::Host { host, port }, Listen::Tcp(listen)) => {
            *port == listen.port() && addresses(host).iter().any(|ip| arrives(*ip, *listen))
        }
        (Address::Unix(upstream), Listen::Unix(listen)) => upstream == listen,
        _ => false,
    }
}

/// The addresses of a literal or of `localhost`; connecting to `0.0.0.0` or `::` reaches loopback.
fn addresses(host: &str) -> Vec<IpAddr> {
    let loopback = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    match host.parse::<IpAddr>() {
        Ok(ip) if ip.is_unspecified() => loopback.to_vec(),
        Ok(ip) => vec![ip.to_canonical()],
        Err(_) if host.eq_ignore_ascii_case("localhost") => loopback.to_vec(),
        Err(_) => Vec::new(),
    }
}

fn arrives(ip: IpAddr, listen: SocketAddr) -> bool {
    let own = listen.ip().to_canonical();
    ip == own || (own.is_unspecified() && ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_that_is_the_gate_is_noticed() {
        let leads = |upstream: &str, listen: &str| {
            leads_to(&Upstream::parse(upstream).unwrap(), &parse_listen(listen).unwrap())
        };
        for (upstream, listen) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://localhost:8080", "0.0.0.0:8080"),
            ("https://LOCALHOST:8080", "[::1]:8080"),
            ("http://127.0.0.2:8080", "0.0.0.0:8080"),
            ("http://0.0.0.0:8080", "127.0.0.1:8080"),
            ("http://192.0.2.1:80", "192.0.2.1:80"),
            ("unix:/run/gate.sock", "unix:/run/gate.sock"),
        ] {
            assert!(leads(upstream, listen), "{upstream} {listen}");
        }
        for (upstream, listen) in [
            ("http://127.0.0.1:8081", "127.0.0.1:8080"),
            ("http://127.0.0.2:8080", "127.0.0.1:8080"),
            ("http://192.0.2.1:8080", "0.0.0.0:8080"),
            ("http://app:8080", "0.0.0.0:8080"),
            ("unix:/run/app.sock", "unix:/run/gate.sock"),
            ("http://127.0.0.1:8080", "systemd"),
        ] {
            assert!(!leads(upstream, listen), "{upstream} {listen}");
        }
    }

    #[test]
    fn two_listeners_of_one_port_are_noticed() {
        let one = |one: &str, other: &str| {
            is_one_address(&parse_listen(one).unwrap(), &parse_listen(other).unwrap())
        };
        assert!(one("127.0.0.1:80", "127.0.0.1:80") && one("0.0.0.0:80", "127.0.0.1:80"));
        assert!(one("127.0.0.1:80", "[::]:80") && one("unix:/a", "unix:/a"));
        assert!(!one("127.0.0.1:80", "127.0.0.2:80") && !one("127.0.0.1:0", "127.0.0.1:0"));
        assert!(!one("unix:/a", "unix:/b") && !one("systemd", "127.0.0.1:80"));
    }
}
