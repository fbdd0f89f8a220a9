//! Requests as the app receives them.

use super::{named, pass};
use crate::support::{TOKEN, gate::Gate, latin1, message::Message, upstream::Upstream};

/// Targets with unusual but permitted bytes.
const TARGETS: [&str; 26] = [
    "/",
    "/?",
    "/??",
    "/voice?",
    "/voice?a",
    "/voice?a=",
    "/voice?&&",
    "/voice?b=2&a=1&b=2",
    "/a%20b%2Fc",
    "/a%2fB",
    "/%zz%",
    "/a//b",
    "/a/./b/../c",
    "/a;x=1/b",
    "/voice/",
    "/voice?u=http://x.example/?y=z",
    "/voice?n=O'Neil+x%20y",
    "/voice?a[0]=1&b.c=2",
    "/@:!$&()*,=~",
    "/a\\b",
    "/a|b^c",
    "/{\"a\":1}",
    "/voice?plus=%2B+%2b|^`{}",
    "/M\u{fc}nchen?stra\u{df}e",
    "/voice?q={\"a\":1}",
    "/voice?a=<b>",
];

#[test]
fn targets_are_forwarded_byte_for_byte() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    for target in TARGETS {
        let response = gate.answer(&Message::get(target).signed());
        assert_eq!(response.status, 200, "{target}: {response:?}");
        let line = format!("GET {target} HTTP/1.1");
        let wanted = latin1(line.as_bytes());
        assert_eq!(upstream.requests().last().unwrap().line(), wanted);
    }
    assert_eq!(upstream.requests().len(), TARGETS.len());
}

/// An absolute target would have to be rewritten for the app, so that the app would receive something
/// other than what was verified.
#[test]
fn target_not_in_origin_form_is_refused() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let signature = Message::get("/voice").signature(TOKEN);
    for target in ["http://hooks.example.com/voice", "https://evil.example/voice", "*", "voice"] {
        let message = Message::get(target).field("X-Twilio-Signature", &signature);
        let answered = gate.answer(&message);
        assert!((400..500).contains(&answered.status), "{target}: {answered:?}");
    }
    assert_eq!(upstream.bytes(), 0);
}

#[test]
fn headers_keep_their_case_order_and_count() {
    let message = Message::form("/voice?a=1", "To=%2B1&From=%2B2")
        .field("user-agent", "TwilioProxy/1.1")
        .field("X-Rep", "b")
        .field("I-TWILIO-idempotency-token", "0f0e")
        .field("x-rep", "a")
        .field("X-REP", "")
        .field("X-Rep", "b")
        .field("Cookie", "a=1; b=2")
        .field("Accept", "*/*")
        .field("X-Odd", "\"q\"; \\ , \u{e9}\tx")
        .signed();
    let (_, arrived) = pass(&message);
    let mut sent = message.fields;
    sent.push(("Host".into(), "hooks.example.com".into()));
    sent.push(("Content-Length".into(), "17".into()));
    let sent: Vec<_> =
        sent.into_iter().map(|(name, value)| (name, latin1(value.as_bytes()))).collect();
    let received = arrived.fields();
    assert_eq!(received.len(), sent.len(), "{received:?}");
    for (name, _) in &sent {
        assert_eq!(named(&received, name), named(&sent, name));
    }
    assert_eq!(arrived.body, b"To=%2B1&From=%2B2");
}

#[test]
fn body_is_forwarded_byte_for_byte() {
    let long = format!("Body={}", "x%20\u{e4}+".repeat(30_000));
    let binary = String::from_utf8_lossy(b"a=\0\r\n\t%00%FF&&=;").into_owned();
    for body in ["a=1", "b=2&a=1&a=1&&c", "a=GET / HTTP/1.1\r\n\r\n", &long, &binary] {
        let (_, arrived) = pass(&Message::form("/voice", body).signed());
        assert!(arrived.body == body.as_bytes(), "{:?}", latin1(&arrived.body));
    }
    let json = Message::json("/events", "[{\"a\": \"\u{fc}\"}]\n").signed();
    assert_eq!(Some(pass(&json).1.body), json.body);
}

#[test]
fn body_sent_in_many_writes_is_forwarded_whole() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let message = Message::form("/voice", &"a=1&b=2&".repeat(50)).signed();
    let mut client = gate.connect();
    for piece in message.bytes().chunks(37) {
        client.send(piece);
    }
    assert_eq!(client.response().status, 200);
    assert_eq!(Some(upstream.only().body), message.body);
}

#[test]
fn chunked_body_is_forwarded_with_content_length() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let message = Message::form("/voice", "a=1&b=22&c=333").signed();
    for size in [1, 5, 100] {
        let mut client = gate.connect();
        client.send(&message.chunked_bytes(size));
        assert_eq!(client.response().status, 200);
    }
    for arrived in upstream.wait_for(3) {
        assert_eq!(latin1(&arrived.body), "a=1&b=22&c=333");
        assert_eq!(arrived.values("Content-Length"), ["14"]);
        assert!(arrived.values("Transfer-Encoding").is_empty());
    }
}

#[test]
fn trailers_are_dropped() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let message = Message::form("/voice", "a=1").signed().field("Trailer", "X-Late");
    let mut bytes = message.chunked_bytes(3);
    bytes.truncate(bytes.len() - 2);
    bytes.extend_from_slice(b"X-Late: 1\r\nX-Twilio-Signature: x\r\n\r\n");
    let mut client = gate.connect();
    client.send(&bytes);
    assert_eq!(client.response().status, 200);
    let arrived = upstream.only();
    assert_eq!(latin1(&arrived.body), "a=1");
    assert!(arrived.values("X-Late").is_empty() && arrived.values("Trailer").is_empty());
}

