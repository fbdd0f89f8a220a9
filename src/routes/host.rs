//! The `Host` values that a route accepts.

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
    /// Accepts the host of `public_url`.
    #[must_use]
    pub fn from_origin(origin: &Origin) -> Self {
        Self { allowed: vec![Allowed { name: origin.host().into(), port: origin.port() }] }
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
        self.allowed.iter().any(|allowed| {
            allowed.name.eq_ignore_ascii_case(name)
                && (matches!(port, None | Some(80 | 443)) || port == allowed.port)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_hosts_are_accepted() {
        let mut hosts =
            Hosts::from_origin(&Origin::parse("https://Hooks.example.com:8443/x").unwrap());
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
