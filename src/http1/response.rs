//! A response's head.

use bytes::BytesMut;

use super::{FieldName, Fields, Framing, HeadError, HeadScanner, fields::ByteRange};

/// A status line and its fields, as they came.
#[derive(Debug)]
pub struct ResponseHead {
    /// The fields.
    pub fields: Fields,
    /// From 100 to 999.
    pub status: u16,
    reason: ByteRange,
    is_10: bool,
}

/// An app that sends more fields than this is at odds with itself.
const MAX_FIELDS: usize = 128;

impl ResponseHead {
    /// Takes a head off what has arrived, once it is whole.
    ///
    /// # Errors
    /// [`HeadError`], where it is none, or longer than `most_bytes`.
    pub fn parse(
        heard: &mut BytesMut,
        scan: &mut HeadScanner,
        most_bytes: usize,
    ) -> Result<Option<Self>, HeadError> {
        let Some(length) = scan.find(heard) else {
            return if heard.len() > most_bytes { Err(HeadError::TooLarge) } else { Ok(None) };
        };
        *scan = HeadScanner::default();
        let bytes = heard.split_to(length).freeze();
        let whole = bytes.clone();
        let mut space = [const { std::mem::MaybeUninit::uninit() }; MAX_FIELDS];
        let mut response = httparse::Response::new(&mut []);
        let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut response,
            &whole,
            &mut space,
        );
        let status = response.code.unwrap_or_default();
        if parsed != Ok(httparse::Status::Complete(whole.len())) || status < 100 {
            return Err(HeadError::Malformed);
        }
        let reason = response.reason.unwrap_or_default().as_bytes();
        Ok(Some(Self {
            status,
            reason: if reason.is_empty() {
                ByteRange::default()
            } else {
                ByteRange::of(reason, &whole)
            },
            is_10: response.version == Some(0),
            fields: Fields::from_httparse(bytes, response.headers, &whole),
        }))
    }

    /// A head that came over HTTP/2.
    pub fn from_parts<'f>(status: u16, fields: impl Iterator<Item = (&'f [u8], &'f [u8])>) -> Self {
        Self {
            fields: Fields::from_parts(b"", fields),
            status,
            reason: ByteRange::default(),
            is_10: false,
        }
    }

    /// What follows the status in its line.
    #[must_use]
    pub fn reason(&self) -> &[u8] {
        self.reason.read(&self.fields.bytes)
    }

    /// Whether a body may follow, apart from what the request's method says of it
    /// (RFC 9110 §6.4.1).
    #[must_use]
    pub const fn may_have_body(&self) -> bool {
        !matches!(self.status, 100..=199 | 204 | 304)
    }

    /// Whether the app would take another request.
    #[must_use]
    pub fn keeps_alive(&self) -> bool {
        let asks = |token| self.fields.lists(FieldName::Connection, token);
        !asks("close") && (!self.is_10 || asks("keep-alive"))
    }

    /// How the body ends (RFC 9112 §6.3), in answer to `HEAD` or to another method. Of lengths that
    /// agree one is left, and none beside chunks or where no body may be.
    ///
    /// # Errors
    /// [`HeadError`]: another transfer coding, or lengths that differ.
    pub fn normalize_framing(&mut self, to_head: bool) -> Result<Framing, HeadError> {
        if matches!(self.status, 100..=199 | 204) {
            self.fields.retain_first(FieldName::ContentLength, 0);
        }
        if to_head || !self.may_have_body() {
            self.fields.retain_first(FieldName::ContentLength, 1);
            return Ok(Framing::Length(0));
        }
        let mut codings = self.fields.elements(FieldName::TransferEncoding);
        if let Some(coding) = codings.next() {
            if self.is_10 || codings.next().is_some() || !coding.eq_ignore_ascii_case(b"chunked") {
                return Err(HeadError::Malformed);
            }
            drop(codings);
            self.fields.retain_first(FieldName::ContentLength, 0);
            return Ok(Framing::Chunked);
        }
        drop(codings);
        let mut lengths =
            self.fields.all(FieldName::ContentLength).map(super::body_decoder::length);
        let Some(first) = lengths.next() else { return Ok(Framing::UntilEnd) };
        let length = first.ok_or(HeadError::Malformed)?;
        if lengths.any(|another| another != first) {
            return Err(HeadError::Malformed);
        }
        drop(lengths);
        self.fields.retain_first(FieldName::ContentLength, 1);
        Ok(Framing::Length(length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(fields: &str, to_head: bool) -> Result<(Framing, usize), HeadError> {
        let text = format!("HTTP/1.1 200 Fine\r\n{fields}\r\n");
        let head =
            ResponseHead::parse(&mut text.as_bytes().into(), &mut HeadScanner::default(), 1024);
        let mut head = head?.unwrap();
        assert_eq!(head.reason(), b"Fine");
        let framing = head.normalize_framing(to_head)?;
        Ok((framing, head.fields.all(FieldName::ContentLength).count()))
    }

    #[test]
    fn a_body_ends_where_the_head_says() {
        for (fields, framing) in [
            ("", Ok((Framing::UntilEnd, 0))),
            ("Content-Length: 5\r\n", Ok((Framing::Length(5), 1))),
            ("Content-Length: 5\r\ncontent-length: 5\r\n", Ok((Framing::Length(5), 1))),
            ("Content-Length: 5\r\nContent-Length: 6\r\n", Err(HeadError::Malformed)),
            ("Content-Length: 5, 5\r\n", Err(HeadError::Malformed)),
            ("Content-Length: -5\r\n", Err(HeadError::Malformed)),
            ("Transfer-Encoding: chunked\r\n", Ok((Framing::Chunked, 0))),
            ("Content-Length: 5\r\nTransfer-Encoding: Chunked\r\n", Ok((Framing::Chunked, 0))),
            ("Transfer-Encoding: gzip, chunked\r\n", Err(HeadError::Malformed)),
        ] {
            assert_eq!(settled(fields, false), framing, "{fields}");
        }
        assert_eq!(settled("Content-Length: 5\r\n", true), Ok((Framing::Length(0), 1)));
    }
}
