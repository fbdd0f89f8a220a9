//! A request's head.

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use memchr::memchr;

use super::{
    Field, FieldName, Fields, Framing, HeadError, HeadScanner, Malformed, fields::ByteRange,
};

/// A request line and its fields, as they came.
#[derive(Debug)]
pub struct RequestHead {
    /// The fields.
    pub fields: Fields,
    method: Method,
    target: ByteRange,
    /// The target up to its first `?`.
    path: ByteRange,
    version: Version,
}

/// What the request came over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2: its head is told in the form of HTTP/1.1.
    Http2,
}

/// The usual ones need no place.
#[derive(Clone, Copy, Debug)]
enum Method {
    Get,
    Post,
    Head,
    Other(ByteRange),
}

impl Method {
    fn of(text: &str, whole: &[u8]) -> Self {
        match text {
            "GET" => Self::Get,
            "POST" => Self::Post,
            "HEAD" => Self::Head,
            _ => Self::Other(ByteRange::of(text.as_bytes(), whole)),
        }
    }
}

/// So many fields are parsed on the stack.
const STACK_FIELDS: usize = 128;
/// So much of what has no end yet is looked at, in vain perhaps, each time that more arrives.
const EARLY_PARSE_LIMIT: usize = 1024;

impl RequestHead {
    /// Takes a head off what has arrived, once it is whole. Bounded by `most_bytes` and
    /// `most_fields`.
    ///
    /// # Errors
    /// [`HeadError`], as soon as that is certain.
    pub fn parse(
        heard: &mut BytesMut,
        scan: &mut HeadScanner,
        most_bytes: usize,
        most_fields: usize,
    ) -> Result<Option<Self>, HeadError> {
        let before = scan.has_line();
        let Some(length) = scan.find(heard) else {
            if heard.len() > most_bytes {
                let line = scan.has_line();
                return Err(if line { HeadError::TooLarge } else { HeadError::TargetTooLong });
            }
            // What begins as no request is answered now, not when it has taken too long.
            let begins = before || heard.len() > EARLY_PARSE_LIMIT || is_request(heard);
            let begins = begins && !scan.is_empty_talk() && !scan.has_bare_feed();
            return if begins { Ok(None) } else { Err(HeadError::Malformed) };
        };
        let bare = std::mem::take(scan).has_bare_feed();
        let bytes = heard.split_to(length).freeze();
        if bytes.len() > most_bytes {
            return Err(HeadError::TooLarge);
        }
        if bare {
            return Err(HeadError::Malformed);
        }
        Self::parse_whole(bytes, most_fields).map(Some)
    }

    fn parse_whole(bytes: Bytes, most_fields: usize) -> Result<Self, HeadError> {
        let mut few = [const { MaybeUninit::uninit() }; STACK_FIELDS];
        let mut many = Vec::new();
        let space = match few.get_mut(..most_fields) {
            Some(few) => few,
            None => {
                many.resize_with(most_fields, MaybeUninit::uninit);
                &mut many
            }
        };
        let whole = bytes.clone();
        let mut request = httparse::Request::new(&mut []);
        let parsed =
            request.parse_with_uninit_headers(&whole, space).map_err(|error| match error {
                httparse::Error::TooManyHeaders => HeadError::TooLarge,
                _ => HeadError::Malformed,
            })?;
        let target = request.path.unwrap_or_default();
        if parsed != httparse::Status::Complete(whole.len()) {
            return Err(HeadError::Malformed);
        }
        Ok(Self {
            method: Method::of(request.method.unwrap_or_default(), &whole),
            target: ByteRange::of(target.as_bytes(), &whole),
            path: ByteRange::of(path_of(target.as_bytes()), &whole),
            version: if request.version == Some(0) { Version::Http10 } else { Version::Http11 },
            fields: Fields::from_httparse(bytes, request.headers, &whole),
        })
    }

    /// A head that came over HTTP/2, in the form that HTTP/1.1 would have given it.
    pub fn from_http2<'f>(
        method: &str,
        target: &str,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
    ) -> Self {
        let line = [method, " ", target, "\r\n"].concat();
        let fields = Fields::from_parts(line.as_bytes(), fields);
        let (method, rest) = line.split_at(method.len());
        let target = rest.get(1..).and_then(|rest| rest.get(..target.len())).unwrap_or_default();
        Self {
            method: Method::of(method, line.as_bytes()),
            target: ByteRange::of(target.as_bytes(), line.as_bytes()),
            path: ByteRange::of(path_of(target.as_bytes()), line.as_bytes()),
            version: Version::Http2,
            fields,
        }
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &str {
        match self.method {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Head => "HEAD",
            Method::Other(place) => {
                std::str::from_utf8(place.read(&self.fields.bytes)).unwrap_or_default()
            }
        }
    }

    /// Path and query, byte for byte.
    #[must_use]
    pub fn target(&self) -> &[u8] {
        self.target.read(&self.fields.bytes)
    }

    /// The target up to its first `?`.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        self.path.read(&self.fields.bytes)
    }

    /// What it came over.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Whether the sender would like to send another request.
    #[must_use]
    pub fn keeps_alive(&self) -> bool {
        match self.version {
            _ if self.fields.lists(FieldName::Connection, "close") => false,
            Version::Http10 => self.fields.lists(FieldName::Connection, "keep-alive"),
            Version::Http11 | Version::Http2 => true,
        }
    }

    /// Whether the sender waits to be told that its body is wanted.
    #[must_use]
    pub fn expects_continue(&self) -> bool {
        self.version == Version::Http11 && self.fields.lists(FieldName::Expect, "100-continue")
    }

    /// How the body ends. What can be read in two ways is refused: a gate that forwards must not
    /// guess what was meant.
    ///
    /// # Errors
    /// [`Malformed`]: no target of ours, no or several hosts, a length that is none or stands
    /// twice, a transfer coding other than one `chunked`, or both.
    pub fn framing(&self) -> Result<Framing, Malformed> {
        let target = self.target();
        if !target.starts_with(b"/") {
            return Err("target_form");
        }
        if memchr(b'#', target).is_some() {
            return Err("fragment");
        }
        let mut seen = FramingHeaders::default();
        for field in self.fields.iter() {
            seen.add(field)?;
        }
        seen.framing(self.version)
    }
}

