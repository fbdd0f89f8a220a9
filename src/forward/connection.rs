//! One connection to an upstream.

use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use super::Failure;
use crate::routes::{Address, Limits, Upstream};

/// The body that was judged, whole.
pub(super) type Outgoing = Full<Bytes>;

/// A connection that is driven by whoever uses it: no task of its own, no wake-up across tasks.
#[derive(Debug)]
pub(super) struct Connection {
    upstream: Arc<Upstream>,
    sender: SendRequest<Outgoing>,
    driver: http1::Connection<TokioIo<TcpStream>, Outgoing>,
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

    pub(super) const fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }
}

/// Connects, and once more while the upstream refuses and the moment allowed for it lasts: an app
/// that restarts costs latency and not a webhook. Nothing has been sent yet, so this is safe.
pub(super) async fn connect(
    upstream: &Arc<Upstream>,
    limits: &Limits,
) -> Result<Box<Connection>, Failure> {
    let stream = open(upstream, limits).await?;
    let (sender, driver) =
        builder().handshake(TokioIo::new(stream)).await.map_err(|_| Failure::Failed)?;
    Ok(Box::new(Connection { upstream: Arc::clone(upstream), sender, driver, open: true }))
}

/// How requests are written and answers read: spelling kept, nothing lenient.
pub(super) fn builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.preserve_header_case(true).max_buf_size(MAX_BUFFER);
    builder
}

/// What an answer's head may take, in bytes.
const MAX_BUFFER: usize = 64 * 1024;

/// Opens the socket.
pub(super) async fn open(upstream: &Upstream, limits: &Limits) -> Result<TcpStream, Failure> {
    let patience = Instant::now().checked_add(limits.connect_retry);
    let mut pause = Duration::from_millis(20);
    loop {
        let failed = match timeout(limits.connect_timeout, dial(upstream)).await {
            Ok(Ok(stream)) => return no_delay(stream),
            Ok(Err(error)) => error,
            Err(_) => io::ErrorKind::TimedOut.into(),
        };
        tracing::debug!(%upstream, error = %failed, "cannot connect");
        let again = Instant::now().checked_add(pause);
        if again >= patience {
            return Err(Failure::Unreachable);
        }
        sleep(pause).await;
        pause = pause.saturating_mul(2);
    }
}

async fn dial(upstream: &Upstream) -> io::Result<TcpStream> {
    match upstream.address() {
        Address::Host { host, port } if !upstream.is_https() => {
            TcpStream::connect((&**host, *port)).await
        }
        Address::Host { .. } | Address::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

fn no_delay(stream: TcpStream) -> Result<TcpStream, Failure> {
    stream.set_nodelay(true).map_err(|_| Failure::Failed)?;
    Ok(stream)
}
