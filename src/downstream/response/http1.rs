//! Responses in HTTP/1.1.

use hyper::StatusCode;

use super::{Payload, Response, Retry, date::date};
use crate::http1::{BodyEncoder, FieldName, HeadError, RequestHead, Version, write_field};

/// Returns the response to a connection beyond `max_connections`.
pub(in crate::downstream) fn too_many_connections() -> Vec<u8> {
    last_line(StatusCode::SERVICE_UNAVAILABLE, "Try again later\n", Retry::Soon)
}

/// Returns the response to bytes that are not a head. It is the last one of its connection.
pub(in crate::downstream) fn invalid_head(error: HeadError) -> Vec<u8> {
    let (status, text, retry) = match error {
        HeadError::Malformed => (StatusCode::BAD_REQUEST, "Bad Request\n", Retry::No),
        HeadError::TargetTooLong => (StatusCode::URI_TOO_LONG, "Target too long\n", Retry::No),
        HeadError::TooLarge => {
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            (status, "Header fields too large\n", Retry::No)
        }
        HeadError::Overloaded => {
            (StatusCode::SERVICE_UNAVAILABLE, "Try again later\n", Retry::Soon)
        }
    };
    last_line(status, text, retry)
}

/// Returns a whole response to no request in particular, after which the connection is closed.
fn last_line(status: StatusCode, text: &str, retry: Retry) -> Vec<u8> {
    let reason = status.canonical_reason().unwrap_or_default();
    let mut to = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).into_bytes();
    write_own_fields(retry, &mut to);
    write_field(b"Content-Length", itoa::Buffer::new().format(text.len()).as_bytes(), &mut to);
    write_field(b"Connection", b"close", &mut to);
    to.extend_from_slice(b"\r\n");
    to.extend_from_slice(text.as_bytes());
    to
}

/// Appends the fields of a response of the gate's own, framing aside.
fn write_own_fields(retry: Retry, to: &mut Vec<u8>) {
    write_field(b"Date", &date(), to);
    for (name, value) in retry.fields() {
        write_field(name.as_bytes(), value.as_bytes(), to);
    }
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
                write_own_fields(*retry, to);
                false
            }
            Payload::NoContent => {
                write_field(b"Date", &date(), to);
                false
            }
        }
    }
}

fn end_of_head(encoder: BodyEncoder, to: &mut Vec<u8>) -> (BodyEncoder, bool) {
    to.extend_from_slice(b"\r\n");
    (encoder, true)
}
