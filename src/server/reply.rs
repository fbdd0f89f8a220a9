//! What the sender is told.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::{
    Response, StatusCode,
    body::{Body, Frame, SizeHint},
    header::{CONNECTION, CONTENT_TYPE, HeaderValue},
};

use crate::forward::{Failure, Relayed};
use crate::gate::Refusal;
use crate::routes::Statuses;

/// The body of an answer: one constant line of ours, or what the app says.
pub(super) enum Reply {
    Line(&'static str),
    Relayed(Relayed),
}

/// A refusal, answered. The one place where a reason becomes a status: a new reason does not
/// compile until it has one.
pub(super) fn refusal(reason: Refusal, statuses: Statuses) -> Response<Reply> {
    match reason {
        Refusal::MissingSignature => line(
            status(statuses.missing),
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
        | Refusal::UnknownKey => line(status(statuses.mismatch), "Signature does not match\n"),
        Refusal::NoFormParams => line(StatusCode::BAD_REQUEST, "Bad Request - no form params\n"),
        Refusal::BodyTooLarge => closing(StatusCode::PAYLOAD_TOO_LARGE, "Body too large\n"),
        Refusal::BodyTimeout => closing(StatusCode::REQUEST_TIMEOUT, "Body too slow\n"),
        Refusal::BodyIncomplete => malformed(),
    }
}

/// No answer from the app.
pub(super) fn failure(failure: Failure) -> Response<Reply> {
    match failure {
        Failure::Unreachable | Failure::Failed => {
            line(StatusCode::BAD_GATEWAY, "The app did not answer\n")
        }
        Failure::Timeout => line(StatusCode::GATEWAY_TIMEOUT, "The app did not answer in time\n"),
    }
}

/// No proper HTTP. Where such a message ends is anybody's guess, so the connection ends with it.
pub(super) fn malformed() -> Response<Reply> {
    closing(StatusCode::BAD_REQUEST, "Bad Request\n")
}

/// Asks for the connection to be closed after this answer.
pub(super) fn close<B>(mut response: Response<B>) -> Response<B> {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn closing(status: StatusCode, text: &'static str) -> Response<Reply> {
    close(line(status, text))
}

fn line(status: StatusCode, text: &'static str) -> Response<Reply> {
    let mut response = Response::new(Reply::Line(text));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

/// The configuration takes 400 to 599 only.
fn status(number: u16) -> StatusCode {
    StatusCode::from_u16(number).unwrap_or(StatusCode::FORBIDDEN)
}

impl Body for Reply {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match &mut *self {
            Self::Line("") => Poll::Ready(None),
            Self::Line(text) => {
                let data = Bytes::from_static(std::mem::take(text).as_bytes());
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Self::Relayed(relayed) => Pin::new(relayed).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Line(text) => text.is_empty(),
            Self::Relayed(relayed) => relayed.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Line(text) => SizeHint::with_exact(u64::try_from(text.len()).unwrap_or(0)),
            Self::Relayed(relayed) => relayed.size_hint(),
        }
    }
}
