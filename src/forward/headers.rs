//! Which header fields end here.

use std::net::IpAddr;

use hyper::{
    Version,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
use smallvec::SmallVec;

use super::RequestHead;
use crate::gate::Called;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Fields that are about one connection (RFC 9110 §7.6.1, and what older software put there).
fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Fields of a request that end here as well: `Expect`, whose answer was ours to give, since the
/// body is here; `HTTP2-Settings`, an offer of h2c that we do not make (RFC 9113 §3.1 dropped it);
/// and look-alikes: CGI and WSGI fold `X_Twilio_Signature` and `X-Twilio-Signature` into one
/// variable, and which of them wins is the app's luck.
fn ends_here(name: &str) -> bool {
    is_hop_by_hop(name) || matches!(name, "expect" | "http2-settings") || name.contains('_')
}

/// End-to-end fields that a `Connection` line may name in vain: dropping them would let a sender
/// change what the app is told.
fn is_end_to_end(name: &HeaderName) -> bool {
    let name = name.as_str();
    matches!(
        name,
        "host" | "authorization" | "cookie" | "date" | "forwarded" | "user-agent" | "via"
    ) || ["content-", "x-twilio-", "i-twilio-", "x-forwarded-", "accept", "sec-"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// Makes a request head ready for the upstream connection.
pub(super) fn prepare(head: &mut RequestHead, handshake: bool) {
    let headers = &mut head.headers;
    let upgrade = if handshake { headers.get(header::UPGRADE).cloned() } else { None };
    drop_named(headers);
    drop_all(headers, ends_here);
    if let Some(upgrade) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, upgrade);
    }
    head.version = Version::HTTP_11;
}

/// Removes hop-by-hop fields and what `Connection` names, end-to-end fields excepted.
pub(super) fn drop_hop_by_hop(headers: &mut HeaderMap) {
    drop_named(headers);
    drop_all(headers, is_hop_by_hop);
}

fn drop_named(headers: &mut HeaderMap) {
    if !headers.contains_key(header::CONNECTION) {
        return;
    }
    let named: SmallVec<[HeaderName; 2]> = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok())
        .filter(|name| !is_end_to_end(name))
        .collect();
    for name in named {
        headers.remove(name);
    }
}

/// One walk over the names; most heads have none to drop.
fn drop_all(headers: &mut HeaderMap, drops: fn(&str) -> bool) {
    let dropped: SmallVec<[HeaderName; 4]> =
        headers.keys().filter(|name| drops(name.as_str())).cloned().collect();
    for name in dropped {
        headers.remove(name);
    }
}

/// Says whom the gate was called by, and as what (`forwarded_headers = "append"`): by the `Host`
/// that was sent, or as a proxy told it that is believed.
pub(super) fn append_forwarded(headers: &mut HeaderMap, peer: Option<IpAddr>, called: &Called) {
    let mut chain = String::new();
    for earlier in headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()) {
        chain.push_str(earlier);
        chain.push_str(", ");
    }
    chain.push_str(&peer.map_or_else(|| "unknown".to_owned(), |peer| peer.to_string()));
    let scheme = called.scheme.map(HeaderValue::from_static);
    let host = match &called.host {
        Some(told) => HeaderValue::from_str(told).ok(),
        None => headers.get(header::HOST).cloned(),
    };
    let chain = HeaderValue::from_str(&chain).ok();
    for (name, value) in [(FORWARDED_FOR, chain), (FORWARDED_PROTO, scheme), (FORWARDED_HOST, host)]
    {
        if let Some(value) = value {
            headers.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&str, &str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| {
                (HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap())
            })
            .collect()
    }

    #[test]
    fn nomination_strips_nothing_end_to_end() {
        let mut headers = map(&[
            ("Connection", "close, X-Twilio-Signature, Host, Content-Type, X-Custom"),
            ("X-Twilio-Signature", "s"),
            ("Host", "h"),
            ("Content-Type", "t"),
            ("X-Custom", "c"),
            ("Keep-Alive", "timeout=5"),
            ("TE", "trailers"),
        ]);
        drop_hop_by_hop(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-type", "host", "x-twilio-signature"]);
    }

    #[test]
    fn look_alikes_never_reach_the_app() {
        let mut headers = map(&[("X_Twilio_Signature", "s"), ("X-Ok", "1")]);
        drop_all(&mut headers, ends_here);
        assert_eq!(headers.keys().count(), 1);
    }
}
