//! Decoding of a body that is received.

use bytes::{Buf, BufMut, BytesMut, buf::Limit};
use memchr::memchr;

use super::Malformed;

/// The rule that finds the end of a body (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// After this many bytes.
    Length(u64),
    /// At the last chunk of a chunked transfer coding.
    Chunked,
    /// At the end of the connection (responses), or of the stream (HTTP/2).
    UntilEnd,
}

/// Takes a body off received bytes; remembers how much is still to come.
#[derive(Debug)]
pub enum BodyDecoder {
    /// This many bytes are to come.
    Length(u64),
    /// Chunks (RFC 9112 §7.1): the next step, and the bytes of extensions and trailers so far.
    Chunked(ChunkedState, usize),
    /// All bytes up to the end of the connection.
    UntilEnd,
}

/// The part of a chunked body that comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkedState {
    /// The size line of a chunk.
    Size,
    /// This many bytes of a chunk's data.
    Data(u64),
    /// The line end after a chunk's data.
    DataEnd,
    /// Trailer fields, or the empty line after them. They are dropped: no signature covers them.
    Trailers,
    /// Nothing: the body is complete.
    End,
    /// Nothing: the bytes were not a chunked coding, and where the body ends is unknown.
    Invalid,
}

/// Longest line between chunks, in bytes.
const MAX_LINE: usize = 4096;
/// Longest size of a chunk, in hex digits: what fits into 64 bits, leading zeros included.
const MAX_SIZE_DIGITS: usize = 16;
/// Most bytes that chunk extensions and trailers of one body may have together. Nothing of them is
/// forwarded. Sizes and line ends do not count: a long body may have any number of chunks.
const MAX_FRAMING: usize = 16 * 1024;

/// Parses the value of `Content-Length`: decimal digits and nothing else (RFC 9110 §8.6).
pub(super) fn parse_length(value: &[u8]) -> Option<u64> {
    let digit = |byte: &u8| byte.checked_sub(b'0').filter(|digit| *digit < 10).map(u64::from);
    let add = |sum: u64, byte| sum.checked_mul(10)?.checked_add(digit(byte)?);
    if value.is_empty() { None } else { value.iter().try_fold(0, add) }
}

impl From<Framing> for BodyDecoder {
    fn from(framing: Framing) -> Self {
        match framing {
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(ChunkedState::Size, 0),
            Framing::UntilEnd => Self::UntilEnd,
        }
    }
}

impl BodyDecoder {
    /// Returns whether the body is complete.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(ChunkedState::End, _))
    }

    /// Returns the number of bytes that are to come, where it is known.
    #[must_use]
    pub const fn remaining(&self) -> Option<u64> {
        match self {
            Self::Length(length) => Some(*length),
            Self::Chunked(ChunkedState::End, _) => Some(0),
            Self::Chunked(..) | Self::UntilEnd => None,
        }
    }

    /// Returns spare capacity of `whole` into which a body of known length can be read directly: at
    /// most `max` bytes, and never beyond the body's end. [`Self::advance`] accounts for them.
    pub fn spare_capacity<'w>(
        &self,
        whole: &'w mut BytesMut,
        max: usize,
    ) -> Option<Limit<&'w mut BytesMut>> {
        let left = usize::try_from(self.remaining()?).unwrap_or(usize::MAX).min(max);
        whole.reserve(left);
        Some(whole.limit(left))
    }

    /// Accounts for bytes that were read into [`Self::spare_capacity`].
    pub fn advance(&mut self, count: usize) {
        if let Self::Length(left) = self {
            *left = left.saturating_sub(u64::try_from(count).unwrap_or(u64::MAX));
        }
    }

    /// Takes the next data of the body off `read_buf`. Returns `None` when more bytes must be
    /// received first, or the body is complete.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes are not a chunked coding.
    pub fn decode(&mut self, read_buf: &mut BytesMut) -> Result<Option<BytesMut>, Malformed> {
        match self {
            Self::Length(left) => Ok(take_data(left, read_buf)),
            Self::UntilEnd => Ok((!read_buf.is_empty()).then(|| read_buf.split())),
            Self::Chunked(state, framing) => {
                let data = decode_chunked(state, framing, read_buf);
                if data.is_err() {
                    *state = ChunkedState::Invalid;
                }
                data
            }
        }
    }
}

