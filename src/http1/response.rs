//! The head of a response.

use std::mem::MaybeUninit;

use bytes::BytesMut;

use super::{FieldName, Fields, Framing, HeadError, HeadScanner, body_decoder, fields::ByteRange};

/// A status line and its fields, as received.
#[derive(Debug)]
pub struct ResponseHead {
    /// The fields.
    pub fields: Fields,
    /// From 100 to 999.
    pub status: u16,
    reason: ByteRange,
    is_http10: bool,
}

/// The end of a response's body, and whether another response can follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseFraming {
    /// The end of the body.
    pub body: Framing,
    /// False where an app that is wrong about its own framing may send bytes that look like the
    /// next response: after `HEAD` and 304, whose bodies only the head describes, and after heads
    /// that contradict themselves.
    pub is_reusable: bool,
}

/// Most fields in the head of a response.
const MAX_FIELDS: usize = 128;
/// An incomplete head up to this size is parsed on each read, so that bytes that are not HTTP fail
/// at once and not after `response_timeout`.
const EARLY_PARSE_LIMIT: usize = 1024;

impl ResponseHead {
    /// Takes a head off received bytes. Returns `None` while its end has not been received.
    ///
    /// # Errors
    /// [`HeadError`] when it is not HTTP/1, or longer than `max_bytes`.
    pub fn parse(
        read_buf: &mut BytesMut,
        scanner: &mut HeadScanner,
        max_bytes: usize,
    ) -> Result<Option<Self>, HeadError> {
        let had_first_line = scanner.has_first_line();
        let end = scanner.find(read_buf);
        if end.unwrap_or(read_buf.len()) > max_bytes {
            return Err(HeadError::TooLarge);
        }
        // A bare LF may end a line for one recipient and be part of a value for another.
        if scanner.has_bare_feed() {
            return Err(HeadError::Malformed);
        }
        let Some(length) = end else {
            let may_be_response =
                had_first_line || read_buf.len() > EARLY_PARSE_LIMIT || begins_response(read_buf);
            return if may_be_response { Ok(None) } else { Err(HeadError::Malformed) };
        };
        *scanner = HeadScanner::default();
        let bytes = read_buf.split_to(length).freeze();
        let whole = bytes.clone();
        let mut space = [const { MaybeUninit::uninit() }; MAX_FIELDS];
        let mut response = httparse::Response::new(&mut []);
        let parsed = parser().parse_response_with_uninit_headers(&mut response, &whole, &mut space);
        let status = response.code.unwrap_or_default();
        if parsed != Ok(httparse::Status::Complete(whole.len())) || status < 100 {
            return Err(HeadError::Malformed);
        }
        let reason = response.reason.unwrap_or_default().as_bytes();
        let is_empty = reason.is_empty(); // then httparse returns a slice from elsewhere
        Ok(Some(Self {
            status,
            reason: if is_empty { ByteRange::default() } else { ByteRange::of(reason, &whole) },
            is_http10: response.version == Some(0),
            fields: Fields::from_httparse(bytes, response.headers, &whole),
        }))
    }

    /// Returns the reason phrase of the status line.
    #[must_use]
    pub fn reason(&self) -> &[u8] {
        self.reason.slice(&self.fields.bytes)
    }

    /// Returns whether the status allows a body, the request's method aside (RFC 9110 §6.4.1).
    #[must_use]
    pub const fn may_have_body(&self) -> bool {
        !matches!(self.status, 100..=199 | 204 | 304)
    }

    /// Returns whether the head speaks of a body. Of an interim response that is a contradiction.
    #[must_use]
    pub fn announces_body(&self) -> bool {
        self.fields.contains(FieldName::ContentLength)
            || self.fields.contains(FieldName::TransferEncoding)
    }

    /// Returns whether the app keeps the connection open after this response (RFC 9112 §9.3).
    #[must_use]
    pub fn keeps_alive(&self) -> bool {
        let has_option = |token| self.fields.lists(FieldName::Connection, token);
        !has_option("close") && (!self.is_http10 || has_option("keep-alive"))
    }

    /// Decides how the body ends (RFC 9112 §6.3), and removes the length fields that may not be
    /// forwarded: repeated ones, invalid ones (RFC 9110 §8.6), one beside a transfer coding, and one
    /// where a body is impossible.
    ///
    /// # Errors
    /// [`HeadError`]: a body under another transfer coding, or with differing or invalid lengths.
    pub fn normalize_framing(&mut self, is_head: bool) -> Result<ResponseFraming, HeadError> {
        if is_head || !self.may_have_body() {
            return Ok(self.without_body(is_head));
        }
        let has_coding = self.fields.contains(FieldName::TransferEncoding);
        let has_length = self.fields.contains(FieldName::ContentLength);
        if has_coding {
            let mut codings = self.fields.elements(FieldName::TransferEncoding);
            let is_chunked =
                codings.next().is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked"));
            if self.is_http10 || !is_chunked || codings.next().is_some() {
                return Err(HeadError::Malformed);
            }
            drop(codings);
            self.fields.retain_first(FieldName::ContentLength, 0);
            return Ok(ResponseFraming { body: Framing::Chunked, is_reusable: !has_length });
        }
        let Some(length) = self.length()? else {
            return Ok(ResponseFraming { body: Framing::UntilEnd, is_reusable: false });
        };
        self.fields.retain_first(FieldName::ContentLength, 1);
        Ok(ResponseFraming { body: Framing::Length(length), is_reusable: true })
    }

