//! The head of a request.

use std::{mem::MaybeUninit, sync::Arc};

use bytes::{Bytes, BytesMut};
use memchr::memchr;

use super::{
    Field, FieldName, Fields, Framing, HeadError, HeadScanner, Malformed, body_decoder,
    fields::ByteRange,
};

/// A request line and its fields, as received.
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

/// The protocol that a request was received over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2; its head is kept in the form of HTTP/1.1.
    Http2,
}

/// A method. The common ones are compared once, at parse time.
#[derive(Clone, Copy, Debug)]
enum Method {
    Get,
    Post,
    Head,
    Other(ByteRange),
}

impl Method {
    fn parse(text: &str, whole: &[u8]) -> Self {
        match text {
            "GET" => Self::Get,
            "POST" => Self::Post,
            "HEAD" => Self::Head,
            _ => Self::Other(ByteRange::of(text.as_bytes(), whole)),
        }
    }
}

/// Up to this number of fields is parsed on the stack.
const STACK_FIELDS: usize = 128;
/// An incomplete head up to this size is parsed on each read, so that bytes that are not HTTP are
/// answered at once and not after `head_timeout`.
const EARLY_PARSE_LIMIT: usize = 1024;

impl RequestHead {
    /// Takes a head off received bytes. Returns `None` while its end has not been received.
    ///
    /// # Errors
    /// [`HeadError`], as early as it is certain: for a head of more than `max_bytes` bytes or
    /// `max_fields` fields too.
    pub fn parse(
        read_buf: &mut BytesMut,
        scanner: &mut HeadScanner,
        max_bytes: usize,
        max_fields: usize,
    ) -> Result<Option<Self>, HeadError> {
        let had_first_line = scanner.has_first_line();
        let end = scanner.find(read_buf);
        if end.unwrap_or(read_buf.len()) > max_bytes {
            let target = scanner.first_line_exceeds(max_bytes, read_buf);
            return Err(if target { HeadError::TargetTooLong } else { HeadError::TooLarge });
        }
        if scanner.has_bare_feed() || scanner.has_too_many_empty_lines() {
            return Err(HeadError::Malformed);
        }
        let Some(length) = end else {
            let may_be_request =
                had_first_line || read_buf.len() > EARLY_PARSE_LIMIT || begins_request(read_buf);
            return if may_be_request { Ok(None) } else { Err(HeadError::Malformed) };
        };
        *scanner = HeadScanner::default();
        Self::parse_complete(read_buf.split_to(length).freeze(), max_fields).map(Some)
    }

    fn parse_complete(bytes: Bytes, max_fields: usize) -> Result<Self, HeadError> {
        let mut on_stack = [const { MaybeUninit::uninit() }; STACK_FIELDS];
        let mut on_heap = Vec::new();
        let space = match on_stack.get_mut(..max_fields) {
            Some(on_stack) => on_stack,
            None => {
                on_heap.resize_with(max_fields, MaybeUninit::uninit);
                &mut on_heap
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
            method: Method::parse(request.method.unwrap_or_default(), &whole),
            target: ByteRange::of(target.as_bytes(), &whole),
            path: ByteRange::of(path_of(target.as_bytes()), &whole),
            version: if request.version == Some(0) { Version::Http10 } else { Version::Http11 },
            fields: Fields::from_httparse(bytes, request.headers, &whole),
        })
    }

    /// Builds a head that was received over HTTP/2, in the form that HTTP/1.1 would have given it.
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
            method: Method::parse(method, line.as_bytes()),
            target: ByteRange::of(target.as_bytes(), line.as_bytes()),
            path: ByteRange::of(path_of(target.as_bytes()), line.as_bytes()),
            version: Version::Http2,
            fields,
        }
    }

    /// Returns the method.
    #[must_use]
    pub fn method(&self) -> &str {
        match self.method {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Head => "HEAD",
            Method::Other(range) => {
                std::str::from_utf8(range.slice(&self.fields.bytes)).unwrap_or_default()
            }
        }
    }

    /// Returns path and query, byte for byte.
    #[must_use]
    pub fn target(&self) -> &[u8] {
        self.target.slice(&self.fields.bytes)
    }

    /// Returns the target up to its first `?`.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        self.path.slice(&self.fields.bytes)
    }

    /// Returns the protocol that the request was received over.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Returns whether the client keeps the connection open after this request (RFC 9112 §9.3).
    #[must_use]
    pub fn keeps_alive(&self) -> bool {
        match self.version {
            _ if self.fields.lists(FieldName::Connection, "close") => false,
            Version::Http10 => self.fields.lists(FieldName::Connection, "keep-alive"),
            Version::Http11 | Version::Http2 => true,
        }
    }

    /// Returns whether the client waits for `100 Continue` before it sends the body
    /// (RFC 9110 §10.1.1).
    #[must_use]
    pub fn expects_continue(&self) -> bool {
        self.version == Version::Http11 && self.fields.lists(FieldName::Expect, "100-continue")
    }

    /// Returns the value of `Host`, unless it is missing or empty.
    #[must_use]
    pub fn host(&self) -> Option<&[u8]> {
        self.fields.get(FieldName::Host).filter(|host| !host.is_empty())
    }

    /// Returns whether `Host`, if there is one, is a host with an optional port (RFC 9110 §7.2).
    #[must_use]
    pub fn has_valid_host(&self) -> bool {
        self.host().is_none_or(is_host)
    }

    fn framing(&self) -> Result<Framing, Malformed> {
        let target = self.target();
        if !target.starts_with(b"/") {
            return Err("target_form");
        }
        if memchr(b'#', target).is_some() {
            return Err("fragment");
        }
        let mut found = FramingFields::default();
        for field in self.fields.iter() {
            found.add(field)?;
        }
        found.framing(self.version)
    }
}