/// Takes at most `left` bytes.
fn take_data(left: &mut u64, read_buf: &mut BytesMut) -> Option<BytesMut> {
    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(read_buf.len());
    *left = left.saturating_sub(u64::try_from(here).unwrap_or(u64::MAX));
    (here > 0).then(|| read_buf.split_to(here))
}

fn decode_chunked(
    state: &mut ChunkedState,
    framing: &mut usize,
    read_buf: &mut BytesMut,
) -> Result<Option<BytesMut>, Malformed> {
    loop {
        *state = match *state {
            ChunkedState::Size => match take_line(read_buf)? {
                Some(line) => match parse_size(&line, framing)? {
                    0 => ChunkedState::Trailers,
                    size => ChunkedState::Data(size),
                },
                None => return Ok(None),
            },
            ChunkedState::Data(mut left) => {
                let data = take_data(&mut left, read_buf);
                *state = if left == 0 { ChunkedState::DataEnd } else { ChunkedState::Data(left) };
                return Ok(data);
            }
            ChunkedState::DataEnd => match read_buf.as_ref() {
                [b'\r', b'\n', ..] => {
                    read_buf.advance(2);
                    ChunkedState::Size
                }
                [] | [b'\r'] => return Ok(None),
                _ => return Err("chunk_end"),
            },
            ChunkedState::Trailers => match take_line(read_buf)? {
                Some(line) if line.is_empty() => ChunkedState::End,
                Some(line) => {
                    count_framing(framing, line.len().saturating_add(2))?;
                    is_field_line(&line).then_some(ChunkedState::Trailers).ok_or("chunk_trailer")?
                }
                None => return Ok(None),
            },
            ChunkedState::End => return Ok(None),
            ChunkedState::Invalid => return Err("chunk_broken"),
        };
    }
}

/// Takes the next line, without its CRLF, if it has been received whole.
fn take_line(read_buf: &mut BytesMut) -> Result<Option<BytesMut>, Malformed> {
    let Some(feed) = memchr(b'\n', read_buf) else {
        // The last byte may be the CR of a line of full length.
        let is_too_long = read_buf.len() > MAX_LINE.saturating_add(1);
        return if is_too_long { Err("chunk_line") } else { Ok(None) };
    };
    let mut line = read_buf.split_to(feed.saturating_add(1));
    let length = line.strip_suffix(b"\r\n").ok_or("bare_line_feed")?.len();
    line.truncate(length);
    let printable = |byte: &u8| !byte.is_ascii_control() || *byte == b'\t';
    if line.len() > MAX_LINE || !line.iter().all(printable) {
        return Err("chunk_line");
    }
    Ok(Some(line))
}

fn count_framing(framing: &mut usize, length: usize) -> Result<(), Malformed> {
    *framing = framing.saturating_add(length);
    if *framing > MAX_FRAMING { Err("chunk_line") } else { Ok(()) }
}

/// Returns whether the line is a field line. A request smuggled after the last chunk is not one.
fn is_field_line(line: &[u8]) -> bool {
    let mut space = [httparse::EMPTY_HEADER];
    let whole = [line, b"\r\n\r\n"].concat();
    matches!(httparse::parse_headers(&whole, &mut space), Ok(httparse::Status::Complete(_)))
}

