//! The public origin: what stands before the target in the URL that Twilio has on file.

use std::fmt;

/// `scheme://[userinfo@]host[:port][/prefix]`, used as written.
///
/// Every form of it that Twilio may have signed is spelled out once, here, so that a request costs
/// no formatting.
#[derive(Clone)]
pub struct Origin {
    scheme: Scheme,
    host: Box<str>,
    port: Option<u16>,
    prefix: Box<str>,
    http: Box<[(OriginForm, Box<[u8]>)]>,
    websocket: Box<[(OriginForm, Box<[u8]>)]>,
}

/// `http` or `https`; a handshake is signed with `ws` or `wss` in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Only for tests and closed networks.
    Http,
    /// What Twilio should have on file.
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

/// How an origin differs from what is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OriginForm {
    /// What became of the port.
    pub port: Port,
    /// Whether `user:password@` was left out, as Twilio documents.
    pub without_userinfo: bool,
}

/// What became of the configured port: Twilio's products differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Port {
    /// As configured.
    Kept,
    /// Left out: voice over https.
    Removed,
    /// The scheme's default made explicit: seen with Conversations.
    Added,
}

/// Why a text is no origin.
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
    /// Reads `public_url`. A fragment is dropped (it is never signed), so is one trailing `/` (the
    /// target brings its own).
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

    /// Its scheme.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Its host as written, an IPv6 address in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port, where one is written.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// Its host, and its port where one is written.
    #[must_use]
    pub fn authority(&self) -> String {
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}{port}", self.host)
    }

    /// The path that a proxy strips; empty, or with a slash at its beginning only.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The spelled-out forms, the configured one first.
    pub(super) fn forms(&self, handshake: bool) -> &[(OriginForm, Box<[u8]>)] {
        if handshake { &self.websocket } else { &self.http }
    }
}

/// Shows what Twilio has on file, without a password.
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

fn spell_forms(pieces: &OriginParts<'_>) -> Box<[(OriginForm, Box<[u8]>)]> {
    let other = match pieces.port {
        Some(_) => (Port::Removed, None),
        None => (Port::Added, Some(pieces.default)),
    };
    let mut forms = Vec::with_capacity(4);
    for without_userinfo in [false, true] {
        if without_userinfo && pieces.userinfo.is_empty() {
            continue;
        }
        let userinfo = if without_userinfo { "" } else { pieces.userinfo };
        for (port, number) in [(Port::Kept, pieces.port), other] {
            let OriginParts { scheme, host, prefix, .. } = pieces;
            let port_text = number.map(|number| format!(":{number}")).unwrap_or_default();
            let text = format!("{scheme}://{userinfo}{host}{port_text}{prefix}");
            forms.push((OriginForm { port, without_userinfo }, text.into_bytes().into()));
        }
    }
    forms.into()
}

/// Splits `host[:port]`, an IPv6 address keeping its brackets.
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

/// Digits only: `parse::<u16>` alone would take a leading `+`.
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
    fn ports_are_toggled_and_the_rest_kept_as_written() {
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
    fn a_password_is_never_shown() {
        let origin = Origin::parse("https://user:secret@h/p").unwrap();
        assert_eq!(format!("{origin} {origin:?}"), "https://h/p Origin(https://h/p)");
    }

    #[test]
    fn what_is_no_origin_says_why() {
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