#[test]
fn hop_by_hop_headers_are_dropped() {
    let message = Message::form("/voice", "a=1")
        .field("Connection", "close, X-Hop")
        .field("X-Hop", "1")
        .field("Keep-Alive", "timeout=5")
        .field("Proxy-Connection", "keep-alive")
        .field("Proxy-Authorization", "Basic eA==")
        .field("TE", "trailers")
        .field("Upgrade", "h2c")
        .field("HTTP2-Settings", "AAMAAABkAAQAoAAAAAIAAAAA")
        .field("X-Kept", "1")
        .signed();
    let (_, arrived) = pass(&message);
    let mut left: Vec<_> = arrived.fields().into_iter().map(|(name, _)| name).collect();
    left.sort();
    assert_eq!(left, ["Content-Length", "Content-Type", "Host", "X-Kept", "X-Twilio-Signature"]);
}

#[test]
fn connection_header_cannot_remove_judged_headers() {
    let fields = [
        "X-Twilio-Signature",
        "Host",
        "Content-Type",
        "Content-Length",
        "Cookie",
        "I-Twilio-Idempotency-Token",
        "Authorization",
        "X-Forwarded-For",
    ];
    let message = Message::form("/voice", "a=1")
        .field("Connection", &fields.join(", "))
        .field("connection", "x-twilio-signature")
        .field("Cookie", "a=1")
        .field("I-Twilio-Idempotency-Token", "1")
        .field("Authorization", "Basic eA==")
        .field("X-Forwarded-For", "192.0.2.1")
        .signed();
    let (_, arrived) = pass(&message);
    for name in fields {
        assert_eq!(arrived.values(name).len(), 1, "{name}: {:?}", arrived.fields());
    }
    assert!(arrived.values("Connection").is_empty());
}

#[test]
fn header_names_with_underscores_are_dropped() {
    let message = Message::form("/voice", "a=1")
        .field("X_Twilio_Signature", "forged")
        .field("Content_Length", "0")
        .field("X-Twilio_Signature", "forged")
        .signed();
    let (_, arrived) = pass(&message);
    let names: Vec<_> = arrived.fields().into_iter().map(|(name, _)| name).collect();
    assert!(!names.iter().any(|name| name.contains('_')), "{names:?}");
    assert_eq!(arrived.values("X-Twilio-Signature").len(), 1);
}

#[test]
fn forwarded_headers_are_added_only_when_configured() {
    let message = Message::form("/voice", "a=1").field("X-Forwarded-For", "192.0.2.1").signed();
    assert_eq!(pass(&message).1.values("X-Forwarded-For"), ["192.0.2.1"]);
    let upstream = Upstream::start();
    let gate = Gate::with(&upstream, "forwarded_headers = \"append\"");
    assert_eq!(gate.answer(&message).status, 200);
    let arrived = upstream.only();
    assert_eq!(arrived.values("X-Forwarded-For").join(", "), "192.0.2.1, 127.0.0.1");
    assert_eq!(arrived.values("X-Forwarded-Proto"), ["https"]);
    assert_eq!(arrived.values("X-Forwarded-Host"), ["hooks.example.com"]);
}

#[test]
fn signed_request_with_expect_gets_100_continue() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let message = Message::form("/voice", "a=1").field("Expect", "100-continue").signed();
    let mut client = gate.connect();
    client.send(&message.head());
    assert_eq!(client.response().status, 100);
    client.send(b"a=1");
    assert_eq!(client.response().status, 200);
    assert!(upstream.only().values("Expect").is_empty(), "the gate answers Expect itself");
}

#[test]
fn pipelined_requests_are_judged_one_by_one() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let signed = |body| Message::form("/voice", body).signed().bytes();
    let unsigned = Message::get("/voice").bytes();
    let forged = Message::get("/other")
        .field("X-Twilio-Signature", &Message::get("/voice").signature(TOKEN));
    let all = [signed("n=1"), unsigned, signed("n=2"), forged.bytes(), signed("n=3")].concat();
    let mut client = gate.connect();
    client.send(&all);
    let statuses: Vec<_> = (0..5).map(|_| client.response().status).collect();
    assert_eq!(statuses, [200, 418, 200, 403, 200]);
    let bodies: Vec<_> = upstream.requests().iter().map(|request| latin1(&request.body)).collect();
    assert_eq!(bodies, ["n=1", "n=2", "n=3"]);
}

#[test]
fn request_inside_a_body_is_never_a_request() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let inner = latin1(&Message::form("/inner", "a=1").signed().bytes());
    let outer = Message::form("/outer", &format!("Body={inner}"));
    let mut client = gate.connect();
    client.send(&outer.clone().signed().bytes());
    assert_eq!(client.response().status, 200);
    assert_eq!(Some(upstream.only().body), outer.body);
    let mut client = gate.connect();
    client.send(&outer.bytes()); // refused: its body is no request either
    assert_eq!(client.response().status, 418);
    client.half_close();
    let _nothing_or_a_refusal = client.rest();
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn bytes_after_a_get_are_the_next_request() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let mut client = gate.connect();
    let message = Message::get("/voice").signed();
    client.send(&[message.bytes(), b"a=1".to_vec()].concat());
    assert_eq!(client.response().status, 200);
    client.half_close();
    let _refused_or_closed = client.rest();
    assert_eq!(upstream.only().body, b"");
}
