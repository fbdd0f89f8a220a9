//! Responses to clients: the app's, and the gate's own.

mod date;
mod http1;
mod http2;

use std::{
    io,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::StatusCode;

pub(super) use http1::{invalid_head, too_many_connections};
pub(super) use http2::Http2ResponseBody;

use super::exchange::Exchange;
use crate::gate::Refusal;
use crate::http1::LengthMismatch;
use crate::routes::Statuses;
use crate::telemetry::Verdict;
use crate::upstream::{Failure, Tunnel, UpstreamResponse};

/// A response on its way to a client.
pub(super) struct Response {
    payload: Payload,
    /// The connection is closed after it.
    closes: bool,
    exchange: Exchange,
}

/// The source of the body.
enum Payload {
    /// One constant line of the gate's own.
    Line(&'static str, Retry),
    /// No body: the answer to a nonce of `gatekeeper doctor`.
    NoContent,
    /// The response of the app.
    App(Box<UpstreamResponse>),
}

/// Whether the client is asked to try again (`Retry-After`).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Retry {
    No,
    Soon,
}

const CONTENT_TYPE: &str = "text/plain; charset=utf-8";

/// Returns the response to a refusal. The one place where a reason becomes a status: a new reason
/// does not compile until it has one.
pub(super) fn refusal(reason: Refusal, statuses: Statuses, exchange: Exchange) -> Response {
    let (status, text) = match reason {
        // One line for all routes: another one would tell a scanner which routes exist.
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
        | Refusal::UnknownAccount
        | Refusal::Replayed
        | Refusal::Stale => (configured(statuses.mismatch), "Not proven to come from Twilio\n"),
        Refusal::NoFormParams => (StatusCode::BAD_REQUEST, "Bad Request - no form params\n"),
        Refusal::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "Body too large\n"),
        Refusal::BodyTimeout => (StatusCode::REQUEST_TIMEOUT, "Body too slow\n"),
        Refusal::BodyIncomplete => return malformed(exchange),
        Refusal::Overloaded => return overloaded(exchange),
    };
    // The rest of the body is not read.
    let closes = matches!(reason, Refusal::BodyTooLarge | Refusal::BodyTimeout);
    Response { closes, ..line(status, text, exchange) }
}

/// Returns the response to an admitted request that got none from the app.
pub(super) fn failure(failure: Failure, exchange: Exchange) -> Response {
    match failure {
        Failure::Unreachable | Failure::Failed | Failure::ClientGone => {
            line(StatusCode::BAD_GATEWAY, "The app did not answer\n", exchange)
        }
        Failure::Timeout => {
            line(StatusCode::GATEWAY_TIMEOUT, "The app did not answer in time\n", exchange)
        }
        Failure::Overloaded => overloaded(exchange),
    }
}

/// Returns the response to a pending nonce of `gatekeeper doctor`.
pub(super) fn no_content(mut exchange: Exchange) -> Response {
    exchange.outcome.status = StatusCode::NO_CONTENT.as_u16();
    Response { payload: Payload::NoContent, closes: false, exchange }
}

/// Returns the app's response, to be relayed.
pub(super) fn relayed(response: Box<UpstreamResponse>, mut exchange: Exchange) -> Response {
    exchange.outcome.status = response.head.status;
    Response { payload: Payload::App(response), closes: false, exchange }
}

/// Returns the response to a malformed message. Where it ends is unknown, so the connection ends
/// with it.
pub(super) fn malformed(exchange: Exchange) -> Response {
    Response { closes: true, ..line(StatusCode::BAD_REQUEST, "Bad Request\n", exchange) }
}

/// Returns the response to a head with more fields than `max_headers`.
pub(super) fn too_many_fields(exchange: Exchange) -> Response {
    let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    line(status, "Header fields too large\n", exchange)
}

/// Returns the response to a request for which memory or places are missing.
fn overloaded(exchange: Exchange) -> Response {
    let mut response = line(StatusCode::SERVICE_UNAVAILABLE, "Try again later\n", exchange);
    response.payload = Payload::Line("Try again later\n", Retry::Soon);
    response
}

fn line(status: StatusCode, text: &'static str, mut exchange: Exchange) -> Response {
    exchange.outcome.status = status.as_u16();
    Response { payload: Payload::Line(text, Retry::No), closes: false, exchange }
}

/// The configuration allows 400 to 599 only.
fn configured(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN)
}

impl Retry {
    /// Returns the fields of a line, `Date` and framing aside.
    const fn fields(self) -> &'static [(&'static str, &'static str)] {
        const FIELDS: &[(&str, &str)] = &[("Content-Type", CONTENT_TYPE), ("Retry-After", "1")];
        match self {
            Self::No => FIELDS.split_at(1).0,
            Self::Soon => FIELDS,
        }
    }
}

impl Response {
    /// Takes the tunnel that begins after this response.
    pub(super) fn take_tunnel(&mut self) -> Option<Tunnel> {
        match &mut self.payload {
            Payload::App(response) => response.tunnel.take(),
            Payload::Line(..) | Payload::NoContent => None,
        }
    }

    /// Counts and logs the exchange. A client that has read a response finds it in the metrics, and
    /// log lines keep the order of the requests, if this is called before the last bytes are sent.
    pub(super) fn finish(self) {
        self.exchange.finish();
    }

    /// Returns the next data of the body; `None` at its end.
    pub(super) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let data = match &mut self.payload {
            Payload::Line("", _) | Payload::NoContent => Poll::Ready(None),
            Payload::Line(text, _) => {
                Poll::Ready(Some(Ok(Bytes::from_static(std::mem::take(text).as_bytes()))))
            }
            Payload::App(response) => response.body.poll_data(cx),
        };
        match &data {
            Poll::Ready(Some(Ok(data))) => self.exchange.outcome.add_sent(data.len()),
            Poll::Ready(Some(Err(_))) => self.fail(),
            Poll::Ready(None) | Poll::Pending => {}
        }
        data
    }

    /// Records that the app broke off, or sent a body of another length than it declared.
    fn fail(&mut self) {
        let outcome = &mut self.exchange.outcome;
        if let Verdict::Admitted(proven) = &outcome.verdict {
            outcome.verdict = Verdict::Failed(proven.clone(), Failure::Failed);
        }
    }

    /// The same as an error of the body.
    pub(super) fn fail_length(&mut self, mismatch: LengthMismatch) -> io::Error {
        self.fail();
        io::Error::other(mismatch)
    }

    const fn status(&self) -> u16 {
        self.exchange.outcome.status
    }

    fn may_have_body(&self) -> bool {
        let is_head = self.exchange.outcome.head.method() == "HEAD";
        let allowed = match &self.payload {
            Payload::Line(..) => true,
            Payload::NoContent => false,
            Payload::App(response) => response.head.may_have_body(),
        };
        allowed && !is_head
    }

    /// Returns the number of body bytes that are to come, where it is known.
    fn remaining(&self) -> Option<u64> {
        match &self.payload {
            Payload::Line(text, _) => u64::try_from(text.len()).ok(),
            Payload::NoContent => Some(0),
            Payload::App(response) => response.body.remaining(),
        }
    }
}
