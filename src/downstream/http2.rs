//! HTTP/2 with a client, by hyper; and the checks that hyper leaves to its user.

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    io,
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
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::sleep;

use super::{
    activity::{Activity, StreamExecutor},
    client::Client,
    handler::RequestHandler,
    response::Http2ResponseBody,
    shutdown::LINGER,
    worker::Worker,
};
use crate::gate::RequestBody;
use crate::http1::{FramedHead, Malformed, RequestHead};
use crate::limits::Limits;
use crate::net::{PrefixedIo, Stream};

/// Most streams at once on one connection. Twilio needs few, and each holds memory.
const MAX_CONCURRENT_STREAMS: u32 = 16;
/// Receive windows: a stream's body is read as it arrives, so more would only be buffered.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// Most bytes of a response that are buffered for a client that does not take them.
const MAX_SEND_BUFFER: usize = 64 * 1024;
/// Interval between two looks at the state of the connection.
const TICK_INTERVAL: Duration = Duration::from_millis(500);
/// Interval between two pings, and the timeout of their answers.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// Answers requests until the client closes, idles for too long or is evicted, or the process shuts
/// down.
pub(super) async fn serve<S: Stream>(
    worker: &Arc<Worker>,
    stream: S,
    first: Bytes,
    client: Client,
) {
    let limits = worker.shared.snapshot.load().limits.clone();
    let activity = Arc::new(Activity::default());
    let peer = client.peer;
    let client = Arc::new(client);
    let handler = Arc::new(RequestHandler::new(Arc::clone(worker), peer));
    let service = service_fn({
        let (worker, client) = (Arc::clone(worker), Arc::clone(&client));
        move |request| {
            respond(Arc::clone(&worker), Arc::clone(&handler), Arc::clone(&client), request)
        }
    });
    let executor = StreamExecutor::new(Arc::clone(worker), peer, Arc::clone(&activity));
    let mut streams = executor.streams();
    let stream = TokioIo::new(PrefixedIo::new(first, stream));
    let connection = builder(executor, &limits).serve_connection(stream, service);
    let mut connection = pin!(connection);
    let mut idle = pin!(idle(worker, &client, &activity, &limits));
    let mut closing: Option<Pin<Box<tokio::time::Sleep>>> = None;
    let ended = poll_fn(|cx| {
        if closing.is_none()
            && let Poll::Ready(linger) = idle.as_mut().poll(cx)
        {
            connection.as_mut().graceful_shutdown();
            closing = Some(Box::pin(sleep(linger)));
        }
        let ended = connection.as_mut().poll(cx); // writes GOAWAY
        streams.poll(cx);
        // A client that answers neither GOAWAY nor PING holds nothing for longer than a moment.
        if let Some(closing) = &mut closing
            && activity.is_idle()
            && closing.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Ok(()));
        }
        ended
    });
    if let Err(error) = ended.await {
        tracing::debug!(?peer, %error, "connection ended");
    }
}

/// Returns once the connection is to accept no more streams: the process shuts down, `client_ca` has
/// changed, or no stream is open and the connection is evicted or has idled for too long. The result
/// is how long the client may take to close: an evicted one has no time, since its place is already
/// another's.
async fn idle(worker: &Worker, client: &Client, activity: &Activity, limits: &Limits) -> Duration {
    let shared = &worker.shared;
    loop {
        // Only while no stream is open is the connection among those that can be evicted.
        tokio::select! {
            biased;
            () = shared.shutdown.signaled() => return LINGER,
            () = activity.begun() => {}
            () = shared.connection_limit.evicted(), if activity.is_idle() => return Duration::ZERO,
            () = sleep(TICK_INTERVAL) => {}
        }
        let timeout = if activity.has_begun() { limits.idle_timeout } else { limits.head_timeout };
        if activity.idle_for() >= timeout || !client.is_current(&shared.snapshot.load()) {
            return LINGER;
        }
    }
}