/// The fields that say how a message ends, and the one that must be there.
#[derive(Default)]
struct FramingHeaders {
    hosts: usize,
    length: Option<u64>,
    chunked: bool,
}

impl FramingHeaders {
    fn add(&mut self, field: Field<'_>) -> Result<(), Malformed> {
        match field.name {
            FieldName::Host => self.hosts = self.hosts.saturating_add(1),
            FieldName::ContentLength => {
                let length = super::body_decoder::length(field.value).ok_or("content_length")?;
                if self.length.replace(length).is_some() {
                    return Err("content_length");
                }
            }
            FieldName::TransferEncoding => {
                if self.chunked || !field.value.eq_ignore_ascii_case(b"chunked") {
                    return Err("transfer_encoding");
                }
                self.chunked = true;
            }
            _ => {}
        }
        Ok(())
    }

    fn framing(&self, version: Version) -> Result<Framing, Malformed> {
        match (self.hosts, self.length, self.chunked) {
            (0, ..) if version == Version::Http11 => Err("missing_host"),
            (2.., ..) => Err("repeated_host"),
            (_, Some(_), true) => Err("length_and_transfer_encoding"),
            (_, None, true) if version == Version::Http10 => Err("transfer_encoding"),
            (_, None, true) => Ok(Framing::Chunked),
            (_, length, false) => Ok(Framing::Length(length.unwrap_or(0))),
        }
    }
}

fn path_of(target: &[u8]) -> &[u8] {
    memchr(b'?', target).and_then(|end| target.get(..end)).unwrap_or(target)
}

/// Whether this may still become a request: the first bytes are looked at.
fn is_request(bytes: &[u8]) -> bool {
    let mut fields = [];
    let begins = httparse::Request::new(&mut fields).parse(bytes);
    begins.is_ok() || begins == Err(httparse::Error::TooManyHeaders)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<RequestHead>, HeadError> {
        RequestHead::parse(&mut text.as_bytes().into(), &mut HeadScanner::default(), 8192, 100)
    }

    fn framed(text: &str) -> Result<Framing, Malformed> {
        read(text).unwrap().unwrap().framing()
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_malformed() {
        for (head, what) in [
            ("GET / HTTP/1.1\r\n\r\n", "missing_host"),
            ("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", "repeated_host"),
            ("GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "target_form"),
            ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "target_form"),
            ("GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", "fragment"),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
                "content_length",
            ),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx", "content_length"),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
                "transfer_encoding",
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
                "transfer_encoding",
            ),
            (
                "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
                "transfer_encoding",
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                "length_and_transfer_encoding",
            ),
        ] {
            assert_eq!(framed(head), Err(what), "{head}");
        }
        assert_eq!(framed("GET / HTTP/1.0\r\n\r\n"), Ok(Framing::Length(0)));
    }

    #[test]
    fn what_is_no_http_is_unreadable_at_once() {
        for text in [
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\nHost: a",
            "GET / HTTP/1.1\r\nHost: a\n\n",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
            "GET /\r\n\r\n",
            "\x16\x03\x01",
            "nonsense\r\n",
            "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n",
        ] {
            assert_eq!(read(text).unwrap_err(), HeadError::Malformed, "{text:?}");
        }
    }

    #[test]
    fn a_head_has_its_bounds() {
        let long = |length: usize| "x".repeat(length);
        let line = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", long(9000));
        assert_eq!(read(&line).unwrap_err(), HeadError::TooLarge);
        assert_eq!(read(&line[..8200]).unwrap_err(), HeadError::TargetTooLong);
        let field = format!("GET / HTTP/1.1\r\nA: {}", long(9000));
        assert_eq!(read(&field).unwrap_err(), HeadError::TooLarge);
        let fields = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(101));
        assert_eq!(read(&fields).unwrap_err(), HeadError::TooLarge);
    }

    #[test]
    fn a_head_that_was_told_reads_like_one_that_came() {
        let fields = [(&b"host"[..], &b"h"[..]), (b"x-a", b"1")];
        let head = RequestHead::from_http2("POST", "/a?b=c", fields.into_iter());
        assert_eq!(
            (head.method(), head.path(), head.target()),
            ("POST", &b"/a"[..], &b"/a?b=c"[..])
        );
        assert_eq!(head.fields.get(FieldName::Host), Some(&b"h"[..]));
        assert!(head.fields.iter().map(|field| (field.raw_name, field.value)).eq(fields));
    }
}
