//! Which header fields end here.

use std::{borrow::Cow, net::IpAddr};

use memchr::memchr;
use smallvec::SmallVec;

use crate::gate::EffectiveOrigin;
use crate::http1::{Field, FieldName, Fields, RequestHead, write_field};

/// Fields that are about one connection (RFC 9110 §7.6.1, and what older software put there).
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

/// Fields of a request that end here as well: `Expect`, whose answer was ours to give, since the
/// body is here; `HTTP2-Settings`, an offer of h2c that we do not make (RFC 9113 §3.1 dropped it);
/// and look-alikes: CGI and WSGI fold `X_Twilio_Signature` and `X-Twilio-Signature` into one
/// variable, and which of them wins is the app's luck.
fn is_consumed_by_proxy(field: &Field<'_>) -> bool {
    match field.name {
        FieldName::Expect | FieldName::Http2Settings => true,
        FieldName::Other => memchr(b'_', field.raw_name).is_some(),
        _ => false, // none of these has one
    }
}

/// End-to-end fields that a `Connection` line may name in vain: dropping them would let a sender
/// change what the app is told.
fn is_end_to_end(name: &[u8]) -> bool {
    let is = |text: &[u8], known: &&str| text.eq_ignore_ascii_case(known.as_bytes());
    ["host", "authorization", "cookie", "date", "forwarded", "user-agent", "via"]
        .iter()
        .any(|known| is(name, known))
        || ["content-", "x-twilio-", "i-twilio-", "x-forwarded-", "accept", "sec-"]
            .iter()
            .any(|known| name.get(..known.len()).is_some_and(|begin| is(begin, known)))
}

/// Which fields of a message go on.
pub(super) struct HeaderFilter<'h> {
    hop_by_hop: bool,
    /// What `Connection` names, end-to-end fields excepted.
    named: SmallVec<[&'h [u8]; 2]>,
}

impl<'h> HeaderFilter<'h> {
    /// All of them.
    pub(super) const fn all() -> Self {
        Self { hop_by_hop: true, named: SmallVec::new_const() }
    }

    /// All but hop-by-hop fields and what `Connection` names, end-to-end fields excepted.
    pub(super) fn end_to_end(fields: &'h Fields) -> Self {
        let named =
            fields.elements(FieldName::Connection).filter(|name| !is_end_to_end(name)).collect();
        Self { hop_by_hop: false, named }
    }

    pub(super) fn keeps(&self, field: &Field<'_>) -> bool {
        self.hop_by_hop
            || !is_hop_by_hop(field.name)
                && !self.named.iter().any(|named| field.raw_name.eq_ignore_ascii_case(named))
    }
}

/// What the app is sent of a request's head.
pub(super) struct UpstreamHead<'h> {
    head: &'h RequestHead,
    passing: HeaderFilter<'h>,
    /// Fields of ours, each in place of all that the sender has of its name.
    added: Vec<(&'static [u8], Cow<'h, [u8]>)>,
}

