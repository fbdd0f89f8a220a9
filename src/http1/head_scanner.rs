//! Where a head ends.

use bytes::{Buf, BytesMut};
use memchr::memchr_iter;

/// Looks for the end of a head in what has arrived so far, going on where it stopped.
#[derive(Debug, Default)]
pub struct HeadScanner {
    /// Everything before it has been looked at.
    at: usize,
    /// How many empty lines stood before the head.
    empty: usize,
    /// A line has ended without a CR.
    bare: bool,
}

/// So many empty lines are passed over.
const MAX_EMPTY_LINES: usize = 8;

/// Drops the empty lines that may stand before a head (RFC 9112 §2.2). How many there were.
pub fn skip_empty_lines(heard: &mut BytesMut) -> usize {
    let before = heard.len();
    while heard.starts_with(b"\r\n") {
        heard.advance(2);
    }
    before.saturating_sub(heard.len()) / 2
}

impl HeadScanner {
    /// How long the head at the beginning is, if its end is here.
    pub(super) fn find(&mut self, heard: &mut BytesMut) -> Option<usize> {
        if self.at == 0 {
            self.empty = self.empty.saturating_add(skip_empty_lines(heard));
        }
        let begin = self.at;
        for feed in memchr_iter(b'\n', heard.get(begin..).unwrap_or_default()) {
            let feed = begin.saturating_add(feed);
            let next = feed.saturating_add(1);
            let before = feed.checked_sub(1).and_then(|before| heard.get(before));
            self.bare |= before != Some(&b'\r');
            match heard.get(next..).unwrap_or_default() {
                [b'\n', ..] => {
                    self.bare = true;
                    return Some(next.saturating_add(1));
                }
                [b'\r', b'\n', ..] => return Some(next.saturating_add(2)),
                [] | [b'\r'] => return None, // looked at again once more is here
                _ => self.at = next,
            }
        }
        None
    }

    /// Whether a line has ended with a line feed alone. httparse takes that for the end of a line;
    /// not every reader does.
    pub(super) const fn has_bare_feed(&self) -> bool {
        self.bare
    }

    /// Whether nobody who means a head begins like this.
    pub(super) const fn is_empty_talk(&self) -> bool {
        self.empty > MAX_EMPTY_LINES
    }

    /// Whether the first line is over.
    pub(super) const fn has_line(&self) -> bool {
        self.at > 0
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
            let (mut scan, mut heard) = (HeadScanner::default(), BytesMut::new());
            let from_httparse = text.bytes().find_map(|byte| {
                heard.extend_from_slice(&[byte]);
                scan.find(&mut heard)
            });
            assert_eq!(from_httparse, length, "{text:?}, byte by byte");
        }
    }

    #[test]
    fn empty_lines_are_not_kept() {
        let (mut scan, mut heard) = (HeadScanner::default(), BytesMut::new());
        for _ in 0..1000 {
            heard.extend_from_slice(b"\r\n\r\n");
            assert_eq!(scan.find(&mut heard), None);
            assert!(heard.is_empty());
        }
    }
}