fn builder(executor: StreamExecutor, limits: &Limits) -> http2::Builder<StreamExecutor> {
    let mut builder = http2::Builder::new(executor);
    builder
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(MAX_SEND_BUFFER)
        .max_header_list_size(u32::try_from(limits.max_head_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_INTERVAL);
    builder
}

async fn respond(
    worker: Arc<Worker>,
    handler: Arc<RequestHandler>,
    client: Arc<Client>,
    request: Request<Incoming>,
) -> Result<hyper::Response<Http2ResponseBody>, Infallible> {
    let snapshot = worker.shared.snapshot.load_full(); // one per request
    let (mut parts, body) = request.into_parts();
    let malformed_head = |parts: &Parts| {
        let path = parts.uri.path();
        Arc::new(RequestHead::from_http2(parts.method.as_str(), path, std::iter::empty()))
    };
    let response = if !client.is_current(&snapshot) {
        // The client may open streams until it has acknowledged the GOAWAY.
        handler.malformed(&malformed_head(&parts), "outdated_client_certificate")
    } else if parts.headers.len() > snapshot.limits.max_headers {
        handler.too_many_fields(&malformed_head(&parts))
    } else {
        match to_http1(&mut parts) {
            Ok(head) => {
                drop(parts); // the head is a copy
                handler.respond(&head, Http2Body(body), &snapshot).await
            }
            Err(what) => handler.malformed(&malformed_head(&parts), what),
        }
    };
    Ok(response.into_http2())
}

/// The body of a request. Trailers are dropped: no signature covers them.
struct Http2Body(Incoming);

impl RequestBody for Http2Body {
    fn poll_data(&mut self, whole: &mut BytesMut, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            let Some(frame) = ready!(Pin::new(&mut self.0).poll_frame(cx)) else {
                // hyper reports RST_STREAM(NO_ERROR) as the end of the body: only END_STREAM is.
                let is_whole = self.0.is_end_stream();
                let cut = || io::ErrorKind::UnexpectedEof.into();
                return Poll::Ready(if is_whole { Ok(0) } else { Err(cut()) });
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

    /// A stream that the client has reset is dropped, and its request with it.
    fn is_client_gone(&mut self) -> bool {
        false
    }
}

/// Converts a head to the form that HTTP/1.1 would have given it: one `Host`, one `Cookie`, the
/// target alone. Then its framing is checked as that of any other head.
///
/// # Errors
/// [`Malformed`]: that of [`FramedHead`]; `host` and `:authority` that differ, since apps differ in
/// which of them they use (RFC 9113 §8.3.1); white space around a value (RFC 9113 §8.2.1).
fn to_http1(parts: &mut Parts) -> Result<FramedHead, Malformed> {
    let authority = parts.uri.authority().map(|authority| authority.as_str().to_owned());
    let host = single_host(&parts.headers, authority.as_deref())?;
    let target = parts.uri.path_and_query().map(|target| target.as_str());
    let target = target.filter(|target| target.starts_with('/')).ok_or("target_form")?;
    if parts.headers.values().any(|value| value.as_bytes() != value.as_bytes().trim_ascii()) {
        return Err("field_value");
    }
    parts.headers.insert(header::HOST, host);
    join_cookies(&mut parts.headers);
    let fields = parts.headers.iter().map(|(name, value)| (name.as_ref(), value.as_bytes()));
    FramedHead::new(Arc::new(RequestHead::from_http2(parts.method.as_str(), target, fields)))
}

fn single_host(headers: &HeaderMap, authority: Option<&str>) -> Result<HeaderValue, Malformed> {
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

/// Joins cookies that were sent as several fields; HTTP/1.1 has one (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut cookies = headers.get_all(header::COOKIE).iter();
    let (Some(first), Some(second)) = (cookies.next(), cookies.next()) else { return };
    let mut joined = [first.as_bytes(), second.as_bytes()].join(&b"; "[..]);
    for cookie in cookies {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(cookie.as_bytes());
    }
    if let Ok(joined) = HeaderValue::from_bytes(&joined) {
        headers.insert(header::COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::FieldName;

    fn parts(uri: &str, fields: &[(&str, &str)]) -> Parts {
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
            let framed = to_http1(&mut parts(uri, fields));
            let hosts = framed
                .as_ref()
                .map(|framed| framed.head().fields.get(FieldName::Host).unwrap_or_default());
            assert_eq!(hosts.map_err(|what| *what), outcome, "{uri} {fields:?}");
        }
    }

    #[test]
    fn framing_is_checked_as_in_http1() {
        for (fields, what) in [
            (&[("content-length", "3"), ("content-length", "3")][..], "content_length"),
            (&[("content-length", "+3")], "content_length"),
            (&[("content-length", "")], "content_length"),
            (&[("transfer-encoding", "chunked")], "transfer_encoding"),
            (&[("x-a", " 1")], "field_value"),
            (&[("x-a", "1\t")], "field_value"),
        ] {
            let framed = to_http1(&mut parts("https://h/p", fields));
            assert_eq!(framed.unwrap_err(), what, "{fields:?}");
        }
    }

    #[test]
    fn cookies_are_joined_to_one_field() {
        let cookies = [("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")];
        let framed = to_http1(&mut parts("https://h/p?q", &cookies)).unwrap();
        let fields = framed.head().fields.iter().filter(|field| field.raw_name == b"cookie");
        assert!(fields.map(|field| field.value).eq([&b"a=1; b=2; c=3"[..]]));
        assert_eq!(framed.head().target(), b"/p?q");
    }
}
