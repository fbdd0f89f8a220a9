//! What is still to come of a body.

use bytes::{Buf, BufMut, BytesMut, buf::Limit};
use memchr::memchr;

use super::Malformed;

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// After so many bytes.
    Length(u64),
    /// With its last chunk.
    Chunked,
    /// With the connection; a response only.
    UntilEnd,
}

/// A body on its way.
#[derive(Debug)]
pub enum BodyDecoder {
    /// So many bytes.
    Length(u64),
    /// Chunks (RFC 9112 §7.1), the next step, and how many bytes of framing there were.
    Chunks(ChunkedState, usize),
    /// All that comes before the connection ends.
    UntilEnd,
}

/// What comes next in a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkedState {
    /// A chunk's size.
    Size,
    /// So many bytes of a chunk.
    Data(u64),
    /// The line end behind a chunk.
    DataEnd,
    /// Trailer fields, or the empty line behind them. They are dropped: nothing signs them.
    Trailers,
    /// Nothing.
    Over,
    /// It was no chunked coding: where it ends, nobody can tell.
    Broken,
}

/// The longest line between chunks, and what all that is no data may take: chunk extensions and
/// trailers carry nothing that is passed on.
const MAX_LINE: usize = 4096;
const MAX_FRAMING: usize = 16 * 1024;
/// What a chunk's size line and line end take at least: these are not counted.
const MIN_FRAMING: usize = 5;

/// Decimal digits and nothing else.
pub(super) fn length(value: &[u8]) -> Option<u64> {
    let digit = |byte: &u8| byte.checked_sub(b'0').filter(|digit| *digit < 10).map(u64::from);
    let add = |sum: u64, byte| sum.checked_mul(10)?.checked_add(digit(byte)?);
    if value.is_empty() { None } else { value.iter().try_fold(0, add) }
}

impl From<Framing> for BodyDecoder {
    fn from(framing: Framing) -> Self {
        match framing {
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunks(ChunkedState::Size, 0),
            Framing::UntilEnd => Self::UntilEnd,
        }
    }
}

impl BodyDecoder {
    /// Whether the body is complete.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunks(ChunkedState::Over, _))
    }

    /// How many bytes are to come, where that is known.
    #[must_use]
    pub const fn length(&self) -> Option<u64> {
        match self {
            Self::Length(length) => Some(*length),
            Self::Chunks(ChunkedState::Over, _) => Some(0),
            Self::Chunks(..) | Self::UntilEnd => None,
        }
    }

    /// Where the next bytes of a body of known length may be read to, behind those before: room for
    /// at most so many, and for none that are not its own.
    pub fn room<'w>(
        &self,
        whole: &'w mut BytesMut,
        most: usize,
    ) -> Option<Limit<&'w mut BytesMut>> {
        let left = usize::try_from(self.length()?).unwrap_or(usize::MAX).min(most);
        whole.reserve(left);
        Some(whole.limit(left))
    }

    /// So many bytes were read there.
    pub fn pass(&mut self, count: usize) {
        if let Self::Length(left) = self {
            *left = left.saturating_sub(u64::try_from(count).unwrap_or(u64::MAX));
        }
    }

    /// Takes what is here of the body off what has arrived; nothing where more must arrive first,
    /// or it is over.
    ///
    /// # Errors
    /// [`Malformed`], where it is no chunked coding.
    pub fn take(&mut self, heard: &mut BytesMut) -> Result<Option<BytesMut>, Malformed> {
        match self {
            Self::Length(left) => Ok(data(left, heard)),
            Self::UntilEnd => Ok((!heard.is_empty()).then(|| heard.split())),
            Self::Chunks(step, framing) => {
                let data = chunk(step, framing, heard);
                if data.is_err() {
                    *step = ChunkedState::Broken;
                }
                data
            }
        }
    }
}

/// At most `left` bytes.
fn data(left: &mut u64, heard: &mut BytesMut) -> Option<BytesMut> {
    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(heard.len());
    *left = left.saturating_sub(u64::try_from(here).unwrap_or(u64::MAX));
    (here > 0).then(|| heard.split_to(here))
}

fn chunk(
    step: &mut ChunkedState,
    framing: &mut usize,
    heard: &mut BytesMut,
) -> Result<Option<BytesMut>, Malformed> {
    loop {
        *step = match *step {
            ChunkedState::Size => match line(heard, framing, MIN_FRAMING)? {
                Some(line) => match size(&line).ok_or("chunk_size")? {
                    0 => ChunkedState::Trailers,
                    size => ChunkedState::Data(size),
                },
                None => return Ok(None),
            },
            ChunkedState::Data(mut left) => {
                let data = data(&mut left, heard);
                *step = if left == 0 { ChunkedState::DataEnd } else { ChunkedState::Data(left) };
                return Ok(data);
            }
            ChunkedState::DataEnd => match heard.as_ref() {
                [b'\r', b'\n', ..] => {
                    heard.advance(2);
                    ChunkedState::Size
                }
                [] | [b'\r'] => return Ok(None),
                _ => return Err("chunk_end"),
            },
            ChunkedState::Trailers => match line(heard, framing, 0)? {
                Some(line) if line.is_empty() => ChunkedState::Over,
                Some(line) if is_field(&line) => ChunkedState::Trailers,
                Some(_) => return Err("chunk_trailer"),
                None => return Ok(None),
            },
            ChunkedState::Over => return Ok(None),
            ChunkedState::Broken => return Err("chunk_broken"),
        };
    }
}

