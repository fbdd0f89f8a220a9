//! Upstreams other than plain TCP: TLS and Unix sockets.

use crate::support::{
    TOKEN,
    client::Response,
    gate::Gate,
    message::Message,
    tls::{Authority, Pair, Relay, from_unix},
    upstream::{TWIML, Upstream},
};

fn start(url: &str, more: &str) -> Gate {
    Gate::start(&format!(
        "public_url = \"https://hooks.example.com\"\nupstream = \"{url}\"\n\
         auth_tokens = [\"{TOKEN}\"]\n{more}\n"
    ))
}

fn voice() -> Message {
    Message::form("/voice?a=1", "To=%2B1&From=%2B2").field("X-Spelled", "so").signed()
}

fn assert_answered(response: &Response) {
    assert_eq!((response.status, response.text()), (200, TWIML.to_owned()), "{response:?}");
}

/// A gate before an app behind TLS with this certificate, which may require a client certificate.
fn before_tls(
    authority: &Authority,
    pair: &Pair,
    asks: bool,
    more: &str,
) -> (Upstream, Relay, Gate) {
    let app = Upstream::start();
    let relay = Relay::from_tls(authority.server(pair, asks, &["http/1.1"]), app.address());
    let url = format!("https://localhost:{}", relay.address.port());
    let gate = start(&url, more);
    (app, relay, gate)
}

fn trusting(authority: &Authority) -> String {
    format!("[upstream_tls]\nca = \"{}\"\n", authority.ca().display())
}

#[test]
fn https_upstream_gets_the_same_bytes_over_a_reused_connection() {
    let authority = Authority::new();
    let pair = authority.issue("localhost", 2099);
    let (app, _relay, gate) = before_tls(&authority, &pair, false, &trusting(&authority));
    for _ in 0..3 {
        assert_answered(&gate.answer(&voice()));
    }
    let arrived = &app.requests()[0];
    assert_eq!(arrived.line(), "POST /voice?a=1 HTTP/1.1");
    assert_eq!(
        arrived.values("Host"),
        ["hooks.example.com"],
        "Host is not rewritten to the name of the app"
    );
    assert!(arrived.fields().contains(&("X-Spelled".into(), "so".into())));
    assert_eq!(arrived.body, b"To=%2B1&From=%2B2");
    assert!(app.connections() <= 2, "one per worker at most: {}", app.connections());
}

#[test]
fn websocket_is_tunnelled_to_an_https_upstream() {
    let authority = Authority::new();
    let pair = authority.issue("localhost", 2099);
    let (_app, _relay, gate) = before_tls(&authority, &pair, false, &trusting(&authority));
    let mut client = gate.connect();
    let handshake = Message::get("/media")
        .field("Connection", "Upgrade")
        .field("Upgrade", "websocket")
        .field("Sec-WebSocket-Version", "13")
        .field("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .signed();
    client.send(&handshake.bytes());
    assert_eq!(client.response().status, 101);
    client.send(b"hello");
    assert_eq!(client.exactly(5).unwrap(), b"hello");
}

#[test]
fn https_upstream_with_wrong_certificate_is_unreachable() {
    let authority = Authority::new();
    let stranger = Authority::new();
    let other_name = authority.issue("other.example.com", 2099);
    let past = authority.issue("localhost", 2001);
    let of_stranger = stranger.issue("localhost", 2099);
    for (issuer, pair, why) in [
        (&authority, &other_name, "another name"),
        (&authority, &past, "expired"),
        (&stranger, &of_stranger, "not trusted"),
    ] {
        let (app, _relay, gate) = before_tls(issuer, pair, false, &trusting(&authority));
        assert_eq!(gate.answer(&voice()).status, 502, "{why}");
        assert_eq!(gate.outcome_of(&voice()).reason(), "upstream_unreachable", "{why}");
        assert_eq!(app.bytes(), 0, "{why}");
        assert!(gate.log().contains("TLS: "), "{why}: {}", gate.log());
    }
}

#[test]
fn client_certificate_is_sent_to_an_upstream_that_requests_it() {
    let authority = Authority::new();
    let pair = authority.issue("localhost", 2099);
    authority.issue("gate.example.com", 2099).write(&authority.folder, "gate");
    let folder = authority.folder.path().display();
    let shown = format!("cert = \"{folder}/gate.pem\"\nkey = \"{folder}/gate.key\"\n");
    let (_app, _relay, gate) =
        before_tls(&authority, &pair, true, &(trusting(&authority) + &shown));
    assert_answered(&gate.answer(&voice()));
    let (app, _relay, gate) = before_tls(&authority, &pair, true, &trusting(&authority));
    assert_eq!(gate.answer(&voice()).status, 502);
    assert_eq!(app.bytes(), 0);
}

#[test]
fn unix_socket_upstream_is_served() {
    let authority = Authority::new();
    let app = Upstream::start();
    let path = authority.folder.path().join("app.sock");
    let _relay = from_unix(&path, app.address());
    let gate = start(&format!("unix:{}", path.display()), "");
    assert_answered(&gate.answer(&voice()));
    assert_eq!(app.only().values("Host"), ["hooks.example.com"]);
}

#[test]
fn https_upstream_with_http2_only_is_unreachable() {
    let authority = Authority::new();
    let pair = authority.issue("localhost", 2099);
    let app = Upstream::start();
    for (alpn, status) in [(&["http/1.1"][..], 200), (&[], 200), (&["h2"], 502)] {
        let relay = Relay::from_tls(authority.server(&pair, false, alpn), app.address());
        let gate =
            start(&format!("https://localhost:{}", relay.address.port()), &trusting(&authority));
        assert_eq!(gate.answer(&voice()).status, status, "{alpn:?}");
    }
    assert_eq!(app.requests().len(), 2);
}
