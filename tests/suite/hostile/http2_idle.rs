//! HTTP/2 connections without an open stream: they make room, they time out, and they do not delay
//! the shutdown.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    client::Response,
    frames::{END_HEADERS, END_STREAM, Frames, HEADERS, StreamResult, block, frame},
    gate::Gate,
    http2::{Mute, PREFACE, request_fields},
    message::Message,
    upstream::Upstream,
};

const SIX: &str = "http2_cleartext = true\n[limits]\nmax_connections = 6\n";
const SOON: Duration = Duration::from_millis(200);

fn answer(gate: &Gate) -> Response {
    gate.answer(&Message::form("/voice", "a=1").signed())
}

/// Silent HTTP/1 connections make room today; the next test expects the same of HTTP/2.
#[test]
fn idle_http1_connections_make_room() {
    let upstream = Upstream::start();
    let gate = Gate::with(&upstream, SIX);
    let _silent: Vec<_> = (0..6).map(|_| Mute::connect(&gate)).collect();
    thread::sleep(SOON);
    assert_eq!(answer(&gate).status, 200);
}

/// Six connections that have sent the preface and SETTINGS only hold all places. One of them is
/// closed for a new connection.
#[test]
fn http2_connections_without_a_request_make_room() {
    let upstream = Upstream::start();
    let gate = Gate::with(&upstream, SIX);
    let _silent: Vec<_> = (0..6).map(|_| Mute::open(&gate, b"")).collect();
    thread::sleep(SOON);
    assert_eq!(answer(&gate).status, 200);
}

/// The same for connections whose only request has been answered.
#[test]
fn http2_connections_that_idle_after_a_request_make_room() {
    let upstream = Upstream::start();
    let gate = Gate::with(&upstream, SIX);
    let _idle: Vec<_> = (0..6)
        .map(|_| {
            let mut frames = Frames::open(gate.connect());
            let stream = frames.stream();
            frames.fields(stream, &request_fields(&Message::get("/voice")), true);
            assert_eq!(frames.result_of(stream), StreamResult::Status(418));
            frames
        })
        .collect();
    thread::sleep(SOON);
    assert_eq!(answer(&gate).status, 200);
}

/// A connection with an open stream keeps its place: it is not idle.
#[test]
fn http2_connections_with_an_open_stream_keep_their_place() {
    let upstream = Upstream::start();
    let gate = Gate::with(&upstream, SIX);
    let request = Message::form("/voice", "a=1").signed();
    let mut busy: Vec<_> = (0..6)
        .map(|_| {
            let mut frames = Frames::open(gate.connect());
            let stream = frames.stream();
            frames.fields(stream, &request_fields(&request), false);
            (frames, stream)
        })
        .collect();
    thread::sleep(SOON);
    assert_eq!(answer(&gate).status, 503);
    for (frames, stream) in &mut busy {
        frames.data(*stream, b"a=1", true);
        assert_eq!(frames.result_of(*stream), StreamResult::Status(200));
    }
}

const HEAD_TIMEOUT: &str = "http2_cleartext = true\n[limits]\nhead_timeout = \"1s\"\n";
/// `head_timeout`, and as much again for a coarse timer and a busy machine.
const CLOSED_BY: Duration = Duration::from_millis(2500);

/// A connection that never sends a request has `head_timeout`, not `idle_timeout` (75 s).
#[test]
fn http2_connection_without_a_request_is_closed_after_head_timeout() {
    let upstream = Upstream::start();
    let gate = Gate::with(&upstream, HEAD_TIMEOUT);
    assert!(Mute::open(&gate, b"").ends_within(CLOSED_BY));
}

/// A header block without an end is no request either.
#[test]
fn http2_connection_with_an_unfinished_head_is_closed_after_head_timeout() {
    let upstream = Upstream::start();
    let gate = Gate::with(&upstream, HEAD_TIMEOUT);
    let mut client = Mute::open(&gate, b"");
    let fields = block(&request_fields(&Message::get("/voice")));
    client.send(&frame(HEADERS, END_STREAM, 1, &fields));
    assert!(client.ends_within(CLOSED_BY));
}

/// Neither is a preface without SETTINGS.
#[test]
fn http2_preface_alone_is_closed_after_head_timeout() {
    let upstream = Upstream::start();
    let gate = Gate::with(&upstream, HEAD_TIMEOUT);
    let mut client = Mute::connect(&gate);
    client.send(PREFACE);
    assert!(client.ends_within(CLOSED_BY));
}

/// Neither is a part of a preface.
#[test]
fn unfinished_http2_preface_is_closed_after_head_timeout() {
    let upstream = Upstream::start();
    let gate = Gate::with(&upstream, HEAD_TIMEOUT);
    let mut client = Mute::connect(&gate);
    client.send(&PREFACE[..10]);
    assert!(client.ends_within(CLOSED_BY));
}

const DRAIN: &str = "http2_cleartext = true
[limits]
drain_timeout = \"4s\"
tunnel_drain_timeout = \"4s\"
";

/// How long the shutdown takes with one client that answers neither GOAWAY nor PING.
fn shutdown_with_idle_client(sent: &[u8]) -> Duration {
    let upstream = Upstream::start();
    let mut gate = Gate::with(&upstream, DRAIN);
    let mut client = Mute::open(&gate, b"");
    client.send(sent);
    if !sent.is_empty() {
        let _logged = gate.outcome_at("GET", "/voice");
    }
    thread::sleep(SOON);
    gate.terminate();
    let began = Instant::now();
    assert_eq!(gate.exit_code(), Some(0));
    println!("the shutdown took {:?}", began.elapsed());
    began.elapsed()
}

/// An idle client delays the shutdown for a moment, as over HTTP/1, and not for `drain_timeout`.
#[test]
fn http2_client_without_a_request_does_not_delay_the_shutdown() {
    let lasted = shutdown_with_idle_client(b"");
    assert!(lasted < Duration::from_millis(2500), "{lasted:?}");
}

/// The same for a client whose only request has been answered.
#[test]
fn http2_client_that_idles_after_a_request_does_not_delay_the_shutdown() {
    let fields = block(&request_fields(&Message::get("/voice")));
    let lasted = shutdown_with_idle_client(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &fields));
    assert!(lasted < Duration::from_millis(2500), "{lasted:?}");
}
