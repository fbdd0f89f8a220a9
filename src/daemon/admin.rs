//! The admin listener: `/healthz`, `/readyz`, `/metrics`. Never public; bounded like the public one.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};

use crate::downstream::Shared;
use crate::net::{Acceptor, Socket};

/// Connections at once. A monitor needs one.
const MAX_CONNECTIONS: usize = 32;
/// A connection's whole life: long enough for a scrape, and for the next few over it.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(120);
/// From the first byte awaited to the end of the head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// How long to rest when a connection cannot be accepted.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// Serves for ever.
pub(super) async fn serve(acceptor: Acceptor, shared: Arc<Shared>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Ok(place) = Arc::clone(&room).acquire_owned().await {
        match acceptor.accept().await {
            Ok((socket, _)) => {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    let _overdue =
                        timeout(CONNECTION_TIMEOUT, serve_connection(socket, &shared)).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the admin listener cannot accept");
                sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

async fn serve_connection(socket: Socket, shared: &Shared) {
    let service =
        service_fn(|request| std::future::ready(Ok::<_, Infallible>(answer(&request, shared))));
    let mut builder = http1::Builder::new();
    builder
        .max_buf_size(8192)
        .max_headers(64)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT);
    if let Err(error) = builder.serve_connection(TokioIo::new(socket), service).await {
        tracing::debug!(%error, "an admin connection ended");
    }
}

fn answer(request: &Request<Incoming>, shared: &Shared) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/healthz" => text(StatusCode::OK, "alive\n"),
        "/readyz" if shared.shutdown.is_draining() => {
            text(StatusCode::SERVICE_UNAVAILABLE, "draining\n")
        }
        "/readyz" => text(StatusCode::OK, "ready\n"),
        "/metrics" => {
            typed(StatusCode::OK, shared.metrics_text(), "text/plain; version=0.0.4; charset=utf-8")
        }
        _ => text(StatusCode::NOT_FOUND, "/healthz, /readyz, /metrics\n"),
    }
}

fn text(status: StatusCode, line: &'static str) -> Response<Full<Bytes>> {
    typed(status, line, "text/plain; charset=utf-8")
}

fn typed(
    status: StatusCode,
    body: impl Into<Bytes>,
    content_type: &'static str,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
