//! Spans sent to a collector (feature `otlp`).

use std::time::{Duration, Instant};

use crate::support::{
    TEST_TIMEOUT, TOKEN, find,
    gate::{Folder, Gate, guarded},
    latin1,
    message::Message,
    tls::{Authority, Relay},
    upstream::{Answer, Recorded, Upstream},
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";
const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";

/// A collector that accepts every export with an empty OTLP response.
fn collector() -> Upstream {
    Upstream::answering(Answer::raw(
        "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n",
    ))
}

fn gate(app: &Upstream, collector: &str) -> Gate {
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector)];
    Gate::start_in(Folder::new(), &guarded(app, ADMIN), &variables)
}

/// A string attribute in protobuf encoding.
fn text(name: &str, value: &str) -> Vec<u8> {
    let length = u8::try_from(value.len()).unwrap();
    let mut bytes = vec![0x0a, u8::try_from(name.len()).unwrap()];
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(&[0x12, length + 2, 0x0a, length]);
    bytes.extend_from_slice(value.as_bytes());
    bytes
}

/// A string or the bytes of an id as field `number` of a protobuf message.
fn member(number: u8, value: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(value.len()).unwrap()], value].concat()
}

fn id(hex: &str) -> Vec<u8> {
    let digits = (0..hex.len()).step_by(2);
    digits.map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[track_caller]
fn assert_says(sent: &Recorded, part: &[u8]) {
    assert!(find(&sent.body, part).is_some(), "no {:?} in {:?}", latin1(part), latin1(&sent.body));
}

#[test]
fn admitted_request_is_a_span_of_the_callers_trace() {
    let (app, collector) = (Upstream::start(), collector());
    let gate = gate(&app, &collector.url());
    let parent = format!("00-{TRACE}-{CALLER}-01");
    let message = Message::form("/voice?secret=query", "Body=private").signed();
    let message = message.field("traceparent", &parent).field("tracestate", "vendor=opaque");
    assert_eq!(gate.answer(&message).status, 200);
    assert_eq!(app.only().values("traceparent"), [parent.as_str()]);
    assert_eq!(app.only().values("tracestate"), ["vendor=opaque"]);
    let sent = collector.wait_for(1).remove(0);
    assert_eq!(sent.line(), "POST /v1/traces HTTP/1.1");
    assert_eq!(sent.values("Content-Type"), ["application/x-protobuf"]);
    assert_says(&sent, &text("service.name", "gatekeeper"));
    // Span, of opentelemetry/proto/trace/v1/trace.proto: 1 trace_id, 3 trace_state,
    // 4 parent_span_id, 5 name, 6 kind.
    assert_says(&sent, &member(1, &id(TRACE)));
    assert_says(&sent, &member(3, b"vendor=opaque"));
    assert_says(&sent, &member(4, &id(CALLER)));
    assert_says(&sent, &[member(5, b"POST /*"), vec![6 << 3, 2]].concat());
    for (name, value) in [
        ("http.request.method", "POST"),
        ("url.path", "/voice"),
        ("http.route", "/*"),
        ("network.peer.address", "127.0.0.1"),
        ("gatekeeper.verdict", "admitted"),
        ("gatekeeper.key", "auth_tokens[0]"),
        ("gatekeeper.candidate", "received"),
        ("gatekeeper.request_id", gate.outcome_of(&message).text("id")),
    ] {
        assert_says(&sent, &text(name, value));
    }
    let signature = message.signature(TOKEN);
    for secret in [TOKEN, &signature, "secret", "query", "Body", "private"] {
        assert_eq!(find(&sent.body, secret.as_bytes()), None, "{secret}");
    }
}

#[test]
fn refused_request_is_a_span_of_a_new_trace() {
    let (app, collector) = (Upstream::start(), collector());
    let gate = gate(&app, &collector.url());
    let message = Message::new("BREW", "/pot").field("traceparent", "00-0-0-01");
    assert_eq!(gate.answer(&message).status, 418);
    let sent = collector.wait_for(1).remove(0);
    assert_says(&sent, &member(5, b"HTTP /*"));
    assert_says(&sent, &text("http.request.method", "_OTHER"));
    assert_says(&sent, &text("gatekeeper.verdict", "refused"));
    assert_says(&sent, &text("gatekeeper.reason", "missing_signature"));
    assert_eq!(find(&sent.body, b"BREW"), None);
    assert_eq!(find(&sent.body, b"gatekeeper.key"), None);
}

#[test]
fn unsampled_caller_gets_no_span() {
    let (app, collector) = (Upstream::start(), collector());
    let mut gate = gate(&app, &collector.url());
    let not_sampled = format!("00-{TRACE}-{CALLER}-00");
    gate.answer(&Message::get("/not-sampled").field("traceparent", &not_sampled));
    gate.answer(&Message::get("/sampled"));
    gate.terminate();
    assert_eq!(gate.exit_code(), Some(0));
    let sent = collector.only();
    assert_says(&sent, &text("url.path", "/sampled"));
    assert_eq!(find(&sent.body, b"/not-sampled"), None);
}

#[test]
fn pending_spans_are_sent_before_exit() {
    let (app, collector) = (Upstream::start(), collector());
    let mut gate = gate(&app, &collector.url());
    for _ in 0..2 {
        assert_eq!(gate.answer(&Message::form("/last", "a=b").signed()).status, 200);
    }
    gate.terminate();
    assert_eq!(gate.exit_code(), Some(0));
    let spans = |sent: &Recorded| sent.body.windows(5).filter(|part| *part == b"/last").count();
    assert_eq!(collector.requests().iter().map(spans).sum::<usize>(), 2);
}

#[test]
fn unreachable_collector_loses_spans_only() {
    let app = Upstream::start();
    let gate = gate(&app, "http://127.0.0.1:1");
    assert_eq!(gate.answer(&Message::form("/a", "b=c").signed()).status, 200);
    gate.log_entry("spans cannot be sent", 0);
    let deadline = Instant::now() + TEST_TIMEOUT;
    while gate.figure("gatekeeper_spans_dropped_total") != Some(1.0) {
        assert!(Instant::now() < deadline, "the span is not counted");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// SSL_CERT_FILE replaces the roots of this system.
#[test]
fn untrusted_collector_gets_no_spans() {
    let authority = Authority::new();
    let pair = authority.issue("localhost", 2099);
    let (app, collector) = (Upstream::start(), collector());
    let relay = Relay::from_tls(authority.server(&pair, false, &["http/1.1"]), collector.address());
    let url = format!("https://localhost:{}", relay.address.port());
    let stranger = Authority::new();
    for (roots, headers) in [(stranger.ca(), "x-who=stranger"), (authority.ca(), "x-who=trusted")] {
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
            ("OTEL_EXPORTER_OTLP_HEADERS", headers),
            ("SSL_CERT_FILE", roots.to_str().unwrap()),
        ];
        let gate = Gate::start_in(Folder::new(), &guarded(&app, ""), &variables);
        assert_eq!(gate.answer(&Message::form("/a", "b=c").signed()).status, 200);
        match headers {
            "x-who=stranger" => drop(gate.log_entry("spans cannot be sent", 0)),
            _ => assert_eq!(collector.wait_for(1)[0].values("x-who"), ["trusted"]),
        }
    }
}

/// Sends more spans than the queue holds to a collector that never answers.
#[test]
fn hanging_collector_delays_no_request() {
    let (app, collector) = (Upstream::start(), Upstream::answering(Answer::nothing()));
    let gate = gate(&app, &collector.url());
    let message = Message::form("/a", "b=c").signed().bytes();
    let mut client = gate.connect();
    for _ in 0..4000 {
        client.send(&message);
        assert_eq!(client.response().status, 200);
    }
    assert!(gate.figure("gatekeeper_spans_dropped_total") > Some(0.0));
}

#[test]
fn no_span_is_sent_without_a_collector() {
    let (app, collector) = (Upstream::start(), collector());
    let mut gate = gate(&app, "");
    assert_eq!(gate.answer(&Message::form("/a", "b=c").signed()).status, 200);
    gate.terminate();
    assert_eq!(gate.exit_code(), Some(0));
    assert_eq!(collector.bytes(), 0);
}
