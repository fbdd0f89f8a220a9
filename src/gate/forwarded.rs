//! The public URL's origin, as a proxy tells it that is believed.
//!
//! Twilio signed the URL that it called. Where a tunnel gets a new name every day, only the tunnel
//! knows that URL's beginning. What is told counts only if it is told once and without
//! contradiction, and only for a host that the configuration lists.

use std::borrow::Cow;

use super::Refusal;
use crate::http1::{FieldName, Fields};
use crate::routes::Trust;
use crate::signature::{Origin, Scheme, split_port};

/// What a proxy tells.
#[derive(Debug)]
pub(super) enum ForwardedOrigin {
    /// Nothing of the URL.
    Absent,
    /// What the route has on file.
    Configured,
    /// Another origin, of a host that is listed.
    Other(Box<Origin>),
}

/// Reads what is told of the URL; `host` is the request's own `Host`.
///
/// # Errors
/// [`Refusal::UnknownHost`], also where it cannot be told what is told.
pub(super) fn origin(
    fields: &Fields,
    host: &str,
    fixed: Option<&Origin>,
    trust: &Trust,
) -> Result<ForwardedOrigin, Refusal> {
    let told = ForwardedHeaders::of(fields).ok_or(Refusal::UnknownHost)?;
    if told.is_empty() {
        return Ok(ForwardedOrigin::Absent);
    }
    let place = told.place(host).ok_or(Refusal::UnknownHost)?;
    if fixed.is_some_and(|fixed| place.is_of(fixed)) {
        return Ok(ForwardedOrigin::Configured);
    }
    if !trust.lists(&place.host) {
        return Err(Refusal::UnknownHost);
    }
    let origin = place.origin(fixed.map_or("", Origin::prefix));
    origin.map(|origin| ForwardedOrigin::Other(Box::new(origin))).ok_or(Refusal::UnknownHost)
}

/// What is told, each part at most once.
#[derive(Debug, Default, PartialEq, Eq)]
struct ForwardedHeaders<'a> {
    scheme: Option<Scheme>,
    host: Option<Cow<'a, str>>,
    port: Option<u16>,
}

/// Scheme, host and port; none where the scheme's own.
#[derive(Debug)]
struct HostParts<'a> {
    scheme: Scheme,
    host: Cow<'a, str>,
    port: Option<u16>,
}

impl<'a> ForwardedHeaders<'a> {
    /// `X-Forwarded-*` and `Forwarded` together, if they agree.
    fn of(fields: &'a Fields) -> Option<Self> {
        let mut told = Self::default();
        if let Some(proto) = first_element(only(fields, FieldName::ForwardedProto)?)? {
            told.add_scheme(proto)?;
        }
        if let Some(host) = first_element(only(fields, FieldName::ForwardedHost)?)? {
            told.add_host(Cow::Borrowed(host))?;
        }
        if let Some(port) = first_element(only(fields, FieldName::ForwardedPort)?)? {
            told.add_port(number(port)?)?;
        }
        if let Some(forwarded) = only(fields, FieldName::Forwarded)? {
            told.add_forwarded(forwarded)?;
        }
        Some(told)
    }

    const fn is_empty(&self) -> bool {
        self.scheme.is_none() && self.host.is_none() && self.port.is_none()
    }

    /// Some proxies say `wss` of a WebSocket.
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

    /// The first element of RFC 7239's list: of its pairs, `proto` and `host`, each at most once.
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

    /// The whole of it: what is not told of the host stands in `Host`, and the scheme is `https`.
    fn place(self, host: &'a str) -> Option<HostParts<'a>> {
        let mut told = self;
        if told.host.is_none() {
            told.add_host(Cow::Borrowed(host))?;
        }
        let scheme = told.scheme.unwrap_or(Scheme::Https);
        let port = told.port.filter(|&port| port != scheme.default_port());
        told.host.map(|host| HostParts { scheme, host, port })
    }
}

impl HostParts<'_> {
    /// As for `Host`, the port may be left out.
    fn is_of(&self, origin: &Origin) -> bool {
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

/// The value of a field that may stand only once; `None` where it stands again or is no ASCII.
#[expect(clippy::option_option, reason = "unreadable is not the same as absent")]
fn only(fields: &Fields, name: FieldName) -> Option<Option<&str>> {
    let mut values = fields.all(name);
    match (values.next(), values.next()) {
        (None, _) => Some(None),
        (Some(only), None) => {
            std::str::from_utf8(only).ok().filter(|only| only.is_ascii()).map(Some)
        }
        (Some(_), Some(_)) => None,
    }
}

/// What stands before the first comma: told by the proxy that is nearest to the sender.
#[expect(clippy::option_option, reason = "empty is not the same as absent")]
fn first_element(list: Option<&str>) -> Option<Option<&str>> {
    let first = list.map(|list| list.split(',').next().unwrap_or_default().trim());
    if first == Some("") { None } else { Some(first) }
}

/// Digits only, from 1 to 65535.
fn number(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&port| digits && port > 0)
}

/// A token or a quoted string, and what follows it up to a `;`, a `,` or the end.
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

/// What stands before the closing quote, and what after it (RFC 9110 §5.6.4).
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

