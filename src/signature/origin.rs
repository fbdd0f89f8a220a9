//! The public origin: the beginning of the URL configured at Twilio, up to the request target.

use std::fmt;

/// `scheme://[userinfo@]host[:port][/prefix]`, used as written.
///
/// All forms that Twilio may have signed are formatted once, so a request formats nothing.
#[derive(Clone)]
pub struct Origin {
    scheme: Scheme,
    host: Box<str>,
    port: Option<u16>,
    prefix: Box<str>,
    http: Box<[(OriginForm, Box<[u8]>)]>,
    websocket: Box<[(OriginForm, Box<[u8]>)]>,
}

/// `http` or `https`; a handshake is signed with `ws` or `wss` instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Only for tests and closed networks.
    Http,
    /// The normal case.
    Https,
}

impl Scheme {
    /// 80 or 443.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    /// `http` or `https`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    const fn websocket(self) -> &'static str {
        match self {
            Self::Http => "ws",
            Self::Https => "wss",
        }
    }
}

/// The difference between a signed origin and the configured one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OriginForm {
    /// The difference in the port.
    pub port: Port,
    /// Whether `user:password@` is left out, as Twilio documents.
    pub without_userinfo: bool,
}

/// The port in a signed origin: Twilio's products differ
/// (<https://www.twilio.com/docs/usage/security>).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Port {
    /// As configured.
    Kept,
    /// Left out: voice over https.
    Removed,
    /// The scheme's default, made explicit: Conversations (twilio-node issue 722).
    Added,
}

/// The reason for which a text is not an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginFault {
    /// Neither `http://` nor `https://`.
    #[error("it must begin with https:// (or http://)")]
    Scheme,
    /// No host, or one with characters that no host has.
    #[error(
        "the host is missing or has a character that no host name has; write an international name as xn--…"
    )]
    Host,
    /// Not a number from 1 to 65535.
    #[error("the port is no number from 1 to 65535")]
    Port,
    /// A `?` or a space: that belongs to a request, not to an origin.
    #[error("it may have a path prefix, but no query and no spaces")]
    Tail,
}

impl Origin {
    /// Parses `public_url`. Drops a fragment, which is never signed, and one trailing `/`, because
    /// the target begins with its own.
    ///
    /// # Errors
    /// [`OriginFault`].
    pub fn parse(text: &str) -> Result<Self, OriginFault> {
        let text = text.split('#').next().unwrap_or_default();
        let (written_scheme, rest) = text.split_once("://").ok_or(OriginFault::Scheme)?;
        let scheme = match written_scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(OriginFault::Scheme),
        };
        if !rest.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'?') {
            return Err(OriginFault::Tail);
        }
        let (authority, prefix) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let (userinfo, host_port) = authority
            .rfind('@')
            .map_or(("", authority), |at| authority.split_at(at.saturating_add(1)));
        let (host, port) = split_port(host_port)?;
        let forms = |scheme_text: &str| {
            spell_forms(&OriginParts {
                scheme: scheme_text,
                default: scheme.default_port(),
                userinfo,
                host,
                port,
                prefix,
            })
        };
        Ok(Self {
            scheme,
            host: host.into(),
            port,
            prefix: prefix.into(),
            http: forms(written_scheme),
            websocket: forms(scheme.websocket()),
        })
    }

    /// The scheme.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host as written; an IPv6 address is in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, if one is written.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// The host, with the port if one is written.
    #[must_use]
    pub fn authority(&self) -> String {
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}{port}", self.host)
    }

    /// The path prefix that a proxy strips: empty, or `/…` without a trailing slash.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// All forms, the configured one first.
    pub(super) fn forms(&self, handshake: bool) -> &[(OriginForm, Box<[u8]>)] {
        if handshake { &self.websocket } else { &self.http }
    }
}

/// Shows the configured form, without userinfo.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.http.iter().find(|(form, _)| {
            form.port == Port::Kept && (form.without_userinfo || !self.has_userinfo())
        });
        let bytes = shown.map_or(&[][..], |(_, bytes)| bytes);
        f.write_str(&String::from_utf8_lossy(bytes))
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin({self})")
    }
}

impl Origin {
    fn has_userinfo(&self) -> bool {
        self.http.iter().any(|(form, _)| form.without_userinfo)
    }
}