/// Parses a chunk's size line; its extensions are counted and ignored (RFC 9112 §7.1.1).
fn parse_size(line: &[u8], framing: &mut usize) -> Result<u64, Malformed> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (digits, rest) = line.split_at_checked(digits).ok_or("chunk_size")?;
    let extensions = rest.trim_ascii_start();
    if digits.len() > MAX_SIZE_DIGITS || !(extensions.is_empty() || extensions.starts_with(b";")) {
        return Err("chunk_size");
    }
    count_framing(framing, rest.len())?;
    let digits = std::str::from_utf8(digits).map_err(|_| "chunk_size")?;
    u64::from_str_radix(digits, 16).map_err(|_| "chunk_size")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes `text` received in pieces: the body, the bytes after it, whether it is complete.
    fn decode(text: &[u8], piece: usize) -> Result<(Vec<u8>, Vec<u8>, bool), Malformed> {
        let mut decoder = BodyDecoder::from(Framing::Chunked);
        let (mut read_buf, mut body) = (BytesMut::new(), Vec::new());
        for piece in text.chunks(piece) {
            read_buf.extend_from_slice(piece);
            while let Some(data) = decoder.decode(&mut read_buf)? {
                body.extend_from_slice(&data);
            }
        }
        Ok((body, read_buf.to_vec(), decoder.is_complete()))
    }

    #[test]
    fn chunks_are_joined_to_the_body() {
        for text in [
            &b"3\r\na=1\r\n0\r\n\r\nGET"[..],
            b"1\r\na\r\n2\r\n=1\r\n0\r\n\r\nGET",
            b"03;x=y\r\na=1\r\n000\r\nTrailer: x\r\n\r\nGET",
            b"3 \t\r\na=1\r\n0\r\n\r\nGET",
        ] {
            for piece in 1..=text.len() {
                let (body, left, over) = decode(text, piece).unwrap();
                assert_eq!((body, over), (b"a=1".to_vec(), true), "{piece}");
                assert!(b"GET".starts_with(&left[..]) || left == b"GET");
            }
        }
    }

    #[test]
    fn invalid_chunks_are_refused() {
        for (text, what) in [
            (&b"\r\n"[..], "chunk_size"),
            (b"x\r\n", "chunk_size"),
            (b"-3\r\na=1\r\n", "chunk_size"),
            (b"+3\r\na=1\r\n", "chunk_size"),
            (b"0x3\r\na=1\r\n", "chunk_size"),
            (b"3 3\r\na=1\r\n", "chunk_size"),
            (b"10000000000000000\r\n", "chunk_size"),
            (b"3\na=1\r\n", "bare_line_feed"),
            (b"3\r\na=1\n0\r\n\r\n", "chunk_end"),
            (b"3\r\na=12\r\n", "chunk_end"),
            (b"3;\rx\r\na=1\r\n", "chunk_line"),
            (b"0\r\nGET / HTTP/1.1\r\n\r\n", "chunk_trailer"),
            (b"0\r\nA : b\r\n\r\n", "chunk_trailer"),
            (b"0\r\n folded\r\n\r\n", "chunk_trailer"),
        ] {
            assert_eq!(decode(text, text.len()), Err(what), "{}", text.escape_ascii());
        }
        let long = [b"3;", &b"x".repeat(5000)[..]].concat();
        assert_eq!(decode(&long, 100), Err("chunk_line"));
        let many = b"1;xxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\na\r\n".repeat(1000);
        assert_eq!(decode(&many, 100), Err("chunk_line"));
        let padded = [&b"0".repeat(17)[..], b"1\r\na\r\n"].concat();
        assert_eq!(decode(&padded, 100), Err("chunk_size"));
        let trailers = [b"0\r\n", &b"a:b\r\n".repeat(5000)[..]].concat();
        assert_eq!(decode(&trailers, 100), Err("chunk_line"));
    }

    #[test]
    fn a_line_of_full_length_is_decoded_however_it_arrives() {
        for (length, is_valid) in [(MAX_LINE, true), (MAX_LINE + 1, false)] {
            let extension = "x".repeat(length - 2);
            let text = format!("3;{extension}\r\na=1\r\n0\r\n\r\n");
            for piece in [1, 2, 4095, 4096, 4097, text.len()] {
                assert_eq!(decode(text.as_bytes(), piece).is_ok(), is_valid, "{length} {piece}");
            }
        }
    }

    #[test]
    fn an_invalid_body_is_never_complete() {
        let mut decoder = BodyDecoder::from(Framing::Chunked);
        let mut read_buf = BytesMut::from(&b"x\r\n0\r\n\r\nGET / HTTP/1.1\r\n"[..]);
        assert_eq!(decoder.decode(&mut read_buf), Err("chunk_size"));
        assert_eq!(decoder.decode(&mut read_buf), Err("chunk_broken"));
        assert!(!decoder.is_complete());
    }

    #[test]
    fn a_length_is_decimal_digits_only() {
        assert_eq!(parse_length(b"0"), Some(0));
        assert_eq!(parse_length(b"18446744073709551615"), Some(u64::MAX));
        for wrong in [&b""[..], b"+1", b"-1", b"1 ", b"0x1", b"1_0", b"18446744073709551616"] {
            assert_eq!(parse_length(wrong), None);
        }
    }

    #[test]
    fn a_body_may_have_any_number_of_chunks() {
        let text = [&b"0000000000001000\r\n"[..], &[b'x'; 4096], b"\r\n"].concat().repeat(4000);
        let text = [&text[..], b"0\r\n\r\n"].concat();
        let (body, _, is_complete) = decode(&text, 64 * 1024).unwrap();
        assert_eq!((body.len(), is_complete), (4000 * 4096, true));
    }
}
