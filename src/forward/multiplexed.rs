//! HTTP/2 to an upstream: one connection per worker and upstream, shared by all requests.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Version,
    body::Incoming,
    client::conn::http2::{self, SendRequest},
    header::{HeaderName, HeaderValue},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::{Instant, interval};

use super::{
    Failure,
    headers::ForApp,
    socket::{self, Protocol},
};
use crate::routes::{Limits, Upstream};
use crate::wire::{Name, RequestHead, ResponseHead};

/// How often an upstream that owes answers is asked whether it is still there.
const PING: Duration = Duration::from_secs(5);
/// How long it may take to say so.
const PONG: Duration = Duration::from_secs(3);
/// How long a connection without requests is kept: HTTP/2 says goodbye before it closes, so that
/// there is no race to lose.
const IDLE: Duration = Duration::from_secs(60);
/// How many connections one request may find closed before it gives up.
const TRIES: usize = 3;

/// The shared connections of one worker.
#[derive(Debug, Default)]
pub(super) struct Multiplexed {
    lines: Mutex<HashMap<Arc<Upstream>, Arc<Line>>>,
}

/// The one connection to an upstream. Whoever finds none opens it while the others wait.
type Line = tokio::sync::Mutex<State>;

#[derive(Debug)]
struct State {
    sender: Option<SendRequest<Full<Bytes>>>,
    used: Instant,
    failed: Option<Instant>,
}

impl Multiplexed {
    /// No connection yet; unused ones are closed until it is dropped.
    pub(super) fn start() -> Arc<Self> {
        let lines = Arc::new(Self::default());
        tokio::spawn(sweep(Arc::downgrade(&lines)));
        lines
    }

    /// Sends one request and waits for the head of its answer. Another connection is tried only
    /// while not a byte of it has been written.
    pub(super) async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
        upstream: &Arc<Upstream>,
        limits: &Limits,
    ) -> Result<(ResponseHead, Incoming), Failure> {
        let to_head = request.method() == Method::HEAD;
        for _ in 0..TRIES {
            let mut sender = self.sender(upstream, limits).await?;
            let mut error = match sender.try_send_request(request).await {
                Ok(response) => {
                    let (head, body) = response.into_parts();
                    let fields = head.headers.iter();
                    let fields = fields.map(|(name, value)| (name.as_ref(), value.as_bytes()));
                    let mut head = ResponseHead::told(head.status.as_u16(), fields);
                    head.settle(to_head).map_err(|_| Failure::Failed)?;
                    if head.status < 200 {
                        return Err(Failure::Failed); // HTTP/2 switches to nothing (RFC 9113 §8.6)
                    }
                    return Ok((head, body));
                }
                Err(error) => error,
            };
            request = error.take_message().ok_or(Failure::Failed)?;
        }
        Err(Failure::Failed)
    }

    async fn sender(
        &self,
        upstream: &Arc<Upstream>,
        limits: &Limits,
    ) -> Result<SendRequest<Full<Bytes>>, Failure> {
        let began = Instant::now();
        let line = self.line(upstream);
        let mut state = line.lock().await;
        state.used = Instant::now();
        if let Some(sender) = state.sender.as_ref().filter(|sender| sender.is_ready()) {
            return Ok(sender.clone());
        }
        if state.failed.is_some_and(|failed| failed >= began) {
            return Err(Failure::Unreachable); // somebody has just tried
        }
        let opened = open(upstream, limits).await;
        state.failed = opened.is_err().then(Instant::now);
        state.sender = opened.as_ref().ok().cloned();
        opened
    }

    fn line(&self, upstream: &Arc<Upstream>) -> Arc<Line> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh =
            || Arc::new(Line::new(State { sender: None, used: Instant::now(), failed: None }));
        Arc::clone(lines.entry(Arc::clone(upstream)).or_insert_with(fresh))
    }

    /// Requests that are still answered hold the connection open by themselves.
    fn close_unused(&self) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.retain(|_, line| line.try_lock().map_or(true, |state| state.used.elapsed() < IDLE));
    }
}

async fn open(upstream: &Upstream, limits: &Limits) -> Result<SendRequest<Full<Bytes>>, Failure> {
    let socket = socket::open(upstream, Protocol::Http2, limits).await?;
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).keep_alive_interval(PING).keep_alive_timeout(PONG);
    let (sender, driver) =
        builder.handshake(TokioIo::new(socket)).await.map_err(|_| Failure::Failed)?;
    tokio::spawn(async move {
        if let Err(error) = driver.await {
            tracing::debug!(%error, "an HTTP/2 upstream connection ended");
        }
    });
    Ok(sender)
}

/// A request as HTTP/2 has it, if it has a form for it. `Host` becomes `:authority`
/// (RFC 9113 §8.3.1); the target stays as it came.
pub(super) fn request(
    head: &RequestHead,
    for_app: &ForApp<'_>,
    body: Bytes,
    upstream: &Upstream,
) -> Option<Request<Full<Bytes>>> {
    let host = head.fields.get(Name::Host)?;
    let scheme = if upstream.is_https() { "https" } else { "http" };
    let uri = hyper::Uri::builder().scheme(scheme).authority(host).path_and_query(head.target());
    let mut http2 = Request::builder().method(head.method()).uri(uri.build().ok()?);
    let headers = http2.headers_mut()?;
    for (name, value) in for_app.fields().filter(|(name, _)| !name.eq_ignore_ascii_case(b"host")) {
        let name = HeaderName::from_bytes(name).ok()?;
        headers.append(name, HeaderValue::from_bytes(value).ok()?);
    }
    http2.version(Version::HTTP_2).body(Full::new(body)).ok()
}

async fn sweep(lines: Weak<Multiplexed>) {
    let mut ticks = interval(IDLE);
    loop {
        ticks.tick().await;
        let Some(lines) = lines.upgrade() else { return };
        lines.close_unused();
    }
}
