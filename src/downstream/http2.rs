//! A stretch of HTTP/2, and what of it the gate would otherwise not see as it sees HTTP/1.1.

use std::{
    convert::Infallible,
    future::poll_fn,
    io,
    net::IpAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use hyper::{
    Request,
    body::{Body, Incoming},
    header::{self, HeaderMap, HeaderValue},
    http::request::Parts,
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::sleep;

use super::{
    activity::ActivityTracker, handler::RequestHandler, response::Response, worker::Worker,
};
use crate::gate::RequestBody;
use crate::http1::{Malformed, RequestHead};
use crate::limits::Limits;
use crate::net::{PrefixedIo, Stream};

/// Requests at once on one connection.
const MAX_CONCURRENT_STREAMS: u32 = 128;
/// How often it is looked at.
const TICK_INTERVAL: Duration = Duration::from_millis(500);
/// A peer that does not answer a ping within this time is gone.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// Answers requests until the client ends, idles for too long, or the gate stops.
pub(super) async fn serve<S: Stream>(
    worker: &Arc<Worker>,
    stream: S,
    first: Bytes,
    peer: Option<IpAddr>,
) {
    let limits = worker.shared.snapshot.load().limits.clone();
    let activity = Arc::new(ActivityTracker::new());
    let exchange =
        Arc::new(RequestHandler::new(Arc::clone(worker), peer, Some(Arc::clone(&activity))));
    let service = service_fn(move |request| answer(Arc::clone(&exchange), request));
    let stream = TokioIo::new(PrefixedIo::new(first, stream));
    let connection = builder(&limits).serve_connection(stream, service);
    let mut connection = pin!(connection);
    let mut next = pin!(sleep(TICK_INTERVAL));
    let ended = poll_fn(|cx| {
        while next.as_mut().poll(cx).is_ready() {
            next.set(sleep(TICK_INTERVAL));
            if worker.shared.shutdown.is_shutting_down()
                || activity.idle_for() >= limits.idle_timeout
            {
                connection.as_mut().graceful_shutdown();
            }
            if activity.idle_for() >= limits.idle_timeout.saturating_add(PING_INTERVAL)
                || activity.stalled_for() >= longest_stall(&limits)
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
    own.saturating_add(TICK_INTERVAL)
}

fn builder(limits: &Limits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        .max_header_list_size(u32::try_from(limits.max_head_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_INTERVAL);
    builder
}

async fn answer(
    exchange: Arc<RequestHandler>,
    request: Request<Incoming>,
) -> Result<hyper::Response<Response>, Infallible> {
    let (mut head, body) = request.into_parts();
    let reply = match as_http1(&mut head) {
        Ok(head) => exchange.answer(Arc::new(head), Http2Body(body)).await,
        Err(what) => {
            let method = head.method.as_str();
            let head = RequestHead::from_http2(method, head.uri.path(), std::iter::empty());
            exchange.malformed(&Arc::new(head), what)
        }
    };
    Ok(reply.into_response())
}

/// The body of a request. Trailers are dropped: nothing signs them.
struct Http2Body(Incoming);

impl RequestBody for Http2Body {
    fn poll_data(&mut self, whole: &mut BytesMut, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            let Some(frame) = ready!(Pin::new(&mut self.0).poll_frame(cx)) else {
                return Poll::Ready(Ok(0));
            };
            if let Ok(data) = frame.map_err(io::Error::other)?.into_data()
                && !data.is_empty()
            {
                whole.extend_from_slice(&data);
                return Poll::Ready(Ok(data.len()));
            }
        }
    }

    fn exact_len(&self) -> Option<u64> {
        if self.0.is_end_stream() { Some(0) } else { self.0.size_hint().exact() }
    }
}

/// Puts a head into the form that HTTP/1.1 would have given it: one `Host`, one `Cookie`, the
/// target alone.
///
/// # Errors
/// Where `host` and `:authority` name different hosts, or neither names one: apps differ in which
/// of them they believe (RFC 9113 §8.3.1).
fn as_http1(head: &mut Parts) -> Result<RequestHead, Malformed> {
    let authority = head.uri.authority().map(|authority| authority.as_str().to_owned());
    let host = one_host(&head.headers, authority.as_deref())?;
    let target = head.uri.path_and_query().map(|target| target.as_str());
    let target = target.filter(|target| target.starts_with('/')).ok_or("target_form")?;
    head.headers.insert(header::HOST, host);
    join_cookies(&mut head.headers);
    let fields = head.headers.iter().map(|(name, value)| (name.as_ref(), value.as_bytes()));
    Ok(RequestHead::from_http2(head.method.as_str(), target, fields))
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
    use crate::http1::FieldName;

    fn head(uri: &str, fields: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn host_and_authority_must_agree() {
        for (uri, fields, outcome) in [
            ("https://h/p?q", &[][..], Ok(&b"h"[..])),
            ("https://h/p", &[("host", "h")], Ok(b"h")),
            ("/p", &[("host", "h")], Ok(b"h")),
            ("https://h/p", &[("host", "i")], Err("host_and_authority")),
            ("https://h/p", &[("host", "h"), ("host", "h")], Err("repeated_host")),
            ("/p", &[], Err("missing_host")),
        ] {
            let told = as_http1(&mut head(uri, fields));
            let hosts =
                told.as_ref().map(|head| head.fields.get(FieldName::Host).unwrap_or_default());
            assert_eq!(hosts.map_err(|what| *what), outcome, "{uri} {fields:?}");
        }
    }

    #[test]
    fn crumbs_are_one_cookie_again() {
        let crumbs = [("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")];
        let told = as_http1(&mut head("https://h/p?q", &crumbs)).unwrap();
        let cookies = told.fields.iter().filter(|field| field.raw_name == b"cookie");
        assert!(cookies.map(|field| field.value).eq([&b"a=1; b=2; c=3"[..]]));
        assert_eq!(told.target(), b"/p?q");
    }
}