struct OriginParts<'a> {
    scheme: &'a str,
    default: u16,
    userinfo: &'a str,
    host: &'a str,
    port: Option<u16>,
    prefix: &'a str,
}

fn spell_forms(parts: &OriginParts<'_>) -> Box<[(OriginForm, Box<[u8]>)]> {
    let other = match parts.port {
        Some(_) => (Port::Removed, None),
        None => (Port::Added, Some(parts.default)),
    };
    let mut forms = Vec::with_capacity(4);
    for without_userinfo in [false, true] {
        if without_userinfo && parts.userinfo.is_empty() {
            continue;
        }
        let userinfo = if without_userinfo { "" } else { parts.userinfo };
        for (port, number) in [(Port::Kept, parts.port), other] {
            let OriginParts { scheme, host, prefix, .. } = parts;
            let port_text = number.map(|number| format!(":{number}")).unwrap_or_default();
            let text = format!("{scheme}://{userinfo}{host}{port_text}{prefix}");
            forms.push((OriginForm { port, without_userinfo }, text.into_bytes().into()));
        }
    }
    forms.into()
}

/// Splits `host[:port]`. An IPv6 address keeps its brackets.
///
/// # Errors
/// [`OriginFault::Host`] or [`OriginFault::Port`].
pub fn split_port(text: &str) -> Result<(&str, Option<u16>), OriginFault> {
    let after_address = text.rfind(']').unwrap_or(0);
    let colon = text.rfind(':').filter(|&at| at > after_address);
    let (host, port) = match colon {
        Some(at) => (text.get(..at), text.get(at.saturating_add(1)..)),
        None => (Some(text), None),
    };
    let host = host.filter(|host| is_host(host)).ok_or(OriginFault::Host)?;
    let port = port.map(parse_port).transpose()?;
    Ok((host, port))
}

/// Accepts digits only: `parse::<u16>` alone would accept a leading `+`.
fn parse_port(text: &str) -> Result<u16, OriginFault> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&port| digits && port > 0).ok_or(OriginFault::Port)
}

fn is_host(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forms(text: &str, handshake: bool) -> Vec<String> {
        let origin = Origin::parse(text).unwrap();
        origin.forms(handshake).iter().map(|(_, b)| String::from_utf8_lossy(b).into()).collect()
    }

    #[test]
    fn forms_differ_in_port_and_userinfo_only() {
        assert_eq!(
            forms("https://H.example", false),
            ["https://H.example", "https://H.example:443"]
        );
        assert_eq!(forms("http://h:8080/yap/", false), ["http://h:8080/yap", "http://h/yap"]);
        assert_eq!(forms("https://h:443#rc=2", true), ["wss://h:443", "wss://h"]);
        assert_eq!(
            forms("https://[2001:db8::1]:8443", false),
            ["https://[2001:db8::1]:8443", "https://[2001:db8::1]"]
        );
        assert_eq!(forms("HTTPS://h", false)[0], "HTTPS://h");
        assert_eq!(
            forms("https://u:p@h", false),
            ["https://u:p@h", "https://u:p@h:443", "https://h", "https://h:443"]
        );
    }

    #[test]
    fn userinfo_is_never_shown() {
        let origin = Origin::parse("https://user:secret@h/p").unwrap();
        assert_eq!(format!("{origin} {origin:?}"), "https://h/p Origin(https://h/p)");
    }

    #[test]
    fn invalid_origins_are_rejected_with_their_fault() {
        for (text, fault) in [
            ("hooks.example.com", OriginFault::Scheme),
            ("ftp://h", OriginFault::Scheme),
            ("https://", OriginFault::Host),
            ("https://:80", OriginFault::Host),
            ("https://h_?x", OriginFault::Tail),
            ("https://h:0", OriginFault::Port),
            ("https://h:+1", OriginFault::Port),
            ("https://h:65536", OriginFault::Port),
            ("https://2001:db8::1", OriginFault::Host),
            ("https://münchen.example", OriginFault::Tail),
            ("https://h/a b", OriginFault::Tail),
        ] {
            assert_eq!(Origin::parse(text).unwrap_err(), fault, "{text}");
        }
    }
}
