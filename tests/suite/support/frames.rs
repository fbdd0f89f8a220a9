//! An HTTP/2 client that sends raw frames, valid or not (RFC 9113, RFC 7541).

use std::{collections::HashMap, io};

use super::client::Client;

/// Name and value as sent.
pub(crate) type Field = (Vec<u8>, Vec<u8>);

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RESET: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// Default SETTINGS_MAX_FRAME_SIZE (RFC 9113 section 6.5.2).
const MAX_FRAME_SIZE: usize = 16_384;
/// SETTINGS_HEADER_TABLE_SIZE 0: the status of each response can be decoded without state.
const NO_TABLE: [u8; 6] = [0, 1, 0, 0, 0, 0];

/// One connection to the gate.
pub(crate) struct Frames {
    client: Client,
    next: u32,
    /// Statuses of the streams with a response so far.
    statuses: HashMap<u32, u16>,
    ended: HashMap<u32, StreamResult>,
}

/// The result of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamResult {
    /// A complete response with this status.
    Status(u16),
    /// RST_STREAM with this error code.
    Reset(u32),
    /// The end of the connection.
    Gone,
}

impl Frames {
    /// Sends the connection preface and SETTINGS.
    pub(crate) fn open(client: Client) -> Self {
        let mut frames = Self { client, next: 1, statuses: HashMap::new(), ended: HashMap::new() };
        frames.client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        frames.send(SETTINGS, 0, 0, &NO_TABLE);
        frames
    }

    /// The number of a new stream.
    pub(crate) fn stream(&mut self) -> u32 {
        self.next += 2;
        self.next - 2
    }

    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.client.send(&frame(kind, flags, stream, payload));
    }

    /// Sends bytes that need not be a frame.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.client.send(bytes);
    }

    /// Sends a header block in HEADERS and CONTINUATION frames.
    pub(crate) fn fields(&mut self, stream: u32, fields: &[Field], ends: bool) {
        let block = block(fields);
        let mut pieces = block.chunks(MAX_FRAME_SIZE).peekable();
        let (mut kind, mut flags) = (HEADERS, if ends { END_STREAM } else { 0 });
        while let Some(piece) = pieces.next() {
            flags |= if pieces.peek().is_none() { END_HEADERS } else { 0 };
            self.send(kind, flags, stream, piece);
            (kind, flags) = (CONTINUATION, 0);
        }
    }

    pub(crate) fn data(&mut self, stream: u32, data: &[u8], ends: bool) {
        let mut pieces = data.chunks(MAX_FRAME_SIZE).peekable();
        while let Some(piece) = pieces.next() {
            let last = ends && pieces.peek().is_none();
            self.send(DATA, if last { END_STREAM } else { 0 }, stream, piece);
        }
    }

    /// Waits for the result of one stream; results of others are kept.
    pub(crate) fn result_of(&mut self, stream: u32) -> StreamResult {
        loop {
            if let Some(result) = self.ended.remove(&stream) {
                return result;
            }
            if let Err(error) = self.listen() {
                let waits = [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut];
                assert!(!waits.contains(&error.kind()), "timeout");
                return StreamResult::Gone;
            }
        }
    }

    /// Reads and handles one frame.
    fn listen(&mut self) -> io::Result<()> {
        let (kind, flags, stream, payload) = self.frame()?;
        let status = self.statuses.entry(stream).or_default();
        match kind {
            SETTINGS if flags & ACK == 0 => self.send(SETTINGS, ACK, 0, b""),
            GOAWAY if payload[4..8] != [0; 4] => return Err(io::ErrorKind::UnexpectedEof.into()),
            RESET => {
                let error = u32::from_be_bytes(payload[..4].try_into().unwrap());
                self.ended.entry(stream).or_insert(StreamResult::Reset(error));
            }
            HEADERS if *status < 200 => *status = status_of(&payload),
            _ => {}
        }
        if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
            self.ended.insert(stream, StreamResult::Status(self.statuses[&stream]));
        }
        Ok(())
    }

    fn frame(&mut self) -> io::Result<(u8, u8, u32, Vec<u8>)> {
        let head = self.client.exactly(9)?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let stream = u32::from_be_bytes(head[5..9].try_into().unwrap());
        Ok((head[3], head[4], stream, self.client.exactly(length)?))
    }
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Encodes all fields as literals without indexing (RFC 7541 section 6.2.2).
pub(crate) fn block(fields: &[Field]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            number(text.len(), &mut block);
            block.extend_from_slice(text);
        }
    }
    block
}

/// Encodes an integer with a 7-bit prefix (RFC 7541 section 5.1).
fn number(length: usize, block: &mut Vec<u8>) {
    match u8::try_from(length) {
        Ok(small @ 0..=126) => block.push(small),
        _ => {
            block.push(127);
            let mut rest = length - 127;
            while rest >= 128 {
                block.push(u8::try_from(rest % 128 + 128).unwrap());
                rest /= 128;
            }
            block.push(u8::try_from(rest).unwrap());
        }
    }
}

/// Decodes `:status`, the first field of a response.
fn status_of(block: &[u8]) -> u16 {
    const KNOWN: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    let start = block.iter().take_while(|&&byte| byte & 0xe0 == 0x20).count();
    match &block[start..] {
        [byte @ 0x88..=0x8e, ..] => KNOWN[usize::from(byte - 0x88)],
        [0x08 | 0x18 | 0x48, length, value @ ..] if length & 0x80 != 0 => digits(value),
        [0x08 | 0x18 | 0x48, 3, value @ ..] => {
            std::str::from_utf8(&value[..3]).unwrap().parse().unwrap()
        }
        other => panic!("no status in {other:?}"),
    }
}

/// Decodes three Huffman-coded digits: 0 to 2 have five bits, 3 to 9 have six (RFC 7541 appendix B).
fn digits(coded: &[u8]) -> u16 {
    let bits: Vec<u16> = coded
        .iter()
        .take(3)
        .flat_map(|byte| (0..8).rev().map(move |at| u16::from(byte >> at & 1)))
        .collect();
    let (mut at, mut number) = (0, 0);
    for _ in 0..3 {
        let value = |length: usize| bits[at..at + length].iter().fold(0, |sum, bit| sum * 2 + bit);
        let (digit, length) = match value(5) {
            small @ 0..=2 => (small, 5),
            _ => (value(6) - 0b01_1001 + 3, 6),
        };
        number = number * 10 + digit;
        at += length;
    }
    number
}
