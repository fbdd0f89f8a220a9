//! Requests refused by their head alone: no signature, route, host, method, path, malformed HTTP.

use super::{
    MISSING, assert_admitted, assert_refused, forbidden, public_all_around, several_routes,
};
use crate::support::{HOST, gate::Gate, message::Message, upstream::Upstream};

#[test]
fn unsigned_request_gets_the_same_refusal_whatever_else_is_wrong() {
    let upstream = Upstream::start();
    let gate = several_routes(&upstream);
    let big = "x".repeat(300_000);
    let messages = [
        Message::form("/voice", "a=1"),
        Message::get("/voice"),
        Message::get("/nowhere"),
        Message::get("/voice").host("elsewhere.example"),
        Message::new("DELETE", "/voice"),
        Message::get("/sms/../voice"),
        Message::get("/VOICE"),
        Message::form("/voice", &format!("a={big}")),
        Message::post("/voice", "application/json", b"{}"),
        Message::handshake("/voice"),
        Message::form("/voice", "a=1").field("X_Twilio_Signature", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        Message::form("/voice", "a=1").field("Twilio-Signature", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
    ];
    assert_refused(&gate, &upstream, &MISSING, &messages);
}

#[test]
fn unsigned_request_is_refused_without_100_continue() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let waiting = Message::form("/voice", "a=1").field("Expect", "100-continue");
    let mut client = gate.connect();
    client.send(&waiting.head());
    MISSING.assert(&client.response(), &gate.outcome_of(&waiting), "a head that waits for 100");
}

#[test]
fn unknown_route_is_refused() {
    let upstream = Upstream::start();
    let gate = several_routes(&upstream);
    let messages = ["/", "/voic", "/voice/", "/voices", "/sms", "/Voice", "/%76oice", "/statu"]
        .map(|target| Message::form(target, "a=1").signed());
    assert_refused(&gate, &upstream, &forbidden("unknown_route"), &messages);
}

#[test]
fn unknown_host_is_refused() {
    let upstream = Upstream::start();
    let gate = Gate::with(&upstream, "allowed_hosts = [\"localhost:8080\"]");
    let signed = || Message::form("/voice", "a=1").signed();
    let strange =
        ["elsewhere.example", "hooks.example.com.", "hooks.example.com:8080", "localhost:8081"];
    let messages = strange.map(|host| signed().host(host));
    assert_refused(&gate, &upstream, &forbidden("unknown_host"), &messages);
    for host in [HOST, "HOOKS.example.com", "hooks.example.com:443", "localhost:8080"] {
        assert_admitted(&gate, &signed().host(host));
    }
}

#[test]
fn unknown_host_is_refused_on_public_route() {
    let upstream = Upstream::start();
    let gate = several_routes(&upstream);
    let messages = [Message::get("/status/up").host("elsewhere.example")];
    assert_refused(&gate, &upstream, &forbidden("unknown_host"), &messages);
}

#[test]
fn disallowed_method_is_refused() {
    let upstream = Upstream::start();
    let gate = several_routes(&upstream);
    let messages = [
        Message::get("/sms/in").signed(),
        Message::new("PUT", "/voice").signed(),
        Message::new("DELETE", "/voice").signed(),
        Message::new("HEAD", "/voice").signed(),
        Message::new("post", "/voice").signed(),
    ];
    let (without_body, others): (Vec<_>, Vec<_>) =
        messages.into_iter().partition(|message| message.head().starts_with(b"HEAD"));
    let refusal = forbidden("method_not_allowed");
    assert_refused(&gate, &upstream, &refusal, &others);
    let mut client = gate.connect();
    client.send(&without_body[0].head());
    assert!(client.until(b"\r\n\r\n").unwrap().starts_with(b"HTTP/1.1 403 "));
    assert_eq!(gate.outcome_of(&without_body[0]).reason(), refusal.reason);
    assert_eq!(upstream.bytes(), 0);
}

#[test]
fn path_that_an_app_may_read_as_a_guarded_route_is_refused() {
    let upstream = Upstream::start();
    let gate = public_all_around(&upstream);
    let messages = [
        "/%76oice",
        "/VOICE",
        "/Voice",
        "/voice/",
        "/voice//",
        "//voice",
        "/./voice",
        "/x/../voice",
        "/x/%2e%2e/voice",
        "/x%2f..%2fvoice",
        "/voice;x=1",
        "/voice%00",
        "/x\\voice",
        "/%2576oice",
        "/SMS/in",
        "/%73ms/in",
        "/sms",
        "/x%",
    ]
    .map(Message::get);
    assert_refused(&gate, &upstream, &forbidden("unsafe_path"), &messages);
    let guarded = ["/voice", "/voice?x=1", "/sms/in"].map(Message::get);
    assert_refused(&gate, &upstream, &MISSING, &guarded);
    for public in ["/", "/other", "/voices", "/voice.txt", "/x/voice"] {
        assert_admitted(&gate, &Message::get(public));
    }
}

#[test]
fn configured_refusal_statuses_are_used() {
    let upstream = Upstream::start();
    let gate = Gate::with(
        &upstream,
        "missing_status = 401\n[[route]]\npath = \"/voice\"\n\
         [[route]]\npath = \"/sms\"\nmissing_status = 404\nmismatch_status = 410",
    );
    let statuses = [
        (Message::get("/voice"), 401),
        (Message::get("/nowhere"), 401),
        (Message::get("/voice").signed_by("other-token"), 403),
        (Message::get("/sms"), 404),
        (Message::get("/sms").signed_by("other-token"), 410),
        (Message::new("PUT", "/sms").signed(), 410),
        (Message::form("/sms", "").signed(), 400),
    ];
    for (message, status) in statuses {
        assert_eq!(gate.answer(&message).status, status, "{message:?}");
    }
    assert_eq!(upstream.bytes(), 0);
}

#[test]
fn public_route_forwards_unsigned_requests() {
    let upstream = Upstream::start();
    let gate = several_routes(&upstream);
    let messages = [
        Message::get("/status/up"),
        Message::post("/status/up", "application/json", b"{}"),
        Message::get("/status/up").field("X-Twilio-Signature", "nonsense"),
        Message::get("/status/up").body(b"a body"),
    ];
    for message in &messages {
        assert_admitted(&gate, message);
    }
    assert_eq!(upstream.requests().len(), messages.len());
    let put = Message::new("PUT", "/status/up");
    forbidden("method_not_allowed").assert(&gate.answer(&put), &gate.outcome_of(&put), "PUT");
}

#[test]
fn malformed_http_never_reaches_the_app() {
    let upstream = Upstream::start();
    let gate = public_all_around(&upstream);
    let host = format!("Host: {HOST}\r\n");
    let heads = [
        "nonsense\r\n\r\n".to_owned(),
        format!("GET  / HTTP/1.1\r\n{host}\r\n"),
        format!("GET /a b HTTP/1.1\r\n{host}\r\n"),
        format!("GET / HTTP/9.9\r\n{host}\r\n"),
        format!("GET / HTTP/1.1\r\n{host}Bad Name: 1\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{host}Name : 1\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{host} folded: 1\r\n\r\n"),
        format!("POST / HTTP/1.1\r\n{host}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
        format!("POST / HTTP/1.1\r\n{host}Content-Length: +1\r\n\r\na"),
        format!("POST / HTTP/1.1\r\n{host}Content-Length: -1\r\n\r\n"),
        format!(
            "POST / HTTP/1.1\r\n{host}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        ),
        format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
        format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{host}{host}\r\n"),
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        format!("GET /a#b HTTP/1.1\r\n{host}\r\n"),
        format!("CONNECT {HOST}:443 HTTP/1.1\r\n{host}\r\n"),
        format!("GET / HTTP/1.1\r\n{host}X: {}\r\n\r\n", "x".repeat(100_000)),
    ];
    for head in heads {
        let mut client = gate.connect();
        client.send(head.as_bytes());
        client.half_close();
        let answered = client.try_response();
        let turned_away = answered.as_ref().map_or(true, |response| {
            matches!(response.status, 400 | 403 | 405 | 414 | 418 | 431 | 501 | 505)
        });
        assert!(turned_away, "{head:.120}: {answered:?}");
    }
    assert_eq!(upstream.bytes(), 0);
}

#[test]
fn slow_head_is_closed_after_head_timeout() {
    let upstream = Upstream::start();
    let gate = Gate::with(&upstream, "[limits]\nhead_timeout = \"200ms\"");
    let mut client = gate.connect();
    client.send(b"POST /voice HTTP/1.1\r\nHo");
    let _answer_if_any = client.try_response();
    assert!(client.is_at_end());
    assert_eq!(upstream.bytes(), 0);
}

#[test]
fn refusals_with_one_status_have_identical_responses() {
    let upstream = Upstream::start();
    let gate = several_routes(&upstream);
    let responses = [
        Message::get("/nowhere").signed(),
        Message::get("/voice").signed_by("other-token"),
        Message::new("PUT", "/voice").signed(),
        Message::get("/voice").signed().host("elsewhere.example"),
        Message::post("/voice", "text/plain", b"x").signed(),
    ]
    .map(|message| gate.answer(&message));
    for response in &responses {
        assert_eq!(response.line, responses[0].line);
        assert_eq!(response.fields, responses[0].fields);
        assert_eq!(response.body, responses[0].body);
    }
}

#[test]
fn next_request_after_a_refusal_is_judged_on_its_own() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let mut client = gate.connect();
    client.send(&Message::get("/voice").bytes());
    assert_eq!(client.response().status, 418);
    client.send(&Message::get("/voice").signed().bytes());
    let after = client.try_response();
    assert!(
        after.is_ok_and(|response| response.status == 200),
        "the next request is judged on its own"
    );
}
