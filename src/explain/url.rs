//! A URL in parts, each of which a hypothesis may change.

use super::codec::{halves, segments};
use crate::signature::{Origin, split_port};

/// `scheme://host[:port]path[?query]`; the path has the origin's prefix before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) scheme: String,
    pub(super) host: String,
    pub(super) port: Option<u16>,
    pub(super) path: Vec<u8>,
    pub(super) query: Option<Vec<u8>>,
}

impl Url {
    /// Puts an origin and a target together.
    pub(super) fn new(scheme: &str, host: &str, port: Option<u16>, target: &[u8]) -> Self {
        let (path, query) = split_target(target);
        Self { scheme: scheme.to_owned(), host: host.to_owned(), port, path, query }
    }

    /// The URL that the gate puts together for a target.
    pub(super) fn of_origin(origin: &Origin, handshake: bool, target: &[u8]) -> Self {
        let scheme = match (handshake, origin.scheme().name()) {
            (false, scheme) => scheme,
            (true, "http") => "ws",
            (true, _) => "wss",
        };
        let target = [origin.prefix().as_bytes(), target].concat();
        Self::new(scheme, origin.host(), origin.port(), &target)
    }

    /// Reads a URL as somebody wrote it. A fragment and a password are dropped: neither is signed.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim().split('#').next()?;
        let (scheme, rest) = text.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        if !matches!(scheme.as_str(), "http" | "https" | "ws" | "wss") {
            return None;
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at_checked(end)?;
        let authority = authority.rsplit('@').next()?;
        let (host, port) = split_port(authority).ok()?;
        Some(Self::new(&scheme, host, port, target.as_bytes()))
    }

    pub(super) fn target(&self) -> Vec<u8> {
        match &self.query {
            Some(query) => [&self.path, &b"?"[..], query].concat(),
            None => self.path.clone(),
        }
    }

    pub(super) fn authority(&self) -> String {
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}{port}", self.host)
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let origin = format!("{}://{}", self.scheme, self.authority());
        [origin.into_bytes(), self.target()].concat()
    }

    pub(super) fn with_query(&self, query: Option<Vec<u8>>) -> Self {
        Self { query, ..self.clone() }
    }

    pub(super) fn with_path(&self, path: Vec<u8>) -> Self {
        Self { path, ..self.clone() }
    }

    /// Shows it with `…` in place of each value of the query.
    pub(super) fn redacted(&self) -> String {
        let path = String::from_utf8_lossy(&self.path);
        let query = self.query.as_ref().map(|query| format!("?{}", redacted_pairs(query, "&")));
        format!("{}://{}{path}{}", self.scheme, self.authority(), query.unwrap_or_default())
    }
}

/// Shows the names of a form or a query.
pub(super) fn redacted_pairs(encoded: &[u8], separator: &str) -> String {
    let shown = segments(encoded).into_iter().take(super::codec::MAX_NAMES).map(|segment| {
        let (name, _, has_value) = halves(segment);
        let name = name_or_dots(name);
        if has_value { format!("{name}=…") } else { name }
    });
    shown.collect::<Vec<_>>().join(separator)
}

/// A name as Twilio's are; anything longer or stranger may be a value and is not shown.
fn name_or_dots(name: &[u8]) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.[]%".contains(byte);
    if name.len() <= 40 && name.iter().all(plain) {
        String::from_utf8_lossy(name).into_owned()
    } else {
        "…".to_owned()
    }
}

fn split_target(target: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
    match target.iter().position(|&byte| byte == b'?').and_then(|at| target.split_at_checked(at)) {
        Some((path, query)) => (path.to_vec(), Some(query.get(1..).unwrap_or_default().to_vec())),
        None => (target.to_vec(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_and_put_together() {
        for text in ["https://h/a?b=c", "wss://h:8443/", "http://[::1]:80", "https://h?x"] {
            assert_eq!(Url::parse(text).unwrap().bytes(), text.as_bytes());
        }
        assert_eq!(Url::parse("https://u:p@h/a#x").unwrap().bytes(), b"https://h/a");
        assert!(Url::parse("/sms").is_none() && Url::parse("ftp://h/").is_none());
    }

    #[test]
    fn values_are_not_shown() {
        let url = Url::parse("https://h/p?From=secret&x").unwrap();
        assert_eq!(url.redacted(), "https://h/p?From=…&x");
    }
}
