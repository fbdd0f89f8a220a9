//! Builds requests as Twilio sends them: signed, with its headers.

use std::{
    hash::{BuildHasher, RandomState},
    io,
};

use sha2::{Digest, Sha256};

use crate::config::Secret;
use crate::signature::{Algorithm, Key, Order, Parameters};

/// A request to sign.
#[derive(Clone, Debug)]
pub(super) struct Webhook {
    /// The URL as configured at Twilio, without a fragment.
    pub(super) url: String,
    /// The body.
    pub(super) body: Body,
}

/// The body of a webhook.
#[derive(Clone, Debug)]
pub(super) enum Body {
    /// No body: a GET.
    None,
    /// `application/x-www-form-urlencoded`.
    Form(Vec<u8>),
    /// Anything else, covered by `bodySHA256` in the URL.
    Json(Vec<u8>),
}

impl Webhook {
    /// Builds a GET.
    pub(super) fn get(url: &str) -> Self {
        Self { url: without_fragment(url), body: Body::None }
    }

    /// Builds a WebSocket handshake: a GET whose URL is signed with `wss`, or `ws` for plain HTTP.
    pub(super) fn handshake(url: &str) -> Self {
        let url = without_fragment(url);
        let url = url.strip_prefix("http").map_or_else(|| url.clone(), |rest| format!("ws{rest}"));
        Self { url, body: Body::None }
    }

    /// Builds a form POST.
    pub(super) fn form(url: &str, form: Vec<u8>) -> Self {
        Self { url: without_fragment(url), body: Body::Form(form) }
    }

    /// Builds a JSON POST; adds the body's hash (`bodySHA256`) to the URL as Twilio does.
    pub(super) fn hashed(url: &str, body: Vec<u8>) -> Self {
        let url = without_fragment(url);
        let separator = if url.contains('?') { '&' } else { '?' };
        let hash = hex(&Sha256::digest(&body));
        Self { url: format!("{url}{separator}bodySHA256={hash}"), body: Body::Json(body) }
    }

    /// Returns its `X-Twilio-Signature` under this key.
    pub(super) fn signature(&self, key: &Key) -> String {
        let tail = match &self.body {
            Body::Form(form) => Parameters::parse(form).sorted(Order::Bytes).to_vec(),
            Body::None | Body::Json(_) => Vec::new(),
        };
        key.sign(self.url.as_bytes(), &tail)
    }

    pub(super) const fn method(&self) -> &'static str {
        match self.body {
            Body::None => "GET",
            Body::Form(_) | Body::Json(_) => "POST",
        }
    }

    pub(super) const fn content_type(&self) -> Option<&'static str> {
        match self.body {
            Body::None => None,
            Body::Form(_) => Some("application/x-www-form-urlencoded; charset=UTF-8"),
            Body::Json(_) => Some("application/json"),
        }
    }

    pub(super) fn body(&self) -> &[u8] {
        match &self.body {
            Body::None => &[],
            Body::Form(bytes) | Body::Json(bytes) => bytes,
        }
    }

    /// Returns the request target: path and query.
    pub(super) fn target(&self) -> &str {
        let after_scheme = self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest);
        after_scheme.find('/').and_then(|at| after_scheme.get(at..)).unwrap_or("/")
    }

    /// Returns host and port as written in the URL, without userinfo.
    pub(super) fn authority(&self) -> &str {
        let after_scheme = self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest);
        let end = after_scheme.find(['/', '?']).unwrap_or(after_scheme.len());
        let authority = after_scheme.get(..end).unwrap_or_default();
        authority.rsplit('@').next().unwrap_or_default()
    }

    /// Serializes the HTTP/1.1 request.
    pub(super) fn to_bytes(&self, signature: Option<&str>) -> Vec<u8> {
        let mut head = format!(
            "{} {} HTTP/1.1\r\nHost: {}\r\n",
            self.method(),
            self.target(),
            self.authority()
        );
        head.push_str("User-Agent: TwilioProxy/1.1\r\nAccept: */*\r\n");
        if let Some(content_type) = self.content_type() {
            head.push_str(&format!(
                "Content-Type: {content_type}\r\nContent-Length: {}\r\n",
                self.body().len()
            ));
        }
        head.push_str(&format!("I-Twilio-Idempotency-Token: {}\r\n", uuid(&fresh_hex())));
        head.push_str("X-Home-Region: us1\r\n");
        if let Some(signature) = signature {
            head.push_str(&format!("X-Twilio-Signature: {signature}\r\n"));
        }
        head.push_str("Connection: close\r\n\r\n");
        [head.as_bytes(), self.body()].concat()
    }

    /// Returns a curl command for a shell; it connects to `to` instead of the URL's host, if given.
    pub(super) fn to_curl(&self, signature: &str, to: Option<&str>) -> String {
        let mut line = String::from("curl -si");
        let url = to.map_or_else(
            || self.url.clone(),
            |to| format!("{}{}", to.trim_end_matches('/'), self.target()),
        );
        if to.is_some() {
            line.push_str(&format!(" -H 'Host: {}'", self.authority()));
        }
        line.push_str(&format!(" -H 'X-Twilio-Signature: {signature}'"));
        if let Some(content_type) = self.content_type() {
            let body = String::from_utf8_lossy(self.body());
            line.push_str(&format!(
                " -H 'Content-Type: {content_type}' --data-binary {}",
                shell_quote(&body)
            ));
        }
        format!("{line} {}", shell_quote(&url))
    }
}

/// Encodes a form body.
pub(super) fn encode_form<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let mut form = String::new();
    for (name, value) in pairs {
        let separator = if form.is_empty() { "" } else { "&" };
        form.push_str(&format!("{separator}{}={}", escape(name), escape(value)));
    }
    form.into_bytes()
}

/// Makes an auth token a key.
pub(super) fn key_from_token(secret: &Secret) -> io::Result<Key> {
    Key::new("token", secret.bytes(), Algorithm::HmacSha1).map_err(io::Error::other)
}

fn escape(text: &str) -> String {
    let bytes = text.bytes().map(|byte| match byte {
        b' ' => "+".to_owned(),
        _ if byte.is_ascii_alphanumeric() || b"-_.*".contains(&byte) => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    });
    bytes.collect()
}

/// Returns 32 fresh hex digits, for values that must be unique but need not be secret: `RandomState`
/// has random keys.
pub(super) fn fresh_hex() -> String {
    let half = || RandomState::new().hash_one("fresh");
    format!("{:016x}{:016x}", half(), half())
}

/// Formats 32 hex digits as a random UUID (RFC 9562, section 5.4).
fn uuid(digits: &str) -> String {
    let part = |from, to| digits.get(from..to).unwrap_or_default();
    let [a, b, c, d, e] = [part(0, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32)];
    format!("{a}-{b}-4{c}-8{d}-{e}")
}

fn without_fragment(url: &str) -> String {
    url.split('#').next().unwrap_or_default().to_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn shell_quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idempotency_tokens_are_unique_uuids() {
        let token = || uuid(&fresh_hex());
        let one = token();
        let lengths: Vec<_> = one.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_ne!(one, token());
    }

    #[test]
    fn handshake_url_has_a_websocket_scheme() {
        for (given, signed) in [
            ("https://h/a", "wss://h/a"),
            ("http://h:1/a#f", "ws://h:1/a"),
            ("wss://h/", "wss://h/"),
        ] {
            assert_eq!(Webhook::handshake(given).url, signed);
        }
    }
}
