//! Messages over HTTP/2 that are not whole, or that HTTP/1 would refuse.

use std::{thread, time::Duration};

use crate::support::{
    frames::{Field, Frames, RESET, StreamResult},
    gate::{Gate, Outcome},
    http2::{field, request_fields},
    message::Message,
    upstream::Upstream,
};

const CLEARTEXT: &str = "http2_cleartext = true";

/// Error codes (RFC 9113 §7).
const NO_ERROR: u8 = 0;
const INTERNAL_ERROR: u8 = 2;
const CANCEL: u8 = 8;

/// Sends a signed form whose body ends with RST_STREAM instead of END_STREAM.
fn cut(frames: &mut Frames, length: Option<&str>, code: u8, pause: Duration) {
    let stream = frames.stream();
    let mut fields = request_fields(&Message::form("/voice", "hello").signed());
    fields.extend(length.map(|length| field("content-length", length)));
    frames.fields(stream, &fields, false);
    frames.data(stream, b"hello", false);
    thread::sleep(pause);
    frames.send(RESET, 0, stream, &[0, 0, 0, code]);
}

/// What is logged of a cut request, and how many bytes of it the app gets. A whole request comes
/// first: a connection to the app is idle then, and the next request is sent without a pause.
fn outcome_of_cut(length: Option<&str>, code: u8, pause: Duration) -> (Outcome, usize) {
    let upstream = Upstream::start();
    let gate = Gate::with(&upstream, CLEARTEXT);
    let mut frames = Frames::open(gate.connect());
    let whole = frames.stream();
    frames.fields(whole, &request_fields(&Message::form("/voice", "hello").signed()), false);
    frames.data(whole, b"hello", true);
    assert_eq!(frames.result_of(whole), StreamResult::Status(200));
    let _whole = gate.outcome_at("POST", "/voice");
    let before = upstream.bytes();
    cut(&mut frames, length, code, pause);
    let outcome = gate.outcome_at("POST", "/voice");
    thread::sleep(Duration::from_millis(50));
    (outcome, upstream.bytes() - before)
}

/// RST_STREAM ends a stream, not a body: only END_STREAM says that the body is whole.
#[test]
fn http2_body_cut_by_a_reset_is_incomplete() {
    let mut wrong = Vec::new();
    for length in [Some("60"), None] {
        for code in [NO_ERROR, CANCEL, INTERNAL_ERROR] {
            for pause in [Duration::ZERO, Duration::from_millis(100)] {
                let (outcome, bytes) = outcome_of_cut(length, code, pause);
                let seen = format!(
                    "content-length {length:?}, error {code}, pause {pause:?}: {} {}, {bytes} bytes to the app",
                    outcome.verdict(),
                    outcome.reason()
                );
                println!("{seen}");
                if bytes > 0 || outcome.reason() != "body_incomplete" {
                    wrong.push(seen);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A body that is whole stays whole where a reset follows it.
#[test]
fn http2_body_that_ended_before_a_reset_is_whole() {
    let upstream = Upstream::start();
    let gate = Gate::with(&upstream, CLEARTEXT);
    let mut frames = Frames::open(gate.connect());
    let stream = frames.stream();
    frames.fields(stream, &request_fields(&Message::form("/voice", "hello").signed()), false);
    frames.data(stream, b"hello", true);
    assert_eq!(frames.result_of(stream), StreamResult::Status(200));
    frames.send(RESET, 0, stream, &[0, 0, 0, NO_ERROR]);
    assert_eq!(upstream.only().body, b"hello");
}

/// What became of a signed form with these fields, and how many bytes the app got.
fn result_of(gate: &Gate, upstream: &Upstream, fields: &[Field]) -> (StreamResult, usize) {
    let before = upstream.bytes();
    let mut frames = Frames::open(gate.connect());
    let stream = frames.stream();
    frames.fields(stream, fields, false);
    frames.data(stream, b"a=1", true);
    (frames.result_of(stream), upstream.bytes() - before)
}

fn is_malformed(heard: StreamResult) -> bool {
    matches!(heard, StreamResult::Status(400) | StreamResult::Reset(_) | StreamResult::Gone)
}

/// A field value neither starts nor ends with a space or a tab (RFC 9113 §8.2.1).
#[test]
fn http2_field_values_with_blanks_around_them_are_malformed() {
    let upstream = Upstream::start();
    let gate = Gate::with(&upstream, CLEARTEXT);
    let mut wrong = Vec::new();
    for value in [" y", "y ", "\ty", "y\t", " ", "\t"] {
        let mut fields = request_fields(&Message::form("/voice", "a=1").signed());
        fields.push(field("x-a", value));
        let (heard, bytes) = result_of(&gate, &upstream, &fields);
        if !is_malformed(heard) || bytes > 0 {
            wrong.push(format!("{value:?}: {heard:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("; "));
}
