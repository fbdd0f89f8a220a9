//! Hostile requests, by class.
//!
//! Each case sends bytes and expects a response or a clean end of the connection. The app must
//! receive nothing, or exactly what was signed, and the next good request must be answered.
//!
//! Each file holds the tables of one class. Expected results come from the specification and the
//! RFCs, not from the behaviour of the code.

mod bodies;
mod body_budget;
mod form_types;
mod framing;
mod hosts;
mod http2;
mod http2_framing;
mod http2_idle;
mod http2_limits;
mod http2_memory;
mod http2_preface;
mod limits;
mod oracle;
mod paths;
mod promises;
mod request_line;
mod signatures;
mod smuggling;
mod stage;

use crate::support::message::Message;

/// One hostile input.
pub(super) struct Case {
    name: String,
    sent: Vec<u8>,
    expect: Expect,
    /// Whether the client half-closes, so that the gate does not wait for more bytes.
    finished: bool,
}

/// The expected response. The app must receive one signed request for each 200 or 101 and nothing
/// else.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expect {
    /// Status 200.
    Admitted,
    /// This status; then the connection is closed if that was announced, or else it carries the
    /// next good request.
    Refused(u16),
    /// A status of [`stage::MALFORMED`] and the end of the connection, or the end alone.
    Malformed,
    /// These statuses in sequence, interim ones included; then as for `Refused`.
    Each(&'static [u16]),
    /// These statuses in sequence; then as for `Malformed`.
    EachThenMalformed(&'static [u16]),
    /// The RFCs allow several results: one of these statuses, or malformed.
    Open(&'static [u16]),
}

impl Case {
    pub(super) fn new(name: &str, sent: impl Into<Vec<u8>>, expect: Expect) -> Self {
        Self { name: name.to_owned(), sent: sent.into(), expect, finished: false }
    }

    /// Half-closes the connection after the bytes.
    pub(super) const fn finished(mut self) -> Self {
        self.finished = true;
        self
    }
}

/// The good request that most cases alter.
fn good() -> Message {
    Message::form("/voice", "a=1").signed()
}

/// The header lines of the good request without its framing.
fn good_fields() -> Vec<u8> {
    let head = good().head();
    let text = String::from_utf8(head).unwrap();
    let fields = text.split("\r\n").skip(1).filter(|line| !line.starts_with("Content-Length"));
    let lines = fields.filter(|line| !line.is_empty()).map(|line| format!("{line}\r\n"));
    lines.collect::<String>().into_bytes()
}

/// The good request with these lines in place of `Content-Length`, and this body.
fn framed(lines: &[u8], body: &[u8]) -> Vec<u8> {
    [b"POST /voice HTTP/1.1\r\n", &good_fields()[..], lines, b"\r\n", body].concat()
}

/// The good request with one more line in its head.
fn with_line(line: &[u8]) -> Vec<u8> {
    framed(&[line, b"\r\nContent-Length: 3\r\n"].concat(), b"a=1")
}

/// Replaces the first occurrence; panics if there is none.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = crate::support::find(bytes, from).expect("what is to be replaced");
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}
