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
    header::{CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER},
};

use super::exchange::Telling;
use crate::forward::{Failure, Relayed};
use crate::gate::Refusal;
use crate::observe::Verdict;
use crate::routes::Statuses;

/// The body of an answer. When it is dropped, the exchange is over and told of.
pub(super) struct Reply {
    text: Text,
    telling: Telling,
}

/// One constant line of ours, or what the app says.
enum Text {
    Line(&'static str),
    Relayed(Relayed),
}

/// What a connection is told that there is no room for.
pub(super) const NO_ROOM: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n\
    Connection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 16\r\n\r\n\
    Try again later\n";

/// A refusal, answered. The one place where a reason becomes a status: a new reason does not
/// compile until it has one.
pub(super) fn refusal(reason: Refusal, statuses: Statuses, telling: Telling) -> Response<Reply> {
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
        Refusal::BodyIncomplete => return malformed(telling),
        Refusal::Overloaded => return overloaded(telling),
    };
    let response = line(status, text, telling);
    let rest_is_unread = matches!(reason, Refusal::BodyTooLarge | Refusal::BodyTimeout);
    if rest_is_unread { close(response) } else { response }
}

/// No answer from the app.
pub(super) fn failure(failure: Failure, telling: Telling) -> Response<Reply> {
    match failure {
        Failure::Unreachable | Failure::Failed => {
            line(StatusCode::BAD_GATEWAY, "The app did not answer\n", telling)
        }
        Failure::Timeout => {
            line(StatusCode::GATEWAY_TIMEOUT, "The app did not answer in time\n", telling)
        }
        Failure::Overloaded => overloaded(telling),
    }
}

/// What the app says, as it says it.
pub(super) fn relayed(response: Response<Relayed>, mut telling: Telling) -> Response<Reply> {
    telling.outcome.status = response.status().as_u16();
    response.map(|relayed| Reply { text: Text::Relayed(relayed), telling })
}

/// No proper HTTP. Where such a message ends is anybody's guess, so the connection ends with it.
pub(super) fn malformed(telling: Telling) -> Response<Reply> {
    close(line(StatusCode::BAD_REQUEST, "Bad Request\n", telling))
}

fn overloaded(telling: Telling) -> Response<Reply> {
    let mut response = line(StatusCode::SERVICE_UNAVAILABLE, "Try again later\n", telling);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// Asks for the connection to be closed after this answer.
pub(super) fn close<B>(mut response: Response<B>) -> Response<B> {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn line(status: StatusCode, text: &'static str, mut telling: Telling) -> Response<Reply> {
    telling.outcome.status = status.as_u16();
    let mut response = Response::new(Reply { text: Text::Line(text), telling });
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

/// The configuration takes 400 to 599 only.
fn configured(number: u16) -> StatusCode {
    StatusCode::from_u16(number).unwrap_or(StatusCode::FORBIDDEN)
}

impl Reply {
    /// Notes what is sent, and whether the app broke off.
    fn note(&mut self, frame: &io::Result<Frame<Bytes>>) {
        self.telling.moved();
        let outcome = &mut self.telling.outcome;
        match frame {
            Ok(frame) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                outcome.sent = outcome.sent.saturating_add(u64::try_from(length).unwrap_or(0));
            }
            Err(_) => {
                if let Verdict::Admitted(proven) = &outcome.verdict {
                    outcome.verdict = Verdict::Failed(proven.clone(), Failure::Failed);
                }
            }
        }
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let frame = match &mut self.text {
            Text::Line("") => Poll::Ready(None),
            Text::Line(text) => {
                let data = Bytes::from_static(std::mem::take(text).as_bytes());
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Text::Relayed(relayed) => Pin::new(relayed).poll_frame(cx),
        };
        if let Poll::Ready(Some(frame)) = &frame {
            self.note(frame);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.text {
            Text::Line(text) => text.is_empty(),
            Text::Relayed(relayed) => relayed.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.text {
            Text::Line(text) => SizeHint::with_exact(u64::try_from(text.len()).unwrap_or(0)),
            Text::Relayed(relayed) => relayed.size_hint(),
        }
    }
}
