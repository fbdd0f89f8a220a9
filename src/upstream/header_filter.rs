//! Selection and rewriting of header fields (RFC 9110 §7.6.1).

use std::{borrow::Cow, net::IpAddr};

use memchr::memchr;
use smallvec::SmallVec;

use crate::gate::EffectiveOrigin;
use crate::http1::{Field, FieldName, Fields, RequestHead, write_field};

/// Fields of one connection (RFC 9110 §7.6.1), and those that older software puts there.
const fn is_hop_by_hop(name: FieldName) -> bool {
    matches!(
        name,
        FieldName::Connection
            | FieldName::KeepAlive
            | FieldName::ProxyConnection
            | FieldName::ProxyAuthenticate
            | FieldName::ProxyAuthorization
            | FieldName::Te
            | FieldName::Trailer
            | FieldName::TransferEncoding
            | FieldName::Upgrade
    )
}

/// Fields of a request that end at this proxy too: `Expect`, which is answered here since the body
/// is read here; `HTTP2-Settings`, an offer of h2c (dropped by RFC 9113 §3.1); and names with an
/// underscore: CGI and WSGI map `X_Twilio_Signature` and `X-Twilio-Signature` to one variable.
fn is_consumed_by_proxy(field: &Field<'_>) -> bool {
    match field.name {
        FieldName::Expect | FieldName::Http2Settings => true,
        FieldName::Other => memchr(b'_', field.raw_name).is_some(),
        _ => false, // no known name has an underscore
    }
}

/// End-to-end fields that `Connection` cannot remove: otherwise a sender could change what the app
/// receives of a signed request.
fn is_end_to_end(name: &[u8]) -> bool {
    let is = |text: &[u8], known: &&str| text.eq_ignore_ascii_case(known.as_bytes());
    ["host", "authorization", "cookie", "date", "forwarded", "user-agent", "via", "x-signature"]
        .iter()
        .any(|known| is(name, known))
        || ["content-", "x-twilio-", "i-twilio-", "x-forwarded-", "accept", "sec-"]
            .iter()
            .any(|known| name.get(..known.len()).is_some_and(|begin| is(begin, known)))
}

/// Decides which fields of a message are forwarded.
pub(super) struct HeaderFilter<'h> {
    keeps_hop_by_hop: bool,
    /// The names in `Connection`, end-to-end fields excepted.
    nominated: SmallVec<[&'h [u8]; 2]>,
}

impl<'h> HeaderFilter<'h> {
    /// Keeps all fields.
    pub(super) const fn all() -> Self {
        Self { keeps_hop_by_hop: true, nominated: SmallVec::new_const() }
    }

    /// Drops hop-by-hop fields and those that `Connection` names, end-to-end fields excepted.
    pub(super) fn end_to_end(fields: &'h Fields) -> Self {
        let nominated =
            fields.elements(FieldName::Connection).filter(|name| !is_end_to_end(name)).collect();
        Self { keeps_hop_by_hop: false, nominated }
    }

    pub(super) fn keeps(&self, field: &Field<'_>) -> bool {
        let is_nominated = |name: &&[u8]| field.raw_name.eq_ignore_ascii_case(name);
        self.keeps_hop_by_hop
            || !is_hop_by_hop(field.name) && !self.nominated.iter().any(is_nominated)
    }
}

/// The head of a request as it is sent to the app.
pub(super) struct UpstreamHead<'h> {
    head: &'h RequestHead,
    filter: HeaderFilter<'h>,
    /// The length of the body, in bytes.
    body_length: usize,
    /// Fields of the gate's own; each replaces all that the client sent under its name.
    added: Vec<(&'static [u8], Cow<'h, [u8]>)>,
}

