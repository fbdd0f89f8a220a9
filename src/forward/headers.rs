//! Which header fields end here.

use std::{borrow::Cow, net::IpAddr};

use memchr::memchr;
use smallvec::SmallVec;

use crate::gate::Called;
use crate::wire::{Field, Fields, Name, RequestHead};

/// Names and values, in their order.
pub(super) type List<'h> = SmallVec<[(&'h [u8], Cow<'h, [u8]>); 16]>;

/// Fields that are about one connection (RFC 9110 §7.6.1, and what older software put there).
const fn is_hop_by_hop(name: Name) -> bool {
    matches!(
        name,
        Name::Connection
            | Name::KeepAlive
            | Name::ProxyConnection
            | Name::ProxyAuthenticate
            | Name::ProxyAuthorization
            | Name::Te
            | Name::Trailer
            | Name::TransferEncoding
            | Name::Upgrade
    )
}

/// Fields of a request that end here as well: `Expect`, whose answer was ours to give, since the
/// body is here; `HTTP2-Settings`, an offer of h2c that we do not make (RFC 9113 §3.1 dropped it);
/// and look-alikes: CGI and WSGI fold `X_Twilio_Signature` and `X-Twilio-Signature` into one
/// variable, and which of them wins is the app's luck.
fn ends_here(field: &Field<'_>) -> bool {
    matches!(field.name, Name::Expect | Name::Http2Settings)
        || memchr(b'_', field.spelled).is_some()
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

/// All but hop-by-hop fields and what `Connection` names, end-to-end fields excepted.
pub(super) fn end_to_end(fields: &Fields) -> impl Iterator<Item = Field<'_>> {
    let named: SmallVec<[&[u8]; 2]> =
        fields.elements(Name::Connection).filter(|name| !is_end_to_end(name)).collect();
    fields.iter().filter(move |field| {
        !is_hop_by_hop(field.name)
            && !named.iter().any(|named| field.spelled.eq_ignore_ascii_case(named))
    })
}

/// What the app is sent of a request's fields. Of a body that came in chunks, or over HTTP/2, the
/// length is told: it is known by now.
pub(super) fn for_app(head: &RequestHead, handshake: bool, length: usize) -> List<'_> {
    let passes = end_to_end(&head.fields).filter(|field| !ends_here(field));
    let mut list: List<'_> =
        passes.map(|field| (field.spelled, Cow::Borrowed(field.value))).collect();
    let chunked = head.fields.contains(Name::TransferEncoding);
    if (chunked || length > 0) && !head.fields.contains(Name::ContentLength) {
        list.push((b"Content-Length", Cow::Owned(length.to_string().into_bytes())));
    }
    if let Some(upgrade) = head.fields.get(Name::Upgrade).filter(|_| handshake) {
        list.push((b"Connection", Cow::Borrowed(b"Upgrade")));
        list.push((b"Upgrade", Cow::Borrowed(upgrade)));
    }
    list
}

/// Says whom the gate was called by, and as what (`forwarded_headers = "append"`): by the `Host`
/// that was sent, or as a proxy told it that is believed.
pub(super) fn append_forwarded(
    list: &mut List<'_>,
    head: &RequestHead,
    peer: Option<IpAddr>,
    called: &Called,
) {
    let mut chain = Vec::new();
    for earlier in head.fields.all(Name::ForwardedFor) {
        chain.extend_from_slice(earlier);
        chain.extend_from_slice(b", ");
    }
    let peer = peer.map_or_else(|| "unknown".to_owned(), |peer| peer.to_string());
    chain.extend_from_slice(peer.as_bytes());
    let host = called.host.as_ref().map(|told| told.as_bytes());
    let host = host.or_else(|| head.fields.get(Name::Host)).map(<[u8]>::to_vec);
    let scheme = called.scheme.map(|scheme| scheme.as_bytes().to_vec());
    let told = [Some(chain), scheme, host];
    for (name, value) in
        [&b"X-Forwarded-For"[..], b"X-Forwarded-Proto", b"X-Forwarded-Host"].into_iter().zip(told)
    {
        if let Some(value) = value {
            list.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
            list.push((name, Cow::Owned(value)));
        }
    }
}

/// A request's head as the app is sent it over HTTP/1.1, with room for `more` bytes behind it.
pub(super) fn written(head: &RequestHead, list: &List<'_>, more: usize) -> Vec<u8> {
    let fields = list.iter().map(|(name, value)| name.len().saturating_add(value.len()));
    let length = fields.fold(head.target().len(), |sum, field| sum.saturating_add(field));
    let framing = list.len().saturating_mul(4).saturating_add(64);
    let mut text = Vec::with_capacity(length.saturating_add(framing).saturating_add(more));
    for part in [head.method().as_bytes(), b" ", head.target(), b" HTTP/1.1\r\n"] {
        text.extend_from_slice(part);
    }
    for (name, value) in list {
        for part in [name, &b": "[..], value, b"\r\n"] {
            text.extend_from_slice(part);
        }
    }
    text.extend_from_slice(b"\r\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &[(&str, &str)]) -> RequestHead {
        let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        RequestHead::told("POST", "/voice", fields)
    }

    fn names(head: &RequestHead) -> Vec<String> {
        let list = for_app(head, false, 0);
        list.iter().map(|(name, _)| String::from_utf8(name.to_vec()).unwrap()).collect()
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
        let text = written(&head, &for_app(&head, false, 3), 0);
        let expected =
            "POST /voice HTTP/1.1\r\nhOST: h\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn what_was_told_of_the_sender_is_told_on() {
        let head =
            head(&[("Host", "h"), ("x-forwarded-for", "1.2.3.4"), ("X-Forwarded-Host", "i")]);
        let mut list = for_app(&head, false, 0);
        let called = Called { scheme: Some("https"), host: None };
        append_forwarded(&mut list, &head, Some([127, 0, 0, 1].into()), &called);
        let text = String::from_utf8(written(&head, &list, 0)).unwrap();
        let (_, told) = text.split_once("Host: h\r\n").unwrap();
        let expected = "X-Forwarded-For: 1.2.3.4, 127.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: h\r\n\r\n";
        assert_eq!(told, expected);
    }
}
