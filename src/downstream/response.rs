//! What the sender is told.

use std::{
    io::{self, Write as _},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::{
    StatusCode,
    body::{Body, Frame, SizeHint},
    header::{HeaderName, HeaderValue},
};

use super::exchange::Exchange;
use crate::gate::Refusal;
use crate::http1::{FieldName, HeadError, RequestHead, Version, write_field};
use crate::routes::Statuses;
use crate::telemetry::Verdict;
use crate::upstream::{Failure, Tunnel, UpstreamResponse};

/// An answer. When it is dropped, the exchange is over and told of.
pub(super) struct Response {
    text: Payload,
    /// The connection ends with it.
    closes: bool,
    exchange: Exchange,
}

/// What the sender is told.
enum Payload {
    /// One constant line of ours, and whether to try again.
    Line(&'static str, Retry),
    /// What the app says.
    App(Box<UpstreamResponse>),
}

/// Whether another try may help.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Retry {
    No,
    Soon,
}

impl Retry {
    /// The fields of a line of ours.
    const fn fields(self) -> &'static [(&'static str, &'static str)] {
        const FIELDS: &[(&str, &str)] = &[("Content-Type", PLAIN), ("Retry-After", "1")];
        match self {
            Self::No => FIELDS.split_at(1).0,
            Self::Soon => FIELDS,
        }
    }
}

/// How an answer's body ends in HTTP/1.1 (RFC 9112 §6.3).
#[derive(Clone, Copy)]
pub(super) struct Ending {
    body: Framed,
    /// The connection ends with it.
    last: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Framed {
    /// There is none.
    Empty,
    /// By its length, or with the connection.
    Plain,
    Chunked,
}

/// What a connection is told that there is no room for.
pub(super) const OVERLOADED_RESPONSE: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n\
    Connection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 16\r\n\r\n\
    Try again later\n";

/// A refusal, answered. The one place where a reason becomes a status: a new reason does not
/// compile until it has one.
pub(super) fn refusal(reason: Refusal, statuses: Statuses, exchange: Exchange) -> Response {
    let (status, text) = match reason {
        Refusal::MissingSignature => (
            configured(statuses.missing),
            "No X-Twilio-Signature. This request likely did not originate from Twilio.\n",
        ),
        Refusal::UnknownRoute
        | Refusal::UnknownHost
        | Refusal::MethodNotAllowed
        | Refusal::UnsafePath
        | Refusal::MalformedSignature
        | Refusal::BodyNotCovered
        | Refusal::SignatureMismatch
        | Refusal::AccountMismatch
        | Refusal::UnknownKey
        | Refusal::Replayed => (configured(statuses.mismatch), "Signature does not match\n"),
        Refusal::NoFormParams => (StatusCode::BAD_REQUEST, "Bad Request - no form params\n"),
        Refusal::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "Body too large\n"),
        Refusal::BodyTimeout => (StatusCode::REQUEST_TIMEOUT, "Body too slow\n"),
        Refusal::BodyIncomplete => return malformed(exchange),
        Refusal::Overloaded => return overloaded(exchange),
    };
    let closes = matches!(reason, Refusal::BodyTooLarge | Refusal::BodyTimeout); // with the rest unread
    Response { closes, ..line(status, text, exchange) }
}

/// No answer from the app.
pub(super) fn failure(failure: Failure, exchange: Exchange) -> Response {
    match failure {
        Failure::Unreachable | Failure::Failed => {
            line(StatusCode::BAD_GATEWAY, "The app did not answer\n", exchange)
        }
        Failure::Timeout => {
            line(StatusCode::GATEWAY_TIMEOUT, "The app did not answer in time\n", exchange)
        }
        Failure::Overloaded => overloaded(exchange),
    }
}

/// What the app says, as it says it.
pub(super) fn relayed(answer: Box<UpstreamResponse>, mut exchange: Exchange) -> Response {
    exchange.outcome.status = answer.head.status;
    Response { text: Payload::App(answer), closes: false, exchange }
}

