//! The `Host` values that a route accepts.

use smallvec::{SmallVec, smallvec};

use crate::signature::{Origin, OriginFault, split_port};

/// The public host, and the names that a proxy in front may send instead.
#[derive(Debug, Default)]
pub struct Hosts {
    allowed: Vec<Allowed>,
}

#[derive(Debug)]
struct Allowed {
    name: Box<str>,
    port: Option<u16>,
}

impl Hosts {
    /// Accepts the hosts of `public_url`.
    #[must_use]
    pub fn from_origins(origins: &[Origin]) -> Self {
        let host = |origin: &Origin| Allowed { name: origin.host().into(), port: origin.port() };
        Self { allowed: origins.iter().map(host).collect() }
    }

    /// Accepts a `name` or `name:port` of `allowed_hosts` too.
    ///
    /// # Errors
    /// [`OriginFault`], as for the host of an origin.
    pub fn allow(&mut self, text: &str) -> Result<(), OriginFault> {
        let (name, port) = split_port(text)?;
        self.allowed.push(Allowed { name: name.into(), port });
        Ok(())
    }

    /// Whether a `Host` value is accepted. Names are compared case-insensitively (RFC 9110
    /// section 4.2.3); the port may be the listed one, a default one (80, 443) or none.
    #[must_use]
    pub fn allows(&self, host: &str) -> bool {
        if self.allowed.iter().any(|allowed| *allowed.name == *host) {
            return true; // the usual case, without parsing
        }
        let Ok((name, port)) = split_port(host) else { return false };
        self.allowed.iter().any(|allowed| is_named((&allowed.name, allowed.port), (name, port)))
    }
}

/// The public URLs that a request with this `Host` may have been signed for: those of that host; all
/// of them where `Host` is another one of `allowed_hosts`.
pub(super) fn origins_for<'o>(origins: &'o [Origin], host: &str) -> SmallVec<[&'o Origin; 1]> {
    if let [only] = origins {
        return smallvec![only];
    }
    let named = split_port(host).unwrap_or_default();
    let own = |origin: &&Origin| is_named((origin.host(), origin.port()), named);
    let own: SmallVec<[&Origin; 1]> = origins.iter().filter(own).collect();
    if own.is_empty() { origins.iter().collect() } else { own }
}

fn is_named(listed: (&str, Option<u16>), (name, port): (&str, Option<u16>)) -> bool {
    listed.0.eq_ignore_ascii_case(name)
        && (matches!(port, None | Some(80 | 443)) || port == listed.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_urls_are_chosen_by_host() {
        let origins = ["https://old.example", "https://new.example/p", "https://NEW.example:8443"];
        let origins = origins.map(|text| Origin::parse(text).unwrap());
        let chosen = |host: &str| {
            origins_for(&origins, host)
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(chosen("old.example"), "https://old.example");
        assert_eq!(chosen("OLD.example:443"), "https://old.example");
        assert_eq!(chosen("new.example:8443"), "https://NEW.example:8443");
        assert_eq!(chosen("new.example"), "https://new.example/p https://NEW.example:8443");
        assert_eq!(chosen("localhost:8080").split(' ').count(), 3);
        assert_eq!(origins_for(&origins[..1], "localhost").len(), 1);
        assert!(origins_for(&[], "localhost").is_empty());
    }

    #[test]
    fn only_listed_hosts_are_accepted() {
        let mut hosts =
            Hosts::from_origins(&[Origin::parse("https://Hooks.example.com:8443/x").unwrap()]);
        hosts.allow("localhost:8080").unwrap();
        hosts.allow("[::1]:8080").unwrap();
        for host in
            ["hooks.example.com", "HOOKS.example.com:443", "hooks.example.com:8443", "[::1]:8080"]
        {
            assert!(hosts.allows(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "hooks.example.com.",
            "hooks.example.com:81",
            "x@localhost:8080",
            "hooks.example.com:",
            "localhost:8080, evil",
            "[::1",
        ] {
            assert!(!hosts.allows(host), "{host}");
        }
    }
}