impl<'h> UpstreamHead<'h> {
    /// Prepares the head of a request with a body of `body_length` bytes.
    pub(super) fn new(head: &'h RequestHead, is_handshake: bool, body_length: usize) -> Self {
        let mut added: Vec<(&[u8], Cow<'_, [u8]>)> = Vec::new();
        if let Some(upgrade) = head.fields.get(FieldName::Upgrade).filter(|_| is_handshake) {
            added.push((b"Connection", Cow::Borrowed(b"Upgrade")));
            added.push((b"Upgrade", Cow::Borrowed(upgrade)));
        }
        let filter = HeaderFilter::end_to_end(&head.fields);
        Self { head, filter, body_length, added }
    }

    /// Adds `X-Forwarded-For`, `-Proto` and `-Host` (`forwarded_headers = "append"`): from the
    /// trusted proxy's headers where there are any, else from `Host` and the public URL.
    pub(super) fn append_forwarded(&mut self, peer: Option<IpAddr>, origin: &EffectiveOrigin) {
        let fields = &self.head.fields;
        let mut chain = Vec::new();
        for earlier in fields.all(FieldName::ForwardedFor) {
            chain.extend_from_slice(earlier);
            chain.extend_from_slice(b", ");
        }
        let peer = peer.map_or_else(|| "unknown".to_owned(), |peer| peer.to_string());
        chain.extend_from_slice(peer.as_bytes());
        let host = origin.host.as_ref().map(|host| host.as_bytes());
        let host = host.or_else(|| fields.get(FieldName::Host)).map(<[u8]>::to_vec);
        let scheme = origin.scheme.map(|scheme| scheme.as_bytes().to_vec());
        let forwarded: [(&[u8], _); 3] = [
            (b"X-Forwarded-For", Some(chain)),
            (b"X-Forwarded-Proto", scheme),
            (b"X-Forwarded-Host", host),
        ];
        let known = forwarded.into_iter().filter_map(|(name, value)| Some((name, value?)));
        self.added.extend(known.map(|(name, value)| (name, Cow::Owned(value))));
    }

    /// Adds the host that a trusted proxy stated, where the client sent none or an empty one: an
    /// HTTP/1.1 request must have one (RFC 9112 §3.2).
    pub(super) fn add_missing_host(&mut self, origin: &EffectiveOrigin) {
        if let Some(host) = &origin.host
            && self.head.host().is_none()
        {
            self.added.push((b"Host", Cow::Owned(host.as_bytes().to_vec())));
        }
    }

    fn keeps(&self, field: &Field<'_>) -> bool {
        let is_replaced = |(name, _): &(&[u8], _)| field.raw_name.eq_ignore_ascii_case(name);
        self.filter.keeps(field)
            && !is_consumed_by_proxy(field)
            && !self.added.iter().any(is_replaced)
    }

    /// Encodes the head, with spare capacity for `more` bytes after it.
    ///
    /// `Content-Length` is always the gate's own, since it holds the whole body: under the client's
    /// spelling of the name if it sent one, and at the end where the body came in chunks or over
    /// HTTP/2. App servers are known that read `0010` as octal.
    pub(super) fn encode(&self, more: usize) -> Vec<u8> {
        let mut length = itoa::Buffer::new();
        let length = length.format(self.body_length).as_bytes();
        let Self { head, added, .. } = self;
        let mut text = Vec::with_capacity(self.max_size().saturating_add(more));
        for part in [head.method().as_bytes(), b" ", head.target(), b" HTTP/1.1\r\n"] {
            text.extend_from_slice(part);
        }
        let mut has_length = false;
        for field in head.fields.iter().filter(|field| self.keeps(field)) {
            let is_length = field.name == FieldName::ContentLength;
            has_length |= is_length;
            write_field(field.raw_name, if is_length { length } else { field.value }, &mut text);
        }
        let is_chunked = head.fields.contains(FieldName::TransferEncoding);
        if !has_length && (is_chunked || self.body_length > 0) {
            write_field(b"Content-Length", length, &mut text);
        }
        for (name, value) in added {
            write_field(name, value, &mut text);
        }
        text.extend_from_slice(b"\r\n");
        text
    }

    /// An upper bound of the encoded size: each line may gain a space, a version the digits `.1`,
    /// and the head a `Content-Length`.
    fn max_size(&self) -> usize {
        const OWN: usize = 64;
        let fields = &self.head.fields;
        let added = self.added.iter().map(|(name, value)| name.len().saturating_add(value.len()));
        let added = added.fold(OWN, |sum, one| sum.saturating_add(one).saturating_add(4));
        fields.head_size().saturating_add(fields.len().saturating_mul(2)).saturating_add(added)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &[(&str, &str)]) -> RequestHead {
        let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        RequestHead::from_http2("POST", "/voice", fields)
    }

    fn names(head: &RequestHead) -> Vec<String> {
        let upstream_head = UpstreamHead::new(head, false, 0);
        let passing = head.fields.iter().filter(|field| upstream_head.keeps(field));
        passing.map(|field| String::from_utf8(field.raw_name.to_vec()).unwrap()).collect()
    }

    #[test]
    fn connection_cannot_remove_end_to_end_fields() {
        let head = head(&[
            ("Connection", "close, X-Twilio-Signature, Host, Content-Type, X-Custom"),
            ("X-Twilio-Signature", "s"),
            ("Host", "h"),
            ("Content-Type", "t"),
            ("X-Custom", "c"),
            ("Keep-Alive", "timeout=5"),
            ("TE", "trailers"),
        ]);
        assert_eq!(names(&head), ["X-Twilio-Signature", "Host", "Content-Type"]);
    }

    #[test]
    fn names_with_underscores_never_reach_the_app() {
        let head = head(&[("X_Twilio_Signature", "s"), ("X-Ok", "1"), ("Expect", "x")]);
        assert_eq!(names(&head), ["X-Ok"]);
    }

    #[test]
    fn a_head_is_encoded_as_received() {
        let head = head(&[("hOST", "h"), ("X-A", "1"), ("TE", "x"), ("x-a", "2")]);
        let text = UpstreamHead::new(&head, false, 3).encode(0);
        let expected =
            "POST /voice HTTP/1.1\r\nhOST: h\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn forwarded_headers_are_appended() {
        let head =
            head(&[("Host", "h"), ("x-forwarded-for", "1.2.3.4"), ("X-Forwarded-Host", "i")]);
        let mut upstream_head = UpstreamHead::new(&head, false, 0);
        let origin = EffectiveOrigin { scheme: Some("https"), host: None };
        upstream_head.append_forwarded(Some([127, 0, 0, 1].into()), &origin);
        let text = String::from_utf8(upstream_head.encode(0)).unwrap();
        let (_, forwarded) = text.split_once("Host: h\r\n").unwrap();
        let expected = "X-Forwarded-For: 1.2.3.4, 127.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: h\r\n\r\n";
        assert_eq!(forwarded, expected);
    }
}