/// No proper HTTP. Where such a message ends is anybody's guess, so the connection ends with it.
pub(super) fn malformed(exchange: Exchange) -> Response {
    Response { closes: true, ..line(StatusCode::BAD_REQUEST, "Bad Request\n", exchange) }
}

fn overloaded(exchange: Exchange) -> Response {
    let mut reply = line(StatusCode::SERVICE_UNAVAILABLE, "Try again later\n", exchange);
    reply.text = Payload::Line("Try again later\n", Retry::Soon);
    reply
}

fn line(status: StatusCode, text: &'static str, mut exchange: Exchange) -> Response {
    exchange.outcome.status = status.as_u16();
    Response { text: Payload::Line(text, Retry::No), closes: false, exchange }
}

/// No head that could be judged: this is the last thing to be said.
pub(super) fn unreadable(why: HeadError) -> Vec<u8> {
    let (status, text) = match why {
        HeadError::Malformed => (StatusCode::BAD_REQUEST, "Bad Request\n"),
        HeadError::TargetTooLong => (StatusCode::URI_TOO_LONG, "Target too long\n"),
        HeadError::TooLarge => {
            (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "Header fields too large\n")
        }
    };
    let reason = status.canonical_reason().unwrap_or_default();
    let (status, length) = (status.as_u16(), text.len());
    format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: {PLAIN}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{text}"
    )
    .into_bytes()
}

const PLAIN: &str = "text/plain; charset=utf-8";

/// The configuration takes 400 to 599 only.
fn configured(number: u16) -> StatusCode {
    StatusCode::from_u16(number).unwrap_or(StatusCode::FORBIDDEN)
}

impl Response {
    /// The tunnel that begins behind this answer.
    pub(super) fn tunnel(&mut self) -> Option<Tunnel> {
        match &mut self.text {
            Payload::App(answer) => answer.tunnel.take(),
            Payload::Line(..) => None,
        }
    }

    const fn status(&self) -> u16 {
        self.exchange.outcome.status
    }

    fn may_have_body(&self) -> bool {
        match &self.text {
            Payload::Line(..) => true,
            Payload::App(answer) => answer.head.may_have_body(),
        }
    }

    /// How many bytes of body are to come, where that is known.
    fn length(&self) -> Option<u64> {
        match &self.text {
            Payload::Line(text, _) => u64::try_from(text.len()).ok(),
            Payload::App(answer) => answer.body.length(),
        }
    }

    /// Writes its head as HTTP/1.1 has it. `stays` says that the connection may go on after it.
    pub(super) fn write_head(
        &self,
        request: &RequestHead,
        stays: bool,
        to: &mut Vec<u8>,
    ) -> Ending {
        let is_10 = request.version() == Version::Http10;
        self.write_status(is_10, to);
        let has_length = match &self.text {
            Payload::App(answer) => {
                answer.write_fields(to);
                answer.head.fields.contains(FieldName::ContentLength)
            }
            Payload::Line(_, retry) => {
                retry.fields().iter().for_each(|(name, value)| {
                    write_field(name.as_bytes(), value.as_bytes(), to);
                });
                false
            }
        };
        let mut last = self.closes || !stays;
        let mut body = Framed::Plain;
        match self.length() {
            _ if self.status() == 101 => (body, last) = (Framed::Empty, false),
            _ if request.method() == "HEAD" || !self.may_have_body() => body = Framed::Empty,
            _ if has_length => {}
            Some(length) => {
                to.extend_from_slice(b"Content-Length: ");
                to.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
                to.extend_from_slice(b"\r\n");
            }
            None if is_10 => last = true,
            None => {
                to.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
                body = Framed::Chunked;
            }
        }
        if last {
            to.extend_from_slice(b"Connection: close\r\n");
        } else if is_10 {
            to.extend_from_slice(b"Connection: keep-alive\r\n");
        }
        to.extend_from_slice(b"\r\n");
        Ending { body, last }
    }

