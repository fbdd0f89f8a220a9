//! Framing of a body that is sent.

use std::io::Write as _;

/// Frames one body (RFC 9112 §6.3) and keeps the promise of its head: the length that was declared
/// is the length that is sent.
///
/// A body that turns out longer is an error before a surplus byte is written. One that turns out
/// shorter is an error at its end, and no last chunk is written; the caller then closes the
/// connection, which is how the recipient learns of it.
#[derive(Debug, PartialEq, Eq)]
pub struct BodyEncoder(Encoding);

#[derive(Debug, PartialEq, Eq)]
enum Encoding {
    /// No body.
    Empty,
    /// A declared length; the bytes that are still to be sent of it.
    Length(u64),
    /// Chunked transfer coding (RFC 9112 §7.1).
    Chunked,
    /// Delimited by the end of the connection.
    UntilClose,
}

/// The body is longer or shorter than its head declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body does not have the declared length")]
pub struct LengthMismatch;

impl BodyEncoder {
    /// Frames no body, whatever the head declares: a response to `HEAD`, a 204 or a 304.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Encoding::Empty)
    }

    /// Frames a body of exactly this many bytes.
    #[must_use]
    pub const fn length(length: u64) -> Self {
        Self(Encoding::Length(length))
    }

    /// Frames a body of unknown length in chunks.
    #[must_use]
    pub const fn chunked() -> Self {
        Self(Encoding::Chunked)
    }

    /// Frames a body that ends with the connection.
    #[must_use]
    pub const fn until_close() -> Self {
        Self(Encoding::UntilClose)
    }

    /// Returns whether any body is to be sent.
    #[must_use]
    pub const fn has_body(&self) -> bool {
        !matches!(self.0, Encoding::Empty)
    }

    /// Accounts for the next `length` bytes and appends what precedes them.
    ///
    /// # Errors
    /// [`LengthMismatch`] when the body is longer than declared; nothing is appended then.
    pub fn begin_data(&mut self, length: usize, to: &mut Vec<u8>) -> Result<(), LengthMismatch> {
        let count = u64::try_from(length).unwrap_or(u64::MAX);
        match &mut self.0 {
            Encoding::Length(left) => *left = left.checked_sub(count).ok_or(LengthMismatch)?,
            Encoding::Empty if length > 0 => return Err(LengthMismatch),
            // An empty chunk would be the last one.
            Encoding::Chunked if length > 0 => {
                let _infallible = write!(to, "{length:x}\r\n");
            }
            Encoding::Empty | Encoding::Chunked | Encoding::UntilClose => {}
        }
        Ok(())
    }

    /// Appends what follows `length` bytes of data.
    pub fn end_data(&self, length: usize, to: &mut Vec<u8>) {
        if self.0 == Encoding::Chunked && length > 0 {
            to.extend_from_slice(b"\r\n");
        }
    }

    /// Ends the body and appends what follows it.
    ///
    /// # Errors
    /// [`LengthMismatch`] when the body is shorter than declared; nothing is appended then.
    pub fn finish(self, to: &mut Vec<u8>) -> Result<(), LengthMismatch> {
        match self.0 {
            Encoding::Length(1..) => return Err(LengthMismatch),
            Encoding::Chunked => to.extend_from_slice(b"0\r\n\r\n"),
            Encoding::Empty | Encoding::Length(0) | Encoding::UntilClose => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(mut encoder: BodyEncoder, parts: &[&str]) -> (String, Result<(), LengthMismatch>) {
        let mut text = Vec::new();
        let mut result = Ok(());
        for part in parts {
            result = encoder.begin_data(part.len(), &mut text);
            if result.is_err() {
                break;
            }
            text.extend_from_slice(part.as_bytes());
            encoder.end_data(part.len(), &mut text);
        }
        let result = result.and_then(|()| encoder.finish(&mut text));
        (String::from_utf8(text).unwrap(), result)
    }

    #[test]
    fn a_body_is_framed_as_declared() {
        let framed = |text: &str| (text.to_owned(), Ok(()));
        assert_eq!(encode(BodyEncoder::length(4), &["ab", "", "cd"]), framed("abcd"));
        assert_eq!(encode(BodyEncoder::until_close(), &["ab", "cd"]), framed("abcd"));
        assert_eq!(encode(BodyEncoder::empty(), &[""]), framed(""));
        let chunks = "2\r\nab\r\n11\r\n0123456789abcdefg\r\n0\r\n\r\n";
        assert_eq!(
            encode(BodyEncoder::chunked(), &["ab", "", "0123456789abcdefg"]),
            framed(chunks)
        );
    }

    #[test]
    fn a_longer_body_is_an_error_before_its_surplus_is_written() {
        let failed = |text: &str| (text.to_owned(), Err(LengthMismatch));
        assert_eq!(encode(BodyEncoder::length(3), &["ab", "cd"]), failed("ab"));
        assert_eq!(encode(BodyEncoder::empty(), &["x"]), failed(""));
    }

    #[test]
    fn a_shorter_body_is_an_error_at_its_end() {
        assert_eq!(encode(BodyEncoder::length(3), &["ab"]), ("ab".to_owned(), Err(LengthMismatch)));
    }
}
