//! A stretch of HTTP/1.1.

use std::{
    future::poll_fn,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::time::{Sleep, sleep};

use super::{
    Stop,
    connection::{Left, Stream},
    exchange::{Exchange, Transport},
    wire::{Pulse, Record, Wire},
    worker::Worker,
};
use crate::routes::Limits;

/// How often a connection's health is looked at, at least. One timer a connection, and none a
/// request.
const LOOK: Duration = Duration::from_millis(500);
/// A connection that has been silent for so long is put aside with less than HTTP needs.
const RESTLESS: Duration = Duration::from_secs(1);

/// Answers requests until nothing more is to be said.
pub(super) async fn serve<S: Stream>(
    worker: &Arc<Worker>,
    stream: S,
    first: Bytes,
    peer: Option<IpAddr>,
) -> Left<S> {
    let (wire, record) = Wire::new(stream, first);
    let live = worker.shared.live.load_full();
    let transport = Transport::Http1(record.clone());
    let exchange = Exchange::new(Arc::clone(worker), peer, transport);
    let service = service_fn(|request| exchange.answer(request));
    let mut connection = builder(&live.limits).serve_connection(TokioIo::new(wire), service);
    let mut health = Health::new(record.clone(), &live.limits, &worker.shared.stop);
    drop(live);
    let ended = spoken(&mut connection, &mut health, |http| http.graceful_shutdown()).await;
    let http1::Parts { io, read_buf, .. } = connection.into_parts();
    let stream = io.into_inner().into_socket();
    match ended {
        None => Left::Gone,
        Some(Err(error)) => {
            note(worker, peer, &error);
            if record.has_ended() { Left::Gone } else { Left::Over(stream) }
        }
        Some(Ok(())) => match exchange.tunnel() {
            Some(tunnel) => Left::Tunnel(stream, read_buf, tunnel),
            None if health.rested && read_buf.is_empty() => Left::Idle(stream),
            None => Left::Over(stream),
        },
    }
}

/// Until hyper is done, or the connection has taken too long.
async fn spoken<C>(
    connection: &mut C,
    health: &mut Health<'_>,
    rest: impl Fn(Pin<&mut C>),
) -> Option<hyper::Result<()>>
where
    C: Future<Output = hyper::Result<()>> + Unpin,
{
    let spoken = poll_fn(|cx| {
        loop {
            if let Poll::Ready(ended) = Pin::new(&mut *connection).poll(cx) {
                return Poll::Ready(Some(ended));
            }
            match health.poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Advice::Cut) => return Poll::Ready(None),
                Poll::Ready(Advice::Rest) => rest(Pin::new(&mut *connection)),
            }
        }
    });
    spoken.await
}

fn note(worker: &Worker, peer: Option<IpAddr>, error: &hyper::Error) {
    tracing::debug!(?peer, %error, "connection ended");
    if error.is_parse() || error.is_parse_too_large() {
        worker.shared.observer.unreadable();
    }
}

/// hyper's side of the bargain: spelling kept, nothing added, everything bounded. It answers 400,
/// 414 and 431 by itself. Time is bounded by [`Health`].
fn builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .preserve_header_case(true)
        .auto_date_header(false)
        .half_close(true)
        .max_buf_size(limits.max_head_bytes)
        .max_headers(limits.max_headers);
    builder
}

/// What is to be done about a connection.
enum Advice {
    /// Nothing is going on: HTTP may rest.
    Rest,
    /// It has taken too long.
    Cut,
}

/// Looks at a connection from time to time.
struct Health<'w> {
    record: Record,
    head: Duration,
    blocked: Duration,
    every: Duration,
    stop: &'w Stop,
    next: Pin<Box<Sleep>>,
    /// Rest was advised.
    rested: bool,
}

impl<'w> Health<'w> {
    fn new(record: Record, limits: &Limits, stop: &'w Stop) -> Self {
        let every = LOOK.min(limits.head_timeout.div_f32(4.0)).max(Duration::from_millis(1));
        Self {
            record,
            head: limits.head_timeout,
            blocked: limits.response_idle_timeout,
            every,
            stop,
            next: Box::pin(sleep(every)),
            rested: false,
        }
    }

    /// Ready when something is to be done.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Advice> {
        while self.next.as_mut().poll(cx).is_ready() {
            self.next.set(sleep(self.every));
            let for_long = |since: Instant, limit| since.elapsed() >= limit;
            match self.record.pulse() {
                Pulse::Head(since) if for_long(since, self.head) => {
                    return Poll::Ready(Advice::Cut);
                }
                Pulse::Blocked(since) if for_long(since, self.blocked) => {
                    return Poll::Ready(Advice::Cut);
                }
                Pulse::Idle(since) if for_long(since, RESTLESS) || self.stop.is_told() => {
                    self.rested = true;
                    return Poll::Ready(Advice::Rest);
                }
                Pulse::Answering | Pulse::Head(_) | Pulse::Blocked(_) | Pulse::Idle(_) => {}
            }
        }
        Poll::Pending
    }
}
