//! The admin listener: `/healthz`, `/readyz`, `/metrics`, and the nonces of `gatekeeper doctor`.
//! Not for the public; still limited in connections, time and sizes.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, ORIGIN},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};

use crate::downstream::{NONCE_LIFETIME, Shared};
use crate::net::{Acceptor, Socket};

/// Maximum number of connections. A monitor needs one.
const MAX_CONNECTIONS: usize = 32;
/// Maximum lifetime of a connection: long enough for a few scrapes over it.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(120);
/// Maximum time to wait for a request and read its head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause after a failed accept, such as when descriptors run out, so as not to spin.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// Serves until the task is dropped.
pub(super) async fn serve(acceptor: Acceptor, shared: Arc<Shared>) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
        match acceptor.accept().await {
            Ok((socket, _)) => {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    let _elapsed =
                        timeout(CONNECTION_TIMEOUT, serve_connection(socket, &shared)).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the admin listener cannot accept");
                sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

async fn serve_connection(socket: Socket, shared: &Arc<Shared>) {
    let service =
        service_fn(|request| std::future::ready(Ok::<_, Infallible>(respond(&request, shared))));
    let mut builder = http1::Builder::new();
    builder
        .max_buf_size(8192)
        .max_headers(64)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT);
    if let Err(error) = builder.serve_connection(TokioIo::new(socket), service).await {
        tracing::debug!(%error, "an admin connection failed");
    }
}

fn respond(request: &Request<Incoming>, shared: &Arc<Shared>) -> Response<Full<Bytes>> {
    if request.method() == Method::POST && request.uri().path() == "/doctor/nonce" {
        return issue_nonce(request, shared);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text_response(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/healthz" => text_response(StatusCode::OK, "alive\n"),
        "/readyz" if shared.shutdown.is_draining() => {
            text_response(StatusCode::SERVICE_UNAVAILABLE, "draining\n")
        }
        "/readyz" => text_response(StatusCode::OK, "ready\n"),
        "/metrics" => response(
            StatusCode::OK,
            shared.metrics_text(),
            "text/plain; version=0.0.4; charset=utf-8",
        ),
        path => path
            .strip_prefix("/doctor/nonce/")
            .map_or_else(not_found, |nonce| arrival(nonce, shared)),
    }
}

fn not_found() -> Response<Full<Bytes>> {
    text_response(StatusCode::NOT_FOUND, "/healthz, /readyz, /metrics\n")
}

/// Hands out a nonce, which expires on its own. A browser sends `Origin` with every POST: no page
/// that an operator happens to visit may use up the nonces.
fn issue_nonce(request: &Request<Incoming>, shared: &Arc<Shared>) -> Response<Full<Bytes>> {
    if request.headers().contains_key(ORIGIN) {
        return text_response(StatusCode::FORBIDDEN, "not for web pages\n");
    }
    let Some(nonce) = shared.nonces.issue() else {
        return text_response(StatusCode::TOO_MANY_REQUESTS, "try again in a minute\n");
    };
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        sleep(NONCE_LIFETIME).await;
        shared.nonces.remove_expired();
    });
    response(StatusCode::CREATED, nonce + "\n", "text/plain; charset=utf-8")
}

/// Returns the request that arrived with this nonce as JSON; `null` while none has.
fn arrival(nonce: &str, shared: &Shared) -> Response<Full<Bytes>> {
    match shared.nonces.arrival(nonce).map(|arrival| serde_json::to_vec(&arrival)) {
        Some(Ok(json)) => response(StatusCode::OK, json, "application/json"),
        Some(Err(_)) | None => not_found(),
    }
}

fn text_response(status: StatusCode, line: &'static str) -> Response<Full<Bytes>> {
    response(status, line, "text/plain; charset=utf-8")
}

fn response(
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
