//! The public URL's origin from the forwarding headers of a trusted proxy: `X-Forwarded-*` and
//! `Forwarded` (RFC 7239).
//!
//! Twilio signs the URL that it called. When a tunnel gets a new name every day, only the tunnel knows
//! the origin of that URL. The headers count only if they are not repeated, do not contradict each
//! other and give a host that the configuration lists.

use std::borrow::Cow;

use super::Refusal;
use crate::http1::{FieldName, Fields};
use crate::routes::Trust;
use crate::signature::{Origin, Scheme, split_port};

/// The origin that the forwarding headers give.
#[derive(Debug)]
pub(super) enum ForwardedOrigin {
    /// No forwarding headers.
    Absent,
    /// A configured origin of the route, by its number.
    Configured(usize),
    /// Another origin, whose host is listed.
    Other(Box<Origin>),
}

/// Reads the origin from the forwarding headers; `host` is the request's `Host`.
///
/// # Errors
/// [`Refusal::UnknownHost`], also when the headers contradict each other or cannot be parsed.
pub(super) fn origin(
    fields: &Fields,
    host: &str,
    configured: &[Origin],
    trust: &Trust,
) -> Result<ForwardedOrigin, Refusal> {
    let headers = ForwardedHeaders::parse(fields)?;
    if headers.is_empty() {
        return Ok(ForwardedOrigin::Absent);
    }
    let parts = headers.into_host_parts(host).ok_or(Refusal::UnknownHost)?;
    if let Some(number) = configured.iter().position(|origin| parts.matches(origin)) {
        return Ok(ForwardedOrigin::Configured(number));
    }
    if !trust.lists(&parts.host) {
        return Err(Refusal::UnknownHost);
    }
    let origin = parts.origin(configured.first().map_or("", Origin::prefix));
    origin.map(|origin| ForwardedOrigin::Other(Box::new(origin))).ok_or(Refusal::UnknownHost)
}

/// Parsed forwarding headers.
#[derive(Debug, Default, PartialEq, Eq)]
struct ForwardedHeaders<'a> {
    scheme: Option<Scheme>,
    host: Option<Cow<'a, str>>,
    port: Option<u16>,
}

/// Scheme, host and port; no port if it is the scheme's default.
#[derive(Debug)]
struct HostParts<'a> {
    scheme: Scheme,
    host: Cow<'a, str>,
    port: Option<u16>,
}

impl<'a> ForwardedHeaders<'a> {
    /// Parses `X-Forwarded-*` and `Forwarded`. Refuses them when one is invalid or they
    /// disagree.
    fn parse(fields: &'a Fields) -> Result<Self, Refusal> {
        let mut headers = Self::default();
        if let Some(proto) = single(fields, FieldName::ForwardedProto).first_element().valid()? {
            headers.add_scheme(proto).ok_or(Refusal::UnknownHost)?;
        }
        if let Some(host) = single(fields, FieldName::ForwardedHost).first_element().valid()? {
            headers.add_host(Cow::Borrowed(host)).ok_or(Refusal::UnknownHost)?;
        }
        if let Some(port) = single(fields, FieldName::ForwardedPort).first_element().valid()? {
            headers
                .add_port(port_number(port).ok_or(Refusal::UnknownHost)?)
                .ok_or(Refusal::UnknownHost)?;
        }
        if let Some(forwarded) = single(fields, FieldName::Forwarded).valid()? {
            headers.add_forwarded(forwarded).ok_or(Refusal::UnknownHost)?;
        }
        Ok(headers)
    }

    const fn is_empty(&self) -> bool {
        self.scheme.is_none() && self.host.is_none() && self.port.is_none()
    }

    /// Some proxies send `wss` for a WebSocket.
    fn add_scheme(&mut self, text: &str) -> Option<()> {
        let scheme = match text.to_ascii_lowercase().as_str() {
            "https" | "wss" => Scheme::Https,
            "http" | "ws" => Scheme::Http,
            _ => return None,
        };
        (*self.scheme.get_or_insert(scheme) == scheme).then_some(())
    }

    fn add_host(&mut self, text: Cow<'a, str>) -> Option<()> {
        let (host, port) = match text {
            Cow::Borrowed(text) => {
                let (host, port) = split_port(text).ok()?;
                (Cow::Borrowed(host), port)
            }
            Cow::Owned(text) => {
                let (host, port) = split_port(&text).ok()?;
                (Cow::Owned(host.to_owned()), port)
            }
        };
        if let Some(port) = port {
            self.add_port(port)?;
        }
        match &self.host {
            Some(known) => known.eq_ignore_ascii_case(&host).then_some(()),
            None => {
                self.host = Some(host);
                Some(())
            }
        }
    }

    fn add_port(&mut self, port: u16) -> Option<()> {
        (*self.port.get_or_insert(port) == port).then_some(())
    }