    fn write_status(&self, is_10: bool, to: &mut Vec<u8>) {
        to.extend_from_slice(if is_10 { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
        to.extend_from_slice(itoa::Buffer::new().format(self.status()).as_bytes());
        to.push(b' ');
        let usual = StatusCode::from_u16(self.status()).ok();
        let usual = usual.and_then(|status| status.canonical_reason()).unwrap_or_default();
        match &self.text {
            Payload::App(answer) if !answer.head.reason().is_empty() => {
                to.extend_from_slice(answer.head.reason());
            }
            _ => to.extend_from_slice(usual.as_bytes()),
        }
        to.extend_from_slice(b"\r\n");
    }

    /// As hyper sends it over HTTP/2.
    pub(super) fn into_response(mut self) -> hyper::Response<Self> {
        let mut response = hyper::Response::new(());
        *response.status_mut() =
            StatusCode::from_u16(self.status()).unwrap_or(StatusCode::BAD_GATEWAY);
        let mut put = |name: &[u8], value: &[u8]| {
            let name = HeaderName::from_bytes(name);
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
                response.headers_mut().append(name, value);
            }
        };
        match &self.text {
            Payload::App(answer) => {
                answer.fields().for_each(|field| put(field.raw_name, field.value));
            }
            Payload::Line(_, retry) => {
                retry.fields().iter().for_each(|(name, value)| {
                    put(name.as_bytes(), value.as_bytes());
                });
            }
        }
        if let Payload::Line(text, _) = &mut self.text
            && self.exchange.outcome.head.method() == "HEAD"
        {
            *text = "";
        }
        response.map(|()| self)
    }

    /// The next piece of its body; nothing at the end.
    pub(super) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let data = match &mut self.text {
            Payload::Line("", _) => Poll::Ready(None),
            Payload::Line(text, _) => {
                Poll::Ready(Some(Ok(Bytes::from_static(std::mem::take(text).as_bytes()))))
            }
            Payload::App(answer) => answer.body.poll_data(cx),
        };
        if let Poll::Ready(Some(data)) = &data {
            self.note(data);
        }
        data
    }

    /// Notes what is sent, and whether the app broke off.
    fn note(&mut self, data: &io::Result<Bytes>) {
        let outcome = &mut self.exchange.outcome;
        match data {
            Ok(data) => {
                let length = u64::try_from(data.len()).unwrap_or(0);
                outcome.sent = outcome.sent.saturating_add(length);
            }
            Err(_) => {
                if let Verdict::Admitted(proven) = &outcome.verdict {
                    outcome.verdict = Verdict::Failed(proven.clone(), Failure::Failed);
                }
            }
        }
    }
}

impl Ending {
    pub(super) const fn is_last(self) -> bool {
        self.last
    }

    pub(super) fn has_body(self) -> bool {
        self.body != Framed::Empty
    }

    /// What stands before a piece of so many bytes.
    pub(super) fn begin_piece(self, length: usize, to: &mut Vec<u8>) {
        if self.body == Framed::Chunked && length > 0 {
            let _never_fails = write!(to, "{length:x}\r\n");
        }
    }

    /// What stands behind it. An empty piece would be the last one.
    pub(super) fn end_piece(self, length: usize, to: &mut Vec<u8>) {
        if self.body == Framed::Chunked && length > 0 {
            to.extend_from_slice(b"\r\n");
        }
    }

    /// What stands behind the last piece.
    pub(super) fn end(self, to: &mut Vec<u8>) {
        if self.body == Framed::Chunked {
            to.extend_from_slice(b"0\r\n\r\n");
        }
    }
}

impl Body for Response {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let data = self.poll_data(cx);
        if data.is_ready() {
            self.exchange.moved();
        }
        data.map(|data| data.map(|data| data.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.length() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.length().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
