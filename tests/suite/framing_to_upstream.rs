//! The length that the app is sent: checked for every HTTP version, and written by the gate
//! (RFC 9110 §8.6).

use crate::support::{
    frames::{Frames, StreamResult},
    gate::Gate,
    http2::{field, request_fields},
    message::Message,
    upstream::Upstream,
};

const CLEARTEXT: &str = "http2_cleartext = true";

/// Lengths that one reader takes for another. HTTP/1 answers each of them with 400.
#[test]
fn http2_content_lengths_are_checked_as_over_http1() {
    let upstream = Upstream::start();
    let gate = Gate::with(&upstream, CLEARTEXT);
    let mut wrong = Vec::new();
    for (body, lengths) in [
        ("a=1", &["3", "03"][..]),
        ("a=1", &["3", "3"]),
        ("", &[""]),
        ("", &["0", ""]),
        ("", &["", ""]),
        ("", &["0", "0"]),
    ] {
        let (before, heard) = (upstream.bytes(), send_with_lengths(&gate, body, lengths));
        let malformed = matches!(
            heard,
            StreamResult::Status(400) | StreamResult::Reset(_) | StreamResult::Gone
        );
        if !malformed || upstream.bytes() > before {
            let told = upstream.taken().pop().map(|request| request.values("Content-Length"));
            wrong.push(format!("{lengths:?}: {heard:?}, the app got {told:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A signed request with these `content-length` lines: a form, or a GET where the body is empty.
fn send_with_lengths(gate: &Gate, body: &str, lengths: &[&str]) -> StreamResult {
    let message = match body {
        "" => Message::get("/voice"),
        body => Message::form("/voice", body),
    };
    let mut fields = request_fields(&message.signed());
    fields.extend(lengths.iter().map(|length| field("content-length", length)));
    let mut frames = Frames::open(gate.connect());
    let stream = frames.stream();
    frames.fields(stream, &fields, body.is_empty());
    frames.data(stream, body.as_bytes(), true);
    frames.result_of(stream)
}

/// Zeros before a length are digits of a decimal number here and of an octal one elsewhere: the
/// app gets the gate's own number.
#[test]
fn http1_content_length_reaches_the_app_as_the_gates_own() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let sent = Message::form("/voice", "a=12345678").signed();
    let mut wrong = Vec::new();
    for length in ["10", "010", "0010", "00000000000000000010"] {
        let head = String::from_utf8(sent.head()).unwrap();
        let head = head.replace("Content-Length: 10", &format!("Content-Length: {length}"));
        let mut client = gate.connect();
        client.send(head.as_bytes());
        client.send(b"a=12345678");
        let status = client.response().status;
        let told = upstream.taken().pop().map(|request| request.values("Content-Length"));
        if status != 200 || told != Some(vec!["10".to_owned()]) {
            wrong.push(format!("{length}: {status}, the app got {told:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The same over HTTP/2.
#[test]
fn http2_content_length_reaches_the_app_as_the_gates_own() {
    let upstream = Upstream::start();
    let gate = Gate::with(&upstream, CLEARTEXT);
    for length in ["10", "0010"] {
        assert_eq!(send_with_lengths(&gate, "a=12345678", &[length]), StreamResult::Status(200));
        let told = upstream.taken().pop().map(|request| request.values("Content-Length"));
        assert_eq!(told, Some(vec!["10".to_owned()]), "for {length}");
    }
}
