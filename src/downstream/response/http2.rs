//! Responses in HTTP/2, as hyper sends them.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::{
    StatusCode,
    body::{Body, Frame, SizeHint},
    header::{DATE, HeaderMap, HeaderName, HeaderValue},
};

use super::{Payload, Response, date::date};
use crate::downstream::activity::SendClock;
use crate::http1::BodyEncoder;

/// The body of a response in HTTP/2.
pub(in crate::downstream) enum Http2ResponseBody {
    /// One constant line. Its exchange is finished, so that a client that takes nothing holds no
    /// more than this.
    Line(&'static str),
    /// The app's body.
    App {
        /// The response, until its end is sent.
        response: Option<Box<Response>>,
        encoder: BodyEncoder,
        clock: Arc<SendClock>,
    },
}

impl Response {
    /// Converts to the type that hyper sends.
    pub(in crate::downstream) fn into_http2(self) -> hyper::Response<Http2ResponseBody> {
        let mut response = hyper::Response::new(());
        *response.status_mut() =
            StatusCode::from_u16(self.status()).unwrap_or(StatusCode::BAD_GATEWAY);
        self.copy_fields(response.headers_mut());
        let body = self.into_http2_body();
        response.map(|()| body)
    }

    fn copy_fields(&self, headers: &mut HeaderMap) {
        let mut append = |name: &[u8], value: &[u8]| {
            let name = HeaderName::from_bytes(name);
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
                headers.append(name, value);
            }
        };
        match &self.payload {
            Payload::App(response) => {
                response.fields().for_each(|field| append(field.raw_name, field.value));
            }
            Payload::Line(_, retry) => {
                append(DATE.as_ref(), &date());
                for (name, value) in retry.fields() {
                    append(name.as_bytes(), value.as_bytes());
                }
            }
            Payload::NoContent => append(DATE.as_ref(), &date()),
        }
    }

    fn into_http2_body(mut self) -> Http2ResponseBody {
        let has_body = self.may_have_body();
        if let Payload::Line(text, _) = &self.payload {
            let text = if has_body { *text } else { "" };
            self.exchange.outcome.add_sent(text.len());
            self.finish();
            SendClock::current().start();
            return Http2ResponseBody::Line(text);
        }
        if !has_body || self.remaining() == Some(0) {
            self.finish();
            return Http2ResponseBody::Line("");
        }
        let encoder = self.remaining().map_or(BodyEncoder::until_close(), BodyEncoder::length);
        let clock = SendClock::current();
        clock.start();
        Http2ResponseBody::App { response: Some(Box::new(self)), encoder, clock }
    }
}

impl Http2ResponseBody {
    fn poll_app(
        slot: &mut Option<Box<Response>>,
        encoder: &mut BodyEncoder,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Bytes>>> {
        let Some(response) = slot else { return Poll::Ready(None) };
        let mut no_framing = Vec::new(); // HTTP/2 frames the data itself
        let data = match ready!(response.poll_data(cx)) {
            Some(Ok(data)) => encoder.begin_data(data.len(), &mut no_framing).map(|()| Some(data)),
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            None => std::mem::replace(encoder, BodyEncoder::empty())
                .finish(&mut no_framing)
                .map(|()| None),
        };
        match data {
            Ok(data) => {
                // Finished with the last data, so that hyper can end the stream with it.
                let is_over = data.is_none() || response.remaining() == Some(0);
                if let Some(response) = slot.take_if(|_| is_over) {
                    response.finish();
                }
                Poll::Ready(data.map(Ok))
            }
            Err(mismatch) => Poll::Ready(Some(Err(response.fail_length(mismatch)))),
        }
    }
}

impl Body for Http2ResponseBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let data = match self.get_mut() {
            Self::Line("") => Poll::Ready(None),
            Self::Line(text) => {
                Poll::Ready(Some(Ok(Bytes::from_static(std::mem::take(text).as_bytes()))))
            }
            Self::App { response, encoder, clock } => {
                let data = Self::poll_app(response, encoder, cx);
                if data.is_pending() {
                    clock.stop();
                } else {
                    clock.start();
                }
                data
            }
        };
        data.map(|data| data.map(|data| data.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Line(text) => text.is_empty(),
            Self::App { response, .. } => response.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let remaining = match self {
            Self::Line(text) => u64::try_from(text.len()).ok(),
            Self::App { response, .. } => response.as_ref().map_or(Some(0), |all| all.remaining()),
        };
        remaining.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