    /// Adds `proto` and `host` of the first element of `Forwarded` (RFC 7239 §4), each at most once.
    fn add_forwarded(&mut self, text: &'a str) -> Option<()> {
        let (mut proto, mut host) = (None, None);
        let mut rest = text;
        loop {
            rest = rest.trim_start_matches([' ', '\t']);
            match rest.as_bytes() {
                [] | [b',', ..] => break,
                [b';', ..] => {
                    rest = rest.strip_prefix(';')?;
                    continue;
                }
                _ => {}
            }
            let (name, after) = rest.split_once('=').filter(|(name, _)| is_token(name))?;
            let (value, after) = value(after)?;
            rest = after;
            let slot = match name.to_ascii_lowercase().as_str() {
                "proto" => &mut proto,
                "host" => &mut host,
                _ => continue,
            };
            if slot.replace(value).is_some() {
                return None;
            }
        }
        if let Some(proto) = proto {
            self.add_scheme(&proto)?;
        }
        host.map_or(Some(()), |host| self.add_host(host))
    }

    /// Completes the parts: the host defaults to `Host`, the scheme to `https`.
    fn into_host_parts(self, host: &'a str) -> Option<HostParts<'a>> {
        let mut headers = self;
        if headers.host.is_none() {
            headers.add_host(Cow::Borrowed(host))?;
        }
        let scheme = headers.scheme.unwrap_or(Scheme::Https);
        let port = headers.port.filter(|&port| port != scheme.default_port());
        headers.host.map(|host| HostParts { scheme, host, port })
    }
}

impl HostParts<'_> {
    /// Compares with an origin. As for `Host`, a missing port matches any.
    fn matches(&self, origin: &Origin) -> bool {
        origin.scheme() == self.scheme
            && origin.host().eq_ignore_ascii_case(&self.host)
            && (self.port.is_none() || self.port == origin.port())
    }

    fn origin(&self, prefix: &str) -> Option<Origin> {
        let Self { scheme, host, port } = self;
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        Origin::parse(&format!("{}://{host}{port}{prefix}", scheme.name())).ok()
    }
}

/// The value of a field that must not be repeated.
enum Single<'a> {
    Absent,
    Value(&'a str),
    /// Repeated, not ASCII, or with an empty first element.
    Invalid,
}

fn single(fields: &Fields, name: FieldName) -> Single<'_> {
    let mut values = fields.all(name);
    match (values.next().map(std::str::from_utf8), values.next()) {
        (None, _) => Single::Absent,
        (Some(Ok(value)), None) if value.is_ascii() => Single::Value(value),
        _ => Single::Invalid,
    }
}

impl<'a> Single<'a> {
    /// Keeps the first element of a list, which the proxy nearest to the client wrote.
    fn first_element(self) -> Self {
        let Self::Value(list) = self else { return self };
        match list.split(',').next().unwrap_or_default().trim() {
            "" => Self::Invalid,
            first => Self::Value(first),
        }
    }

    /// Returns the value if there is one.
    ///
    /// # Errors
    /// [`Refusal::UnknownHost`] when the field is invalid.
    const fn valid(self) -> Result<Option<&'a str>, Refusal> {
        match self {
            Self::Absent => Ok(None),
            Self::Value(value) => Ok(Some(value)),
            Self::Invalid => Err(Refusal::UnknownHost),
        }
    }
}

/// Parses a port: digits only, from 1 to 65535.
fn port_number(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&port| digits && port > 0)
}

/// Parses a token or a quoted string that ends at `;`, `,` or the end. Returns it and the remainder.
fn value(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let (value, rest) = match text.strip_prefix('"') {
        Some(quoted) => {
            let (value, rest) = unquoted(quoted)?;
            (Cow::Owned(value), rest)
        }
        None => {
            let end = text.find([';', ',', ' ', '\t', '"']).unwrap_or(text.len());
            let (value, rest) = text.split_at_checked(end)?;
            (Cow::Borrowed(value), rest)
        }
    };
    let rest = rest.trim_start_matches([' ', '\t']);
    let ends = rest.is_empty() || rest.starts_with([';', ',']);
    (ends && !value.is_empty()).then_some((value, rest))
}

