//! Responses in HTTP/1.1.

use hyper::StatusCode;

use super::{CONTENT_TYPE, Payload, Response, date::date};
use crate::http1::{BodyEncoder, FieldName, HeadError, RequestHead, Version, write_field};

/// The response to a connection beyond `max_connections`.
pub(in crate::downstream) const OVERLOADED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    Retry-After: 1\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 16\r\n\r\nTry again later\n";

/// Returns the response to bytes that are not a head. It is the last one of its connection.
pub(in crate::downstream) fn invalid_head(error: HeadError) -> Vec<u8> {
    let (status, text) = match error {
        HeadError::Malformed => (StatusCode::BAD_REQUEST, "Bad Request\n"),
        HeadError::TargetTooLong => (StatusCode::URI_TOO_LONG, "Target too long\n"),
        HeadError::TooLarge => {
            (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "Header fields too large\n")
        }
        HeadError::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "Try again later\n"),
    };
    let reason = status.canonical_reason().unwrap_or_default();
    let (status, length, date) = (status.as_u16(), text.len(), date());
    let date = String::from_utf8_lossy(&date);
    format!(
        "HTTP/1.1 {status} {reason}\r\nDate: {date}\r\nContent-Type: {CONTENT_TYPE}\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{text}"
    )
    .into_bytes()
}

impl Response {
    /// Appends the head and returns the encoder of the body, and whether the connection may continue
    /// after it. `keep_alive` says whether the request allows that.
    pub(in crate::downstream) fn write_head(
        &self,
        request: &RequestHead,
        keep_alive: bool,
        to: &mut Vec<u8>,
    ) -> (BodyEncoder, bool) {
        let is_http10 = request.version() == Version::Http10;
        self.write_status_line(is_http10, to);
        let has_length = self.write_fields(to);
        let mut keep_alive = keep_alive && !self.closes;
        let encoder = match self.remaining() {
            _ if self.status() == 101 => return end_of_head(BodyEncoder::empty(), to),
            _ if !self.may_have_body() => BodyEncoder::empty(),
            Some(length) => {
                if !has_length {
                    let mut digits = itoa::Buffer::new();
                    write_field(b"Content-Length", digits.format(length).as_bytes(), to);
                }
                BodyEncoder::length(length)
            }
            None if is_http10 => {
                keep_alive = false;
                BodyEncoder::until_close()
            }
            None => {
                write_field(b"Transfer-Encoding", b"chunked", to);
                BodyEncoder::chunked()
            }
        };
        if !keep_alive {
            write_field(b"Connection", b"close", to);
        } else if is_http10 {
            write_field(b"Connection", b"keep-alive", to);
        }
        to.extend_from_slice(b"\r\n");
        (encoder, keep_alive)
    }

    fn write_status_line(&self, is_http10: bool, to: &mut Vec<u8>) {
        to.extend_from_slice(if is_http10 { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
        to.extend_from_slice(itoa::Buffer::new().format(self.status()).as_bytes());
        to.push(b' ');
        let canonical = StatusCode::from_u16(self.status()).ok();
        let canonical = canonical.and_then(|status| status.canonical_reason()).unwrap_or_default();
        match &self.payload {
            Payload::App(response) if !response.head.reason().is_empty() => {
                to.extend_from_slice(response.head.reason());
            }
            _ => to.extend_from_slice(canonical.as_bytes()),
        }
        to.extend_from_slice(b"\r\n");
    }

    /// Appends the fields, framing aside; returns whether a length is among them.
    fn write_fields(&self, to: &mut Vec<u8>) -> bool {
        match &self.payload {
            Payload::App(response) => {
                for field in response.fields() {
                    write_field(field.raw_name, field.value, to);
                }
                response.head.fields.contains(FieldName::ContentLength)
            }
            Payload::Line(_, retry) => {
                write_field(b"Date", &date(), to);
                for (name, value) in retry.fields() {
                    write_field(name.as_bytes(), value.as_bytes(), to);
                }
                false
            }
        }
    }
}

fn end_of_head(encoder: BodyEncoder, to: &mut Vec<u8>) -> (BodyEncoder, bool) {
    to.extend_from_slice(b"\r\n");
    (encoder, true)
}
