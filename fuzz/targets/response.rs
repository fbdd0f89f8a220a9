//! What the gate writes for an app's response is one response with the same body, or is cut.
#![no_main]

use bytes::BytesMut;
use gatekeeper::http1::{
    BodyDecoder, BodyEncoder, FieldName, Framing, HeadScanner, ResponseHead, write_field,
};
use libfuzzer_sys::fuzz_target;

/// The chaos test's parser, which shares no code with the gate.
#[path = "../../tests/suite/chaos/parser.rs"]
mod parser;

#[allow(dead_code, unused_imports, reason = "not all of the shared test support is used here")]
mod support;

use parser::Received;

const MAX_HEAD: usize = 64 * 1024;

/// A response, read by the gate's codec.
#[derive(Debug)]
struct Read {
    head: ResponseHead,
    framing: Framing,
    body: Vec<u8>,
    is_complete: bool,
}

// One byte: whether the request was HEAD, and the size of the pieces; then what the app sends.
fuzz_target!(|input: &[u8]| {
    let [first, sent @ ..] = input else { return };
    let (is_head, size) = (first & 1 == 1, usize::from(first >> 1) + 1);
    let whole = parse(sent, usize::MAX);
    let in_pieces = parse(sent, size);
    assert_eq!(whole.is_some(), in_pieces.is_some(), "cut into pieces of {size}");
    let Some(read) = whole.and_then(|(head, rest)| read(head, rest, is_head)) else { return };
    if read.head.status < 200 {
        return; // skipped, or a tunnel
    }
    let written = write(&read, is_head);
    match parser::parse(&written, is_head, true) {
        Received::Whole(parsed, length) => {
            assert!(read.is_complete, "a cut body looks whole");
            assert_eq!((parsed.status, length), (read.head.status, written.len()));
            assert_eq!(parsed.body, read.body);
        }
        Received::Part => assert!(!read.is_complete, "a whole body is cut"),
        Received::Invalid(what) => panic!("{what}: {}", written.escape_ascii()),
    }
    let (head, rest) = parse(&written, usize::MAX).expect("it reads what it writes");
    let again = self::read(head, rest, is_head).expect("its framing is valid");
    assert_eq!((&again.body, again.is_complete), (&read.body, read.is_complete));
});

/// The first head, and the bytes after it.
fn parse(sent: &[u8], size: usize) -> Option<(ResponseHead, BytesMut)> {
    let (mut scanner, mut buf) = (HeadScanner::default(), BytesMut::new());
    let mut pieces = sent.chunks(size);
    for piece in pieces.by_ref() {
        buf.extend_from_slice(piece);
        if let Some(head) = ResponseHead::parse(&mut buf, &mut scanner, MAX_HEAD).ok()? {
            pieces.for_each(|piece| buf.extend_from_slice(piece));
            return Some((head, buf));
        }
    }
    None
}

fn read(mut head: ResponseHead, mut rest: BytesMut, is_head: bool) -> Option<Read> {
    let framing = head.normalize_framing(is_head).ok()?.body;
    let (mut decoder, mut body) = (BodyDecoder::from(framing), Vec::new());
    let is_valid = loop {
        match decoder.decode(&mut rest) {
            Ok(Some(data)) => body.extend_from_slice(&data),
            Ok(None) => break true,
            Err(_) => break false,
        }
    };
    let is_complete = is_valid && (decoder.is_complete() || framing == Framing::UntilEnd);
    Some(Read { head, framing, body, is_complete })
}

/// Writes a response as the gate does to an HTTP/1.1 client that keeps its connection.
fn write(read: &Read, is_head: bool) -> Vec<u8> {
    let Read { head, framing, body, is_complete } = read;
    let mut to = format!("HTTP/1.1 {} ", head.status).into_bytes();
    to.extend_from_slice(head.reason());
    to.extend_from_slice(b"\r\n");
    for field in head.fields.iter() {
        if !matches!(field.name, FieldName::TransferEncoding | FieldName::Connection) {
            write_field(field.raw_name, field.value, &mut to);
        }
    }
    let mut encoder = match framing {
        _ if is_head || !head.may_have_body() => BodyEncoder::empty(),
        Framing::Length(length) => BodyEncoder::length(*length),
        Framing::Chunked | Framing::UntilEnd => {
            write_field(b"Transfer-Encoding", b"chunked", &mut to);
            BodyEncoder::chunked()
        }
    };
    to.extend_from_slice(b"\r\n");
    for data in body.chunks(100) {
        encoder.begin_data(data.len(), &mut to).expect("no longer than declared");
        to.extend_from_slice(data);
        encoder.end_data(data.len(), &mut to);
    }
    assert!(!is_complete || encoder.finish(&mut to).is_ok(), "not shorter than declared");
    to
}