/// Unescapes a quoted string (RFC 9110 §5.6.4) after its opening quote. Returns it and the remainder.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.chars();
    loop {
        match characters.next()? {
            '"' => return Some((value, characters.as_str())),
            '\\' => value.push(characters.next()?),
            other => value.push(other),
        }
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::RequestHead;

    /// Returns the origin from these header lines; `None` if they are refused.
    fn forwarded_origin(host: &str, lines: &str) -> Option<String> {
        let mut trust = Trust::default();
        trust.add_host("*.ngrok.app").unwrap();
        trust.add_host("hooks.example.com").unwrap();
        let fixed = Origin::parse("https://fixed.example/prefix").unwrap();
        let lines = lines.lines().map(|line| line.split_once(':').unwrap());
        let lines = lines.map(|(name, value)| (name.as_bytes(), value.trim().as_bytes()));
        let head = RequestHead::from_http2("GET", "/", lines);
        match origin(&head.fields, host, std::slice::from_ref(&fixed), &trust) {
            Ok(ForwardedOrigin::Other(origin)) => Some(origin.to_string()),
            Ok(ForwardedOrigin::Configured(_)) => Some("fixed".to_owned()),
            Ok(ForwardedOrigin::Absent) => Some("absent".to_owned()),
            Err(_) => None,
        }
    }

    const TUNNEL: &str = "X-Forwarded-Host: a.ngrok.app";

    #[test]
    fn x_forwarded_headers_give_the_origin() {
        let chain = "X-Forwarded-Host: a.ngrok.app:8443 , internal\n\
            X-Forwarded-Proto: https,http\nX-Forwarded-Port: 8443, 80";
        let balancer = "X-Forwarded-Proto: https\nX-Forwarded-Port: 443";
        let tunnel = format!("{TUNNEL}\nX-Forwarded-Proto: https");
        for (host, lines, expected) in [
            ("x.example", "", "absent"),
            ("a.ngrok.app", &tunnel, "https://a.ngrok.app/prefix"),
            ("localhost:8080", &tunnel, "https://a.ngrok.app/prefix"),
            ("hooks.example.com", balancer, "https://hooks.example.com/prefix"),
            ("internal", chain, "https://a.ngrok.app:8443/prefix"),
            ("a.ngrok.app", "X-Forwarded-Proto: WSS", "https://a.ngrok.app/prefix"),
            ("a.ngrok.app", "X-Forwarded-Proto: http", "http://a.ngrok.app/prefix"),
            // the configured host needs no listing
            ("fixed.example", "X-Forwarded-Proto: https", "fixed"),
            ("x", "X-Forwarded-Host: FIXED.example\nX-Forwarded-Port: 443", "fixed"),
        ] {
            assert_eq!(
                forwarded_origin(host, lines).as_deref(),
                Some(expected),
                "{host} {lines:?}"
            );
        }
    }

    #[test]
    fn forwarded_header_gives_the_origin() {
        for (lines, expected) in [
            ("Forwarded: for=192.0.2.1", "absent"),
            (
                "Forwarded: for=\"[2001:db8::1]\";HOST=a.ngrok.app; proto=https, host=b",
                "https://a.ngrok.app/prefix",
            ),
            (
                "Forwarded: ;by=\"a,b;host=evil\" ;host=\"a.ngrok\\.app:81\";proto=http",
                "http://a.ngrok.app:81/prefix",
            ),
            (
                "Forwarded: host=A.ngrok.app\nX-Forwarded-Host: a.ngrok.app:443",
                "https://a.ngrok.app/prefix",
            ),
        ] {
            assert_eq!(forwarded_origin("x", lines).as_deref(), Some(expected), "{lines:?}");
        }
    }

    #[test]
    fn unlisted_and_invalid_hosts_are_refused() {
        for host in [
            "evil.example",
            "ngrok.app",
            "",
            ", a.ngrok.app",
            "a.ngrok.app/",
            "evil.example@a.ngrok.app",
            "evil.example/.ngrok.app",
            "evil.example#.ngrok.app",
            "a.ngrok.app:0",
            "a.ngrok.app:",
            "fixed.example:8443",
        ] {
            assert_eq!(
                forwarded_origin("a.ngrok.app", &format!("X-Forwarded-Host: {host}")),
                None,
                "{host}"
            );
        }
        assert_eq!(forwarded_origin("evil.example", "X-Forwarded-Proto: https"), None);
        assert_eq!(forwarded_origin("fixed.example", "X-Forwarded-Proto: http"), None);
        let long = format!("X-Forwarded-Host: {}.ngrok.app", "a".repeat(250));
        assert_eq!(forwarded_origin("x", &long), None);
    }

    #[test]
    fn repeated_and_contradictory_headers_are_refused() {
        for lines in [
            TUNNEL,
            "X-Forwarded-Host: b.ngrok.app",
            "X-Forwarded-Proto: https\nX-Forwarded-Proto: https",
            "X-Forwarded-Proto: ftp",
            "X-Forwarded-Proto:",
            "X-Forwarded-Port: +443",
            "X-Forwarded-Port: 65536",
            "X-Forwarded-Port:",
            "Forwarded: host=b.ngrok.app",
            "Forwarded: host=\"a.ngrok.app:81\"\nX-Forwarded-Port: 82",
            "X-Forwarded-Proto: https\nForwarded: proto=http",
            "Forwarded: host=a.ngrok.app;host=a.ngrok.app",
            "Forwarded: host",
            "Forwarded: host=",
            "Forwarded: host=\"a.ngrok.app",
            "Forwarded: host=\"a.ngrok.app\"x",
            "Forwarded: for=1 host=a.ngrok.app",
            "Forwarded: for=1\nForwarded: for=2",
        ] {
            assert_eq!(
                forwarded_origin("a.ngrok.app", &format!("{TUNNEL}\n{lines}")),
                None,
                "{lines:?}"
            );
        }
    }
}