impl<'h> UpstreamHead<'h> {
    /// Of a body that came in chunks, or over HTTP/2, the length is told: it is known by now.
    pub(super) fn new(head: &'h RequestHead, handshake: bool, length: usize) -> Self {
        let mut added: Vec<(&[u8], Cow<'_, [u8]>)> = Vec::new();
        let chunked = head.fields.contains(FieldName::TransferEncoding);
        if (chunked || length > 0) && !head.fields.contains(FieldName::ContentLength) {
            added.push((b"Content-Length", Cow::Owned(length.to_string().into_bytes())));
        }
        if let Some(upgrade) = head.fields.get(FieldName::Upgrade).filter(|_| handshake) {
            added.push((b"Connection", Cow::Borrowed(b"Upgrade")));
            added.push((b"Upgrade", Cow::Borrowed(upgrade)));
        }
        Self { head, passing: HeaderFilter::end_to_end(&head.fields), added }
    }

    /// Says whom the gate was called by, and as what (`forwarded_headers = "append"`): by the
    /// `Host` that was sent, or as a proxy told it that is believed.
    pub(super) fn append_forwarded(&mut self, peer: Option<IpAddr>, called: &EffectiveOrigin) {
        let fields = &self.head.fields;
        let mut chain = Vec::new();
        for earlier in fields.all(FieldName::ForwardedFor) {
            chain.extend_from_slice(earlier);
            chain.extend_from_slice(b", ");
        }
        let peer = peer.map_or_else(|| "unknown".to_owned(), |peer| peer.to_string());
        chain.extend_from_slice(peer.as_bytes());
        let host = called.host.as_ref().map(|told| told.as_bytes());
        let host = host.or_else(|| fields.get(FieldName::Host)).map(<[u8]>::to_vec);
        let scheme = called.scheme.map(|scheme| scheme.as_bytes().to_vec());
        let told: [(&[u8], _); 3] = [
            (b"X-Forwarded-For", Some(chain)),
            (b"X-Forwarded-Proto", scheme),
            (b"X-Forwarded-Host", host),
        ];
        let told = told.into_iter().filter_map(|(name, value)| Some((name, Cow::Owned(value?))));
        self.added.extend(told);
    }

    fn keeps(&self, field: &Field<'_>) -> bool {
        let replaced = |(name, _): &(&[u8], _)| field.raw_name.eq_ignore_ascii_case(name);
        self.passing.keeps(field)
            && !is_consumed_by_proxy(field)
            && !self.added.iter().any(replaced)
    }

    /// The head as the app is sent it over HTTP/1.1, with room for `more` bytes behind it.
    pub(super) fn written(&self, more: usize) -> Vec<u8> {
        let Self { head, added, .. } = self;
        let ours = added.iter().map(|(name, value)| name.len().saturating_add(value.len()));
        let ours = ours.fold(FRAMING, |sum, one| sum.saturating_add(one).saturating_add(4));
        let length = head.fields.size().saturating_add(ours);
        let mut text = Vec::with_capacity(length.saturating_add(more));
        for part in [head.method().as_bytes(), b" ", head.target(), b" HTTP/1.1\r\n"] {
            text.extend_from_slice(part);
        }
        head.fields.write(|field| self.keeps(field), &mut text);
        for (name, value) in added {
            write_field(name, value, &mut text);
        }
        text.extend_from_slice(b"\r\n");
        text
    }
}

/// What a head may have beside its own bytes: a version that HTTP/2 does not write, its end.
const FRAMING: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &[(&str, &str)]) -> RequestHead {
        let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        RequestHead::from_http2("POST", "/voice", fields)
    }

    fn names(head: &RequestHead) -> Vec<String> {
        let for_app = UpstreamHead::new(head, false, 0);
        let passing = head.fields.iter().filter(|field| for_app.keeps(field));
        passing.map(|field| String::from_utf8(field.raw_name.to_vec()).unwrap()).collect()
    }

    #[test]
    fn nomination_strips_nothing_end_to_end() {
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
    fn look_alikes_never_reach_the_app() {
        let head = head(&[("X_Twilio_Signature", "s"), ("X-Ok", "1"), ("Expect", "x")]);
        assert_eq!(names(&head), ["X-Ok"]);
    }

    #[test]
    fn a_head_is_written_as_it_came() {
        let head = head(&[("hOST", "h"), ("X-A", "1"), ("TE", "x"), ("x-a", "2")]);
        let text = UpstreamHead::new(&head, false, 3).written(0);
        let expected =
            "POST /voice HTTP/1.1\r\nhOST: h\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn what_was_told_of_the_sender_is_told_on() {
        let head =
            head(&[("Host", "h"), ("x-forwarded-for", "1.2.3.4"), ("X-Forwarded-Host", "i")]);
        let mut for_app = UpstreamHead::new(&head, false, 0);
        let called = EffectiveOrigin { scheme: Some("https"), host: None };
        for_app.append_forwarded(Some([127, 0, 0, 1].into()), &called);
        let text = String::from_utf8(for_app.written(0)).unwrap();
        let (_, told) = text.split_once("Host: h\r\n").unwrap();
        let expected = "X-Forwarded-For: 1.2.3.4, 127.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: h\r\n\r\n";
        assert_eq!(told, expected);
    }
}
