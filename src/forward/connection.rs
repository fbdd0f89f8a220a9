//! One connection to an upstream.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;

use super::{
    Failure,
    socket::{self, Protocol, Socket},
};
use crate::routes::{Limits, Upstream};

/// The body that was judged, whole.
pub(super) type Outgoing = Full<Bytes>;

/// A connection that is driven by whoever uses it: no task of its own, no wake-up across tasks.
#[derive(Debug)]
pub(super) struct Connection {
    upstream: Arc<Upstream>,
    sender: SendRequest<Outgoing>,
    driver: http1::Connection<TokioIo<Socket>, Outgoing>,
    open: bool,
}

/// What became of one try.
pub(super) enum Attempt {
    Answered(Response<Incoming>),
    /// Not a byte of it was written: it may be tried elsewhere.
    Unsent(Request<Outgoing>),
    /// It may have been received.
    Failed,
}

impl Connection {
    /// Sends one request and waits for the head of its answer.
    pub(super) async fn send(&mut self, request: Request<Outgoing>) -> Attempt {
        if poll_fn(|cx| Poll::Ready(self.drive(cx).is_ready())).await || !self.sender.is_ready() {
            return Attempt::Unsent(request); // closed by the upstream while idle
        }
        let mut answer = pin!(self.sender.try_send_request(request));
        let answer = poll_fn(|cx| {
            if self.open && Pin::new(&mut self.driver).poll(cx).is_ready() {
                self.open = false;
            }
            answer.as_mut().poll(cx)
        });
        match answer.await {
            Ok(response) => Attempt::Answered(response),
            Err(mut error) => error.take_message().map_or(Attempt::Failed, Attempt::Unsent),
        }
    }

    /// Moves bytes. Ready when the connection is at its end.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.open && Pin::new(&mut self.driver).poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.open = false;
        Poll::Ready(())
    }

    /// Whether it could take another request now.
    pub(super) fn is_idle(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop())).is_pending() && self.sender.is_ready()
    }

    /// After a 101: the socket, and what the app has already said over it.
    pub(super) async fn switched(mut self) -> (Socket, Bytes) {
        poll_fn(|cx| self.drive(cx)).await;
        let http1::Parts { io, read_buf, .. } = self.driver.into_parts();
        (io.into_inner(), read_buf)
    }

    pub(super) const fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }
}

/// A new connection. Nothing has been sent yet.
pub(super) async fn connect(
    upstream: &Arc<Upstream>,
    limits: &Limits,
) -> Result<Box<Connection>, Failure> {
    let socket = socket::open(upstream, Protocol::Http1, limits).await?;
    let (sender, driver) =
        builder().handshake(TokioIo::new(socket)).await.map_err(|_| Failure::Failed)?;
    Ok(Box::new(Connection { upstream: Arc::clone(upstream), sender, driver, open: true }))
}

/// How requests are written and answers read: spelling kept, nothing lenient.
fn builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.preserve_header_case(true).max_buf_size(MAX_BUFFER);
    builder
}

/// What an answer's head may take, in bytes.
const MAX_BUFFER: usize = 64 * 1024;