/// The next line without its end, if it is here. All but `free` bytes of it count as framing.
fn line(
    heard: &mut BytesMut,
    framing: &mut usize,
    free: usize,
) -> Result<Option<BytesMut>, Malformed> {
    let Some(feed) = memchr(b'\n', heard) else {
        return if heard.len() > MAX_LINE { Err("chunk_line") } else { Ok(None) };
    };
    let mut line = heard.split_to(feed.saturating_add(1));
    *framing = framing.saturating_add(line.len().saturating_sub(free));
    let text = line.strip_suffix(b"\r\n").ok_or("bare_line_feed")?.len();
    line.truncate(text);
    let printable = |byte: &u8| !byte.is_ascii_control() || *byte == b'\t';
    if *framing > MAX_FRAMING || !line.iter().all(printable) {
        return Err("chunk_line");
    }
    Ok(Some(line))
}

/// Whether it is a field line: what hides behind the last chunk as a trailer has to be one.
fn is_field(line: &[u8]) -> bool {
    let mut space = [httparse::EMPTY_HEADER];
    let whole = [line, b"\r\n\r\n"].concat();
    matches!(httparse::parse_headers(&whole, &mut space), Ok(httparse::Status::Complete(_)))
}

/// The size that a line tells, its extensions left aside.
fn size(line: &[u8]) -> Option<u64> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (digits, rest) = line.split_at_checked(digits)?;
    let extensions = rest.trim_ascii_start();
    if !extensions.is_empty() && !extensions.starts_with(b";") {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body, and what is left behind it, however the bytes arrive.
    fn decoded(text: &[u8], piece: usize) -> Result<(Vec<u8>, Vec<u8>, bool), Malformed> {
        let mut rest = BodyDecoder::from(Framing::Chunked);
        let (mut heard, mut body) = (BytesMut::new(), Vec::new());
        for piece in text.chunks(piece) {
            heard.extend_from_slice(piece);
            while let Some(data) = rest.take(&mut heard)? {
                body.extend_from_slice(&data);
            }
        }
        Ok((body, heard.to_vec(), rest.is_over()))
    }

    #[test]
    fn chunks_are_a_body() {
        for text in [
            &b"3\r\na=1\r\n0\r\n\r\nGET"[..],
            b"1\r\na\r\n2\r\n=1\r\n0\r\n\r\nGET",
            b"03;x=y\r\na=1\r\n000\r\nTrailer: x\r\n\r\nGET",
            b"3 \t\r\na=1\r\n0\r\n\r\nGET",
        ] {
            for piece in 1..=text.len() {
                let (body, left, over) = decoded(text, piece).unwrap();
                assert_eq!((body, over), (b"a=1".to_vec(), true), "{piece}");
                assert!(b"GET".starts_with(&left[..]) || left == b"GET");
            }
        }
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
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
            assert_eq!(decoded(text, text.len()), Err(what), "{}", text.escape_ascii());
        }
        let long = [b"3;", &b"x".repeat(5000)[..]].concat();
        assert_eq!(decoded(&long, 100), Err("chunk_line"));
        let many = b"1;xxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\na\r\n".repeat(1000);
        assert_eq!(decoded(&many, 100), Err("chunk_line"));
        let trailers = [b"0\r\n", &b"a:b\r\n".repeat(5000)[..]].concat();
        assert_eq!(decoded(&trailers, 100), Err("chunk_line"));
    }

    #[test]
    fn what_is_broken_is_never_over() {
        let mut rest = BodyDecoder::from(Framing::Chunked);
        let mut heard = BytesMut::from(&b"x\r\n0\r\n\r\nGET / HTTP/1.1\r\n"[..]);
        assert_eq!(rest.take(&mut heard), Err("chunk_size"));
        assert_eq!(rest.take(&mut heard), Err("chunk_broken"));
        assert!(!rest.is_over());
    }

    #[test]
    fn a_length_is_digits() {
        assert_eq!(length(b"0"), Some(0));
        assert_eq!(length(b"18446744073709551615"), Some(u64::MAX));
        for wrong in [&b""[..], b"+1", b"-1", b"1 ", b"0x1", b"1_0", b"18446744073709551616"] {
            assert_eq!(length(wrong), None);
        }
    }
}
