//! A stretch of HTTP/2, and what of it the gate would otherwise not see as it sees HTTP/1.1.

use std::{future::poll_fn, net::IpAddr, pin::pin, sync::Arc, task::Poll, time::Duration};

use bytes::Bytes;
use hyper::{
    Request, Uri,
    header::{self, HeaderMap, HeaderValue},
    http::uri::PathAndQuery,
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::sleep;

use super::{
    connection::Stream,
    exchange::{Exchange, Transport},
    wire::{Malformed, Wire},
    worker::Worker,
};
use crate::routes::Limits;

/// Requests at once on one connection.
const STREAMS: u32 = 128;
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// A peer that does not answer a ping within this time is gone.
const PING: Duration = Duration::from_secs(20);

/// Answers requests until the client ends, idles for too long, or the gate stops.
pub(super) async fn serve<S: Stream>(
    worker: &Arc<Worker>,
    stream: S,
    first: Bytes,
    peer: Option<IpAddr>,
) {
    let (wire, record) = Wire::new(stream, first);
    record.end(); // frames are no heads
    let limits = worker.shared.live.load().limits.clone();
    let exchange = Arc::new(Exchange::new(Arc::clone(worker), peer, Transport::Http2));
    let service = service_fn({
        let exchange = Arc::clone(&exchange);
        move |request| {
            let exchange = Arc::clone(&exchange);
            async move { exchange.answer(request).await }
        }
    });
    let connection = builder(&limits).serve_connection(TokioIo::new(wire), service);
    let mut connection = pin!(connection);
    let mut next = pin!(sleep(LOOK));
    let ended = poll_fn(|cx| {
        while next.as_mut().poll(cx).is_ready() {
            next.set(sleep(LOOK));
            if worker.shared.stop.is_told() || exchange.idle_for() >= limits.idle_timeout {
                connection.as_mut().graceful_shutdown();
            }
            if exchange.idle_for() >= limits.idle_timeout.saturating_add(PING)
                || exchange.stalled_for() >= longest_stall(&limits)
            {
                return Poll::Ready(Ok(()));
            }
        }
        connection.as_mut().poll(cx)
    });
    if let Err(error) = ended.await {
        tracing::debug!(?peer, %error, "connection ended");
    }
}

/// Nothing that is under way stands still for longer: a body, the app's answer, a pause in it. If
/// it does, the client takes nothing.
fn longest_stall(limits: &Limits) -> Duration {
    let own = limits.body_timeout.max(limits.response_timeout).max(limits.response_idle_timeout);
    own.saturating_add(LOOK)
}

fn builder(limits: &Limits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(limits.max_head_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    builder
}

/// Puts a request into the form that HTTP/1.1 would have given it: one `Host`, one `Cookie`, the
/// target alone.
///
/// # Errors
/// Where `host` and `:authority` name different hosts, or neither names one: apps differ in which
/// of them they believe (RFC 9113 §8.3.1).
pub(super) fn as_http1<B>(request: &mut Request<B>) -> Result<(), Malformed> {
    let authority = request.uri().authority().map(|authority| authority.as_str().to_owned());
    let host = one_host(request.headers(), authority.as_deref())?;
    let target = request.uri().path_and_query().cloned();
    if !target.as_ref().is_some_and(|target| target.as_str().starts_with('/')) {
        return Err("target_form");
    }
    *request.uri_mut() = Uri::from(target.unwrap_or(PathAndQuery::from_static("/")));
    let headers = request.headers_mut();
    headers.insert(header::HOST, host);
    join_cookies(headers);
    Ok(())
}

fn one_host(headers: &HeaderMap, authority: Option<&str>) -> Result<HeaderValue, Malformed> {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next(), authority) {
        (_, Some(_), _) => Err("repeated_host"),
        (None, None, None) => Err("missing_host"),
        (Some(host), None, None) => Ok(host.clone()),
        (Some(host), None, Some(authority)) if host.as_bytes() != authority.as_bytes() => {
            Err("host_and_authority")
        }
        (_, None, Some(authority)) => HeaderValue::from_str(authority).map_err(|_| "missing_host"),
    }
}

/// Cookies may come in crumbs; HTTP/1.1 knows one field only (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(header::COOKIE).iter();
    let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) else { return };
    let mut joined = [first.as_bytes(), second.as_bytes()].join(&b"; "[..]);
    for crumb in crumbs {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(crumb.as_bytes());
    }
    if let Ok(joined) = HeaderValue::from_bytes(&joined) {
        headers.insert(header::COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, fields: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn host_and_authority_must_agree() {
        for (uri, fields, outcome) in [
            ("https://h/p?q", &[][..], Ok(())),
            ("https://h/p", &[("host", "h")], Ok(())),
            ("/p", &[("host", "h")], Ok(())),
            ("https://h/p", &[("host", "i")], Err("host_and_authority")),
            ("https://h/p", &[("host", "h"), ("host", "h")], Err("repeated_host")),
            ("/p", &[], Err("missing_host")),
        ] {
            let mut request = request(uri, fields);
            assert_eq!(as_http1(&mut request), outcome, "{uri} {fields:?}");
            if outcome.is_ok() {
                assert_eq!(request.headers()[header::HOST], "h");
                assert!(request.uri().authority().is_none());
            }
        }
    }

    #[test]
    fn crumbs_are_one_cookie_again() {
        let mut request =
            request("https://h/", &[("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")]);
        as_http1(&mut request).unwrap();
        let cookies: Vec<_> = request.headers().get_all(header::COOKIE).iter().collect();
        assert_eq!(cookies, ["a=1; b=2; c=3"]);
    }
}
