//! Limits that hold for each HTTP/2 stream and for each request, whatever else the connection does
//!.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    frames::{Frames, RESET, SETTINGS, StreamResult},
    gate::Gate,
    http2::{NO_WINDOW, field, request_fields},
    message::Message,
    upstream::{Answer, Upstream},
};

/// RST_STREAM with CANCEL.
const CANCEL: [u8; 4] = [0, 0, 0, 8];

const STALLED: &str = "
http2_cleartext = true
[limits]
max_in_flight = 8
body_timeout = \"1s\"
response_timeout = \"1s\"
response_idle_timeout = \"1s\"
[[route]]
path = \"/voice\"
[[route]]
path = \"/status/*\"
access = \"public\"
";

/// One unsigned request, reset at once: something moves on the connection.
fn move_something(frames: &mut Frames) {
    let stream = frames.stream();
    frames.fields(stream, &request_fields(&Message::get("/voice")), true);
    frames.send(RESET, 0, stream, &CANCEL);
}

/// Streams whose responses the client never reads hold every place for public requests. They end
/// after `response_idle_timeout`, also while other streams of the same connection move.
#[test]
fn stalled_streams_time_out_while_others_move() {
    // More than is buffered for a client, so that the response is not over before it is read.
    let large =
        format!("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n{}", "x".repeat(1_000_000));
    let upstream = Upstream::answering(Answer::raw(&large));
    let gate = Gate::with(&upstream, STALLED);
    let public = Message::get("/status/x");
    let mut frames = Frames::open(gate.connect());
    frames.send(SETTINGS, 0, 0, &NO_WINDOW);
    for _ in 0..4 {
        let stream = frames.stream();
        frames.fields(stream, &request_fields(&public), true);
    }
    upstream.wait_for(4); // half of max_in_flight is all that public requests may take
    assert_eq!(gate.answer(&public).status, 503, "the streams hold no place");
    let began = Instant::now();
    let mut statuses = Vec::new();
    while began.elapsed() < Duration::from_millis(3500) {
        thread::sleep(Duration::from_millis(250));
        move_something(&mut frames);
        statuses.push(gate.answer(&public).status);
        if statuses.last() == Some(&200) {
            break;
        }
    }
    println!("public requests in {:?}: {statuses:?}", began.elapsed());
    assert_eq!(statuses.last(), Some(&200), "after {:?}: {statuses:?}", began.elapsed());
}

fn with_fields(count: usize, name: impl Fn(usize) -> String) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut fields = request_fields(&Message::form("/voice", "a=1").signed());
    fields.extend((0..count).map(|at| field(&name(at), "y")));
    fields
}

/// `max_headers` is 100: a request with more fields is refused with 431, as over HTTP/1.
#[test]
fn http2_requests_with_too_many_fields_get_431() {
    let upstream = Upstream::start();
    let gate = Gate::with(&upstream, "http2_cleartext = true");
    let distinct = |at: usize| format!("x-{at}");
    let cases = [
        ("90 more", with_fields(90, distinct), 200),
        ("101 more", with_fields(101, distinct), 431),
        ("600 more", with_fields(600, distinct), 431),
        ("600 of one name", with_fields(600, |_| "x".to_owned()), 431),
        ("600 crumbs of a cookie", with_fields(600, |_| "cookie".to_owned()), 431),
    ];
    let mut wrong = Vec::new();
    for (name, fields, expected) in cases {
        let mut frames = Frames::open(gate.connect());
        let stream = frames.stream();
        frames.fields(stream, &fields, false);
        frames.data(stream, b"a=1", true);
        let heard = frames.result_of(stream);
        let seen: usize = upstream.taken().iter().map(|request| request.fields().len()).sum();
        if heard != StreamResult::Status(expected) || (expected != 200 && seen != 0) {
            wrong.push(format!("{name}: {heard:?}, {seen} fields at the app"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("; "));
}

/// The limit is the configured one.
#[test]
fn configured_max_headers_holds_over_http2() {
    let upstream = Upstream::start();
    let gate = Gate::with(&upstream, "http2_cleartext = true\n[limits]\nmax_headers = 20\n");
    let mut frames = Frames::open(gate.connect());
    let stream = frames.stream();
    frames.fields(stream, &with_fields(30, |at| format!("x-{at}")), false);
    frames.data(stream, b"a=1", true);
    assert_eq!(frames.result_of(stream), StreamResult::Status(431));
    assert_eq!(upstream.bytes(), 0);
}