/// A request head whose framing is unambiguous, over HTTP/1 and HTTP/2 alike. The gate takes no
/// other: a proxy must not guess where a body ends.
#[derive(Clone, Debug)]
pub struct FramedHead {
    head: Arc<RequestHead>,
    framing: Framing,
}

impl FramedHead {
    /// Checks a head (RFC 9112 §3.2 and §6, RFC 9113 §8.2.2).
    ///
    /// # Errors
    /// [`Malformed`]: a target that is not a path, no or several `Host` fields, an invalid or
    /// repeated `Content-Length`, a transfer coding other than one `chunked`, or both.
    pub fn new(head: Arc<RequestHead>) -> Result<Self, Malformed> {
        let framing = head.framing()?;
        Ok(Self { head, framing })
    }

    /// Returns the head.
    #[must_use]
    pub const fn head(&self) -> &Arc<RequestHead> {
        &self.head
    }

    /// Returns how the body ends.
    #[must_use]
    pub const fn framing(&self) -> Framing {
        self.framing
    }
}

/// The fields that decide framing, and the `Host` fields.
#[derive(Default)]
struct FramingFields {
    hosts: usize,
    length: Option<u64>,
    chunked: bool,
}

impl FramingFields {
    fn add(&mut self, field: Field<'_>) -> Result<(), Malformed> {
        match field.name {
            FieldName::Host => self.hosts = self.hosts.saturating_add(1),
            FieldName::ContentLength => {
                let length = body_decoder::parse_length(field.value).ok_or("content_length")?;
                // Equal lengths are refused too: RFC 9112 §6.3 permits either.
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
        match (version, self.length, self.chunked) {
            _ if self.hosts > 1 => Err("repeated_host"),
            (Version::Http11 | Version::Http2, ..) if self.hosts == 0 => Err("missing_host"),
            (_, Some(_), true) => Err("length_and_transfer_encoding"),
            (Version::Http11, None, true) => Ok(Framing::Chunked),
            (Version::Http10 | Version::Http2, None, true) => Err("transfer_encoding"),
            (_, Some(length), false) => Ok(Framing::Length(length)),
            (Version::Http2, None, false) => Ok(Framing::UntilEnd),
            (Version::Http10 | Version::Http11, None, false) => Ok(Framing::Length(0)),
        }
    }
}

/// Accepts a name, an IPv4 address or a bracketed IPv6 address, with an optional port.
fn is_host(text: &[u8]) -> bool {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%".contains(byte);
    let is_ipv6 = |byte: &u8| byte.is_ascii_hexdigit() || b":.".contains(byte);
    let (host, port) = match text.strip_prefix(b"[") {
        Some(rest) => match memchr(b']', rest).and_then(|end| rest.split_at_checked(end)) {
            Some((host, rest)) if host.iter().all(is_ipv6) => (host, rest.get(1..)),
            _ => return false,
        },
        None => {
            let (host, port) =
                text.split_at_checked(memchr(b':', text).unwrap_or(text.len())).unwrap_or_default();
            if !host.iter().all(is_name) {
                return false;
            }
            (host, Some(port))
        }
    };
    let is_port = |port: &[u8]| match port {
        [] => true,
        [b':', digits @ ..] => digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    !host.is_empty() && port.is_some_and(is_port)
}

fn path_of(target: &[u8]) -> &[u8] {
    memchr(b'?', target).and_then(|end| target.get(..end)).unwrap_or(target)
}

/// Returns whether these first bytes may become a request.
fn begins_request(bytes: &[u8]) -> bool {
    let mut fields = [];
    let parsed = httparse::Request::new(&mut fields).parse(bytes);
    parsed.is_ok() || parsed == Err(httparse::Error::TooManyHeaders)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<RequestHead>, HeadError> {
        RequestHead::parse(&mut text.as_bytes().into(), &mut HeadScanner::default(), 8192, 100)
    }

    fn framed(text: &str) -> Result<Framing, Malformed> {
        FramedHead::new(Arc::new(read(text).unwrap().unwrap())).map(|head| head.framing())
    }

    #[test]
    fn a_head_with_ambiguous_framing_is_malformed() {
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
    fn bytes_that_are_not_http_are_refused_at_once() {
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
    fn a_host_is_a_name_or_an_address_with_an_optional_port() {
        for host in ["a", "a.b-c_d", "a:443", "a:", "127.0.0.1", "[::1]", "[::1]:80", "%61"] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in ["", "a b", "a/b", "a@b", "a,b", "a:b", ":80", "[::1", "[x]", "[]", "[::1]x"] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn a_head_is_limited_in_bytes_and_fields() {
        let long = |length: usize| "x".repeat(length);
        let line = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", long(9000));
        assert_eq!(read(&line).unwrap_err(), HeadError::TargetTooLong);
        assert_eq!(read(&line[..8200]).unwrap_err(), HeadError::TargetTooLong);
        let field = format!("GET / HTTP/1.1\r\nA: {}", long(9000));
        assert_eq!(read(&field).unwrap_err(), HeadError::TooLarge);
        let fields = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(101));
        assert_eq!(read(&fields).unwrap_err(), HeadError::TooLarge);
    }

    #[test]
    fn an_http2_head_reads_like_an_http1_head() {
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