    /// What comes of these header lines; none, if they are refused.
    fn told(host: &str, lines: &str) -> Option<String> {
        let mut trust = Trust::default();
        trust.add_host("*.ngrok.app").unwrap();
        trust.add_host("hooks.example.com").unwrap();
        let fixed = Origin::parse("https://fixed.example/prefix").unwrap();
        let lines = lines.lines().map(|line| line.split_once(':').unwrap());
        let lines = lines.map(|(name, value)| (name.as_bytes(), value.trim().as_bytes()));
        let head = RequestHead::from_http2("GET", "/", lines);
        match origin(&head.fields, host, Some(&fixed), &trust) {
            Ok(ForwardedOrigin::Other(origin)) => Some(origin.to_string()),
            Ok(ForwardedOrigin::Configured) => Some("fixed".to_owned()),
            Ok(ForwardedOrigin::Absent) => Some("untold".to_owned()),
            Err(_) => None,
        }
    }

    const TUNNEL: &str = "X-Forwarded-Host: a.ngrok.app";

    #[test]
    fn what_proxies_tell_is_put_together() {
        let chain = "X-Forwarded-Host: a.ngrok.app:8443 , internal\n\
            X-Forwarded-Proto: https,http\nX-Forwarded-Port: 8443, 80";
        let balancer = "X-Forwarded-Proto: https\nX-Forwarded-Port: 443";
        let tunnel = format!("{TUNNEL}\nX-Forwarded-Proto: https");
        for (host, lines, expected) in [
            ("x.example", "", "untold"),
            ("a.ngrok.app", &tunnel, "https://a.ngrok.app/prefix"),
            ("localhost:8080", &tunnel, "https://a.ngrok.app/prefix"),
            ("hooks.example.com", balancer, "https://hooks.example.com/prefix"),
            ("internal", chain, "https://a.ngrok.app:8443/prefix"),
            ("a.ngrok.app", "X-Forwarded-Proto: WSS", "https://a.ngrok.app/prefix"),
            ("a.ngrok.app", "X-Forwarded-Proto: http", "http://a.ngrok.app/prefix"),
            // the name on file needs no listing
            ("fixed.example", "X-Forwarded-Proto: https", "fixed"),
            ("x", "X-Forwarded-Host: FIXED.example\nX-Forwarded-Port: 443", "fixed"),
        ] {
            assert_eq!(told(host, lines).as_deref(), Some(expected), "{host} {lines:?}");
        }
    }

    #[test]
    fn forwarded_tells_the_same() {
        for (lines, expected) in [
            ("Forwarded: for=192.0.2.1", "untold"),
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
            assert_eq!(told("x", lines).as_deref(), Some(expected), "{lines:?}");
        }
    }

    #[test]
    fn what_is_told_of_others_or_is_no_host_is_not_believed() {
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
            assert_eq!(told("a.ngrok.app", &format!("X-Forwarded-Host: {host}")), None, "{host}");
        }
        assert_eq!(told("evil.example", "X-Forwarded-Proto: https"), None);
        assert_eq!(told("fixed.example", "X-Forwarded-Proto: http"), None);
        let long = format!("X-Forwarded-Host: {}.ngrok.app", "a".repeat(250));
        assert_eq!(told("x", &long), None);
    }

    #[test]
    fn what_is_told_twice_or_in_contradiction_is_not_believed() {
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
            assert_eq!(told("a.ngrok.app", &format!("{TUNNEL}\n{lines}")), None, "{lines:?}");
        }
    }
}
