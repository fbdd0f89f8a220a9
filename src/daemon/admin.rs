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

use crate::downstream::{Arrival, Shared};
use crate::net::{Acceptor, Socket};

/// Maximum number of connections. A monitor needs one.
const MAX_CONNECTIONS: usize = 32;
/// Maximum lifetime of a connection: long enough for a few scrapes over it.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(120);
/// Maximum time to wait for a request and read its head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause after a failed accept, such as when descriptors run out, so as not to spin.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);
const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

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

async fn serve_connection(socket: Socket, shared: &Shared) {
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

fn respond(request: &Request<Incoming>, shared: &Shared) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    let asked = path.strip_prefix("/doctor/nonce").and_then(|rest| doctor(request, rest, shared));
    if let Some(response) = asked {
        return response;
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text_response(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match path {
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
        _ => not_found(),
    }
}

/// Answers what `gatekeeper doctor` asks: POST hands out a nonce, GET tells what arrived with it, and
/// DELETE tells it and forgets the nonce. A browser sends `Origin` with every POST and DELETE: no page
/// that an operator happens to visit may use up the nonces.
fn doctor(
    request: &Request<Incoming>,
    rest: &str,
    shared: &Shared,
) -> Option<Response<Full<Bytes>>> {
    let nonces = &shared.nonces;
    let nonce = rest.strip_prefix('/');
    Some(match (request.method(), nonce) {
        (&Method::POST | &Method::DELETE, _) if request.headers().contains_key(ORIGIN) => {
            text_response(StatusCode::FORBIDDEN, "not for web pages\n")
        }
        (&Method::POST, None) if rest.is_empty() => match nonces.issue() {
            Some(nonce) => response(StatusCode::CREATED, nonce + "\n", PLAIN_TEXT),
            None => text_response(StatusCode::TOO_MANY_REQUESTS, "try again in a minute\n"),
        },
        (&Method::GET, Some(nonce)) => arrival(nonces.arrival(nonce).as_ref()),
        (&Method::DELETE, Some(nonce)) => arrival(nonces.take(nonce).as_ref()),
        _ => return None,
    })
}

/// Formats what arrived with a nonce as JSON; `null` while nothing has.
fn arrival(arrival: Option<&Option<Arrival>>) -> Response<Full<Bytes>> {
    match arrival.map(serde_json::to_vec) {
        Some(Ok(json)) => response(StatusCode::OK, json, "application/json"),
        Some(Err(_)) | None => not_found(),
    }
}

fn not_found() -> Response<Full<Bytes>> {
    text_response(StatusCode::NOT_FOUND, "/healthz, /readyz, /metrics\n")
}

fn text_response(status: StatusCode, line: &'static str) -> Response<Full<Bytes>> {
    response(status, line, PLAIN_TEXT)
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
