//! Finding the end of a head.

use bytes::{Buf, BytesMut};
use memchr::memchr_iter;

/// Looks for the end of a head in a growing buffer; each call resumes where the last one stopped.
#[derive(Debug, Default)]
pub struct HeadScanner {
    /// Everything before this offset has been scanned.
    at: usize,
    /// Number of empty lines before the head.
    empty_lines: usize,
    /// Length of the first line, once it has been received.
    first_line: Option<usize>,
    /// A line ended in LF without CR.
    bare_feed: bool,
}

/// Most empty lines that are skipped before a request line.
const MAX_EMPTY_LINES: usize = 8;

/// Drops the empty lines before a request line (RFC 9112 §2.2) and returns their number.
pub fn skip_empty_lines(read_buf: &mut BytesMut) -> usize {
    let before = read_buf.len();
    while read_buf.starts_with(b"\r\n") {
        read_buf.advance(2);
    }
    before.saturating_sub(read_buf.len()) / 2
}

impl HeadScanner {
    /// Returns the length of the head at the beginning of `read_buf`, if its end has been received.
    pub(super) fn find(&mut self, read_buf: &mut BytesMut) -> Option<usize> {
        if self.at == 0 {
            self.empty_lines = self.empty_lines.saturating_add(skip_empty_lines(read_buf));
        }
        let begin = self.at;
        for feed in memchr_iter(b'\n', read_buf.get(begin..).unwrap_or_default()) {
            let feed = begin.saturating_add(feed);
            let next = feed.saturating_add(1);
            let before = feed.checked_sub(1).and_then(|before| read_buf.get(before));
            self.bare_feed |= before != Some(&b'\r');
            self.first_line.get_or_insert(next);
            match read_buf.get(next..).unwrap_or_default() {
                [b'\n', ..] => {
                    self.bare_feed = true;
                    return Some(next.saturating_add(1));
                }
                [b'\r', b'\n', ..] => return Some(next.saturating_add(2)),
                [] | [b'\r'] => return None, // this line is scanned again with the next bytes
                _ => self.at = next,
            }
        }
        None
    }

    /// Returns whether a line ended in LF without CR. httparse accepts that as a line end; other
    /// readers do not, so neither does this module.
    pub(super) const fn has_bare_feed(&self) -> bool {
        self.bare_feed
    }

    /// Returns whether more empty lines precede the head than are skipped.
    pub(super) const fn has_too_many_empty_lines(&self) -> bool {
        self.empty_lines > MAX_EMPTY_LINES
    }

    /// Returns whether the first line has been received.
    pub(super) const fn has_first_line(&self) -> bool {
        self.first_line.is_some()
    }

    /// Returns whether the first line alone, received or not, is longer than `max` bytes.
    pub(super) fn first_line_exceeds(&self, max: usize, read_buf: &[u8]) -> bool {
        self.first_line.unwrap_or(read_buf.len()) > max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_at_its_empty_line_however_it_arrives() {
        for (text, length) in [
            ("GET / HTTP/1.1\r\nA: b\r\n\r\nmore", Some(24)),
            ("\r\n\r\nGET / HTTP/1.1\r\n\r\n", Some(18)),
            ("GET / HTTP/1.1\r\nA: b\r\n", None),
            ("GET / HTTP/1.1\r\nA: b\r\n\r", None),
            ("GET / HTTP/1.1\n\nmore", Some(16)),
            ("\r\n", None),
        ] {
            assert_eq!(
                HeadScanner::default().find(&mut text.as_bytes().into()),
                length,
                "{text:?}"
            );
            let (mut scanner, mut read_buf) = (HeadScanner::default(), BytesMut::new());
            let found = text.bytes().find_map(|byte| {
                read_buf.extend_from_slice(&[byte]);
                scanner.find(&mut read_buf)
            });
            assert_eq!(found, length, "{text:?}, byte by byte");
        }
    }

    #[test]
    fn skipped_empty_lines_do_not_stay_in_the_buffer() {
        let (mut scanner, mut read_buf) = (HeadScanner::default(), BytesMut::new());
        for _ in 0..1000 {
            read_buf.extend_from_slice(b"\r\n\r\n");
            assert_eq!(scanner.find(&mut read_buf), None);
            assert!(read_buf.is_empty());
        }
    }
}