    /// A response to `HEAD` and a 304 may say the length of the body that they do not have; a 204
    /// and an interim response may not (RFC 9110 §8.6).
    fn without_body(&mut self, is_head: bool) -> ResponseFraming {
        let has_coding = self.fields.contains(FieldName::TransferEncoding);
        let has_length = self.fields.contains(FieldName::ContentLength);
        let may_have_length = !matches!(self.status, 100..=199 | 204);
        let keep = may_have_length && self.length().is_ok();
        self.fields.retain_first(FieldName::ContentLength, usize::from(keep));
        let is_reusable = !is_head && self.status != 304 && !has_coding && !has_length;
        ResponseFraming { body: Framing::Length(0), is_reusable }
    }

    /// Returns the one length that all `Content-Length` fields agree on.
    fn length(&self) -> Result<Option<u64>, HeadError> {
        let mut lengths = self.fields.all(FieldName::ContentLength).map(body_decoder::parse_length);
        let Some(first) = lengths.next() else { return Ok(None) };
        let length = first.ok_or(HeadError::Malformed)?;
        if lengths.all(|other| other == first) {
            Ok(Some(length))
        } else {
            Err(HeadError::Malformed)
        }
    }
}

fn parser() -> httparse::ParserConfig {
    let mut config = httparse::ParserConfig::default();
    config.allow_spaces_after_header_name_in_responses(true); // RFC 9112 §5.1: a proxy removes them
    config
}

/// Returns whether these first bytes may become a response.
fn begins_response(bytes: &[u8]) -> bool {
    let mut fields = [];
    let mut response = httparse::Response::new(&mut fields);
    let parsed = parser().parse_response(&mut response, bytes);
    parsed.is_ok() || parsed == Err(httparse::Error::TooManyHeaders)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Option<ResponseHead>, HeadError> {
        ResponseHead::parse(&mut text.as_bytes().into(), &mut HeadScanner::default(), 1024)
    }

    /// Body framing, reusability, and the number of `Content-Length` fields that are left.
    fn normalize(
        status: u16,
        fields: &str,
        is_head: bool,
    ) -> Result<(Framing, bool, usize), HeadError> {
        let mut head = parse(&format!("HTTP/1.1 {status} Fine\r\n{fields}\r\n"))?.unwrap();
        assert_eq!(head.reason(), b"Fine");
        let framing = head.normalize_framing(is_head)?;
        let lengths = head.fields.all(FieldName::ContentLength).count();
        Ok((framing.body, framing.is_reusable, lengths))
    }

    #[test]
    fn a_body_ends_where_the_head_says() {
        for (fields, framing) in [
            ("", Ok((Framing::UntilEnd, false, 0))),
            ("Content-Length: 5\r\n", Ok((Framing::Length(5), true, 1))),
            ("Content-Length: 5\r\ncontent-length: 5\r\n", Ok((Framing::Length(5), true, 1))),
            ("Content-Length: 5\r\nContent-Length: 6\r\n", Err(HeadError::Malformed)),
            ("Content-Length: 5, 5\r\n", Err(HeadError::Malformed)),
            ("Content-Length: -5\r\n", Err(HeadError::Malformed)),
            ("Transfer-Encoding: chunked\r\n", Ok((Framing::Chunked, true, 0))),
            (
                "Content-Length: 5\r\nTransfer-Encoding: Chunked\r\n",
                Ok((Framing::Chunked, false, 0)),
            ),
            ("Transfer-Encoding: gzip, chunked\r\n", Err(HeadError::Malformed)),
        ] {
            assert_eq!(normalize(200, fields, false), framing, "{fields}");
        }
    }

    #[test]
    fn a_response_without_body_loses_lengths_that_may_not_be_forwarded() {
        let none = Framing::Length(0);
        for (status, fields, is_head, framing) in [
            (200, "Content-Length: 5\r\n", true, (none, false, 1)),
            (200, "Content-Length: +5\r\n", true, (none, false, 0)),
            (200, "Content-Length: 5, 6\r\n", true, (none, false, 0)),
            (304, "Content-Length: 5\r\n", false, (none, false, 1)),
            (304, "Content-Length: \r\n", false, (none, false, 0)),
            (204, "", false, (none, true, 0)),
            (204, "Content-Length: 0\r\n", false, (none, false, 0)),
            (204, "Transfer-Encoding: chunked\r\n", false, (none, false, 0)),
        ] {
            assert_eq!(normalize(status, fields, is_head), Ok(framing), "{status} {fields}");
        }
    }

    #[test]
    fn bytes_that_are_not_http_are_refused_at_once() {
        for text in ["nonsense\r\n", "HTTP/2", "HTTP/1.1 200 OK\r\nA: b\nB: c\r\n\r\n", "\x16\x03"]
        {
            assert_eq!(parse(text).unwrap_err(), HeadError::Malformed, "{text:?}");
        }
        for text in ["", "H", "HTTP/1.", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\nA: b\r\n"] {
            assert!(parse(text).unwrap().is_none(), "{text:?}");
        }
    }

    #[test]
    fn spaces_before_a_colon_are_removed() {
        let head = parse("HTTP/1.1 200 OK\r\nContent-Type : text/xml\r\n\r\n").unwrap().unwrap();
        let field = head.fields.iter().next().unwrap();
        assert_eq!((field.raw_name, field.value), (&b"Content-Type"[..], &b"text/xml"[..]));
    }
}
