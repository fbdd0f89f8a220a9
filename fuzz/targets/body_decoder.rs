//! A body is the same however its bytes are cut into pieces, and never complete after an error.
#![no_main]

use bytes::BytesMut;
use gatekeeper::http1::{BodyDecoder, Framing};
use libfuzzer_sys::fuzz_target;

/// What a decoder made of some bytes.
#[derive(Debug, PartialEq, Eq)]
struct Decoded {
    body: Vec<u8>,
    is_valid: bool,
    is_complete: bool,
    /// What it did not take; of an invalid body that depends on the pieces.
    rest: Vec<u8>,
}

// Two bytes: the framing, or the size of the pieces; then what is received.
fuzz_target!(|input: &[u8]| {
    let [framing, size, received @ ..] = input else { return };
    let framing = match framing % 4 {
        0 => Framing::UntilEnd,
        1 => Framing::Length(u64::from(*size)),
        _ => Framing::Chunked,
    };
    let whole = decode(framing, received, &[usize::MAX]);
    for sizes in [&[1][..], &[2], &[usize::from(*size) + 1], &[1, 7, usize::from(*size) / 3 + 1]] {
        assert_eq!(decode(framing, received, sizes), whole, "{sizes:?}");
    }
    if let Framing::Length(length) = framing {
        let length = usize::try_from(length).unwrap().min(received.len());
        assert_eq!(whole.body, received[..length]);
    }
});

/// Decodes pieces of these sizes in turn.
fn decode(framing: Framing, mut received: &[u8], sizes: &[usize]) -> Decoded {
    let mut decoder = BodyDecoder::from(framing);
    let (mut buf, mut body) = (BytesMut::new(), Vec::new());
    for size in sizes.iter().cycle() {
        let (piece, rest) = received.split_at((*size).min(received.len()));
        buf.extend_from_slice(piece);
        received = rest;
        if !take(&mut decoder, &mut buf, &mut body) {
            return Decoded { body, is_valid: false, is_complete: false, rest: Vec::new() };
        }
        if received.is_empty() {
            break;
        }
    }
    let is_complete = decoder.is_complete();
    assert_eq!(decoder.remaining() == Some(0), is_complete);
    if is_complete {
        assert!(matches!(decoder.decode(&mut buf), Ok(None)), "more than the body");
    }
    Decoded { body, is_valid: true, is_complete, rest: buf.to_vec() }
}

/// Takes what has been received; returns whether it is valid. After an error nothing is.
fn take(decoder: &mut BodyDecoder, buf: &mut BytesMut, body: &mut Vec<u8>) -> bool {
    loop {
        match decoder.decode(buf) {
            Ok(Some(data)) => {
                assert!(!data.is_empty());
                body.extend_from_slice(&data);
            }
            Ok(None) => return true,
            Err(_) => {
                for more in [&b""[..], b"\r\n", b"0\r\n\r\n", b"1\r\na\r\n0\r\n\r\n"] {
                    buf.extend_from_slice(more);
                    assert!(decoder.decode(buf).is_err() && !decoder.is_complete());
                }
                return false;
            }
        }
    }
}
