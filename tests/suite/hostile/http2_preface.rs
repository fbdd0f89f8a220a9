//! Where an HTTP/2 preface is taken on a cleartext listener: at the start of a connection, in
//! however many pieces, and nowhere else (RFC 9113 §3.3).

use std::{thread, time::Duration};

use crate::support::{
    client::Client,
    frames::{END_HEADERS, END_STREAM, HEADERS, SETTINGS, block, frame},
    gate::Gate,
    http2::{PREFACE, request_fields},
    message::Message,
    upstream::Upstream,
};

const CLEARTEXT: &str = "http2_cleartext = true";
/// A connection that idles for longer is parked: its next bytes are looked at afresh.
const PARKED: Duration = Duration::from_millis(1800);

/// SETTINGS and one unsigned request.
fn first_frames() -> Vec<u8> {
    let fields = block(&request_fields(&Message::get("/voice")));
    let flags = END_HEADERS | END_STREAM;
    [frame(SETTINGS, 0, 0, b""), frame(HEADERS, flags, 1, &fields)].concat()
}

/// Whether the next bytes are a SETTINGS frame.
fn speaks_http2(client: &mut Client) -> bool {
    client.exactly(9).is_ok_and(|head| head[3] == SETTINGS)
}

/// A preface that arrives in two pieces is a preface.
#[test]
fn split_preface_at_the_start_is_taken() {
    let upstream = Upstream::start();
    let gate = Gate::with(&upstream, CLEARTEXT);
    let mut wrong = Vec::new();
    for at in 1..PREFACE.len() {
        let mut client = gate.connect();
        client.send(&PREFACE[..at]);
        thread::sleep(Duration::from_millis(20));
        client.send(&[&PREFACE[at..], &first_frames()].concat());
        if !speaks_http2(&mut client) {
            wrong.push(at);
        }
    }
    assert!(wrong.is_empty(), "no HTTP/2 where the preface is split after {wrong:?} bytes");
}

/// What only begins as a preface is malformed, and is answered at once.
#[test]
fn what_only_begins_as_a_preface_is_malformed() {
    let upstream = Upstream::start();
    let gate = Gate::with(&upstream, CLEARTEXT);
    for sent in ["PRI / HTTP/1.1\r\nHost: x\r\n\r\n", "PRIX\r\n\r\n"] {
        let mut client = gate.connect();
        client.send(sent.as_bytes());
        let status = client.try_response().map(|response| response.status);
        assert!(matches!(status, Ok(400 | 403 | 418) | Err(_)), "{sent:?}: {status:?}");
    }
    assert_eq!(upstream.bytes(), 0);
}

/// After an HTTP/1.1 exchange a preface is malformed, whether or not the connection has idled.
#[test]
fn preface_after_an_http1_exchange_is_malformed() {
    let upstream = Upstream::start();
    let gate = Gate::with(&upstream, CLEARTEXT);
    for pause in [Duration::ZERO, PARKED] {
        let mut client = gate.connect();
        client.send(&Message::form("/voice", "a=1").signed().bytes());
        assert_eq!(client.response().status, 200);
        thread::sleep(pause);
        client.send(&[PREFACE, &first_frames()].concat());
        let next = client.exactly(9).unwrap_or_default();
        assert!(
            next.is_empty() || next == b"HTTP/1.1 ",
            "{next:?} after a pause of {pause:?}: no HTTP/1.1 response"
        );
    }
}
