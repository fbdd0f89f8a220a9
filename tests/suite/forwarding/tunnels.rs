//! WebSocket handshakes and the tunnels that they open.

use std::time::Duration;

use super::named;
use crate::support::{
    TOKEN,
    gate::Gate,
    latin1,
    message::{FORM, Message},
    upstream::{Answer, Upstream},
    values,
};

#[test]
fn websocket_handshake_becomes_a_tunnel() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let mut client = gate.connect();
    client.send(
        &Message::handshake("/media?x=1").field("sec-websocket-protocol", "a, b").signed().bytes(),
    );
    let response = client.response();
    assert_eq!(response.line, "HTTP/1.1 101 Switching Protocols");
    assert_eq!(values(&response.fields, "Upgrade"), ["websocket"]);
    assert_eq!(values(&response.fields, "Sec-WebSocket-Accept").len(), 1);
    let arrived = upstream.only();
    assert_eq!(arrived.line(), "GET /media?x=1 HTTP/1.1");
    assert_eq!(arrived.values("Upgrade"), ["websocket"]);
    assert_eq!(arrived.values("Connection"), ["Upgrade"]);
    assert_eq!(
        named(&arrived.fields(), "sec-websocket-protocol"),
        [("sec-websocket-protocol", "a, b")]
    );
    for said in ["one", "\0\u{1}\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"] {
        client.send(said.as_bytes());
        assert_eq!(client.exactly(said.len()).unwrap(), said.as_bytes());
    }
    client.half_close();
    assert!(client.is_at_end());
}

#[test]
fn tunnel_carries_bulk_data_both_ways() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let mut client = gate.connect();
    client.send(&Message::handshake("/media").signed().bytes());
    assert_eq!(client.response().status, 101);
    let piece = b"0123456789abcdef".repeat(2048);
    for _ in 0..32 {
        client.send(&piece);
        assert!(client.exactly(piece.len()).unwrap() == piece, "what comes back is what was sent");
    }
}

#[test]
fn bytes_after_a_handshake_wait_for_the_101() {
    let upstream = Upstream::answering(Answer::switching().pausing(Duration::from_millis(200)));
    let gate = Gate::before(&upstream);
    let mut client = gate.connect();
    let hasty = [Message::handshake("/media").signed().bytes(), b"hasty".to_vec()].concat();
    client.send(&hasty);
    assert_eq!(client.response().status, 101);
    assert_eq!(latin1(&upstream.early()), "");
    assert_eq!(client.exactly(5).unwrap(), b"hasty");
}

#[test]
fn declined_handshake_returns_the_app_response() {
    let no = "HTTP/1.1 426 Upgrade Required\r\nX-Why: no\r\nContent-Length: 2\r\n\r\nno";
    let upstream = Upstream::answering(Answer::raw(no));
    let gate = Gate::before(&upstream);
    let mut client = gate.connect();
    client.send(&Message::handshake("/media").signed().bytes());
    let response = client.response();
    assert_eq!(
        (response.line.as_str(), response.text().as_str()),
        ("HTTP/1.1 426 Upgrade Required", "no")
    );
    assert_eq!(values(&response.fields, "X-Why"), ["no"]);
    client.send(&Message::get("/voice").bytes());
    let next = client.try_response().map_or(418, |response| response.status);
    assert_eq!(next, 418, "what follows is judged, if it is read");
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn upgrade_other_than_websocket_is_forwarded_without_upgrade() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    for (connection, upgrade) in
        [("Upgrade", "h2c"), ("keep-alive", "websocket"), ("Upgrade", "websocket, h2c")]
    {
        let message =
            Message::get("/voice").field("Connection", connection).field("Upgrade", upgrade);
        let signature = Message::get("/voice").signature(TOKEN);
        let response = gate.answer(&message.field("X-Twilio-Signature", &signature));
        assert_eq!(response.status, 200, "{connection} {upgrade}: {response:?}");
    }
    assert!(upstream.requests().iter().all(|request| request.values("Upgrade").is_empty()));
}

#[test]
fn unrequested_101_opens_no_tunnel() {
    let upstream = Upstream::answering(Answer::switching());
    let gate = Gate::before(&upstream);
    let mut client = gate.connect();
    client.send(&Message::post("/voice", FORM, b"a=1").signed().bytes());
    let response = client.try_response();
    let failed = response.as_ref().map_or(true, |response| response.status == 502);
    assert!(failed, "{response:?}");
}
