//! An app that speaks HTTP/2 and nothing else.

use std::{
    convert::Infallible,
    net::{SocketAddr, TcpListener},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{
    Request, Response,
    body::{Body, Bytes, Frame, Incoming},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::Notify;

use super::{tls::Background, upstream::TWIML};

/// The app.
pub(crate) struct Http2App {
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
    _background: Background,
}

#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<(Request<()>, Vec<u8>)>>,
    connections: AtomicUsize,
    leave: Notify,
    /// Its answers have no length, and end with an empty frame.
    streams: bool,
}

impl Http2App {
    pub(crate) fn start() -> Self {
        Self::with(Seen::default())
    }

    /// One whose answers have no length: they end with an empty frame.
    pub(crate) fn streaming() -> Self {
        Self::with(Seen { streams: true, ..Seen::default() })
    }

    fn with(seen: Seen) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let seen = Arc::new(seen);
        let background = Background::run(accept(listener, Arc::clone(&seen)));
        Self { address, seen, _background: background }
    }

    /// What has arrived so far.
    pub(crate) fn requests(&self) -> Vec<(Request<()>, Vec<u8>)> {
        self.seen.requests.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// Says goodbye on every connection, as a server that restarts does.
    pub(crate) fn leave(&self) {
        self.seen.leave.notify_waiters();
    }
}

async fn accept(listener: TcpListener, seen: Arc<Seen>) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    while let Ok((stream, _)) = listener.accept().await {
        seen.connections.fetch_add(1, Ordering::SeqCst);
        let seen = Arc::clone(&seen);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, Arc::clone(&seen)));
            let builder = http2::Builder::new(TokioExecutor::new());
            let mut connection =
                std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
            tokio::select! {
                _ended = connection.as_mut() => return,
                () = seen.leave.notified() => connection.as_mut().graceful_shutdown(),
            }
            let _ended = connection.await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    seen: Arc<Seen>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes().to_vec()).unwrap_or_default();
    seen.requests.lock().unwrap().push((Request::from_parts(head, ()), body));
    let body = if seen.streams { Streamed(Some(TWIML)).boxed() } else { Full::from(TWIML).boxed() };
    Ok(Response::new(body))
}

/// A body that tells nothing of its length.
struct Streamed(Option<&'static str>);

impl Body for Streamed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|text| Ok(Frame::data(Bytes::from_static(text.as_bytes())))))
    }
}
