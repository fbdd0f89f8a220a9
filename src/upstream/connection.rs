//! One HTTP/1.1 connection to an upstream.

use std::{
    future::{Future, poll_fn},
    io,
    pin::pin,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use tokio::task::coop::unconstrained;

use super::{Failure, UpstreamError, connect, pool_key::PoolKey, request::UpstreamRequest};
use crate::http1::{BodyDecoder, ResponseHead};
use crate::limits::Limits;
use crate::net::{BufferedStream, Elapsed, IoPair, MAX_READ, ReadError, Socket, Transport};

/// A connection that is driven by the request that uses it: no task of its own, so no wake-up
/// across tasks.
#[derive(Debug)]
pub(super) struct Connection {
    key: PoolKey,
    transport: Transport<Socket>,
    writing: Writing,
    reading: Reading,
    /// The part of the request that is unsent when the response begins.
    unsent: Bytes,
}

/// The state of the request's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writing {
    /// No byte of the request has been written.
    Init,
    /// Some of the request may have been written.
    Started,
    /// The request is written; TLS may still hold some of it.
    Flushing,
    /// The request is written and flushed.
    Done,
    /// The app takes no more of the request. It may respond all the same.
    Failed {
        /// Some of the request may have been written.
        started: bool,
    },
}

/// The state of the response's side.
#[derive(Debug)]
enum Reading {
    /// No response is expected.
    Idle,
    /// The head of a response is awaited.
    Head,
    /// The body of a response is awaited; then the state becomes [`Reading::Idle`] if `is_reusable`.
    Body { decoder: BodyDecoder, is_reusable: bool },
    /// Nothing can follow: the connection is not reusable.
    Closed,
}

/// The result of sending a request over one connection.
pub(super) enum Attempt {
    /// The app has begun to respond.
    Answered(ResponseHead),
    /// No byte of the request was written: it may be tried over another connection.
    Unsent,
    /// The app may have received the request.
    Failed(UpstreamError),
}

impl Attempt {
    fn failed(cause: &'static str) -> Self {
        Self::Failed(UpstreamError::new(Failure::Failed, cause))
    }
}

/// Most interim responses before a response.
const MAX_INTERIM: usize = 32;
/// Longest head of a response, in bytes.
const MAX_HEAD: usize = 64 * 1024;
/// Least bytes to make space for when a body is read; [`MAX_READ`] is the most.
const MIN_READ: usize = 8 * 1024;

impl Writing {
    /// Writes as much of the request as the app takes.
    fn advance(
        &mut self,
        io: &mut BufferedStream<Socket>,
        pair: &mut IoPair<'_>,
        cx: &mut Context<'_>,
    ) {
        loop {
            *self = match *self {
                Self::Init | Self::Started if pair.is_empty() => Self::Flushing,
                Self::Init | Self::Started => match io.poll_write(pair, cx) {
                    Poll::Ready(Ok(1..)) => Self::Started,
                    Poll::Ready(_) => {
                        // TLS may have sent records before it failed.
                        let started = *self == Self::Started || io.stream().is_tls();
                        Self::Failed { started }
                    }
                    Poll::Pending => return,
                },
                Self::Flushing => match io.poll_flush(cx) {
                    Poll::Ready(Ok(())) => Self::Done,
                    Poll::Ready(Err(_)) => Self::Failed { started: true },
                    Poll::Pending => return,
                },
                Self::Done | Self::Failed { .. } => return,
            };
        }
    }

    /// Returns whether the app may have received some of the request.
    const fn has_started(self) -> bool {
        !matches!(self, Self::Init | Self::Failed { started: false })
    }
}

impl Connection {
    /// Connects. Nothing has been sent yet.
    pub(super) async fn connect(key: PoolKey, limits: &Limits) -> Result<Box<Self>, UpstreamError> {
        let socket = connect::open(&key.upstream, limits).await?;
        Ok(Box::new(Self::new(key, socket)))
    }

    fn new(key: PoolKey, socket: Socket) -> Self {
        Self {
            key,
            transport: Transport::new(socket, b""),
            writing: Writing::Done,
            reading: Reading::Idle,
            unsent: Bytes::new(),
        }
    }

    /// Sends a request and waits at most `limit` for the head of its response.
    pub(super) async fn send(&mut self, request: &mut UpstreamRequest, limit: Duration) -> Attempt {
        (self.writing, self.reading) = (Writing::Init, Reading::Head);
        let Self { transport, writing, .. } = self;
        let (is_head, mut interims) = (request.is_head, Interims::default());
        let UpstreamRequest { head, body, replay, .. } = request;
        let mut pair = IoPair([head, body]);
        let received = transport.timeout(limit, |io, cx| {
            writing.advance(io, &mut pair, cx);
            if writing.has_started()
                && let Some(replay) = replay.take()
            {
                replay.commit();
            }
            if *writing == (Writing::Failed { started: false }) {
                return Poll::Ready(Err("the connection was closed"));
            }
            poll_response_head(io, &mut interims, cx)
        });
        let head = match received.await {
            Ok(Ok(head)) => head,
            Ok(Err(_)) if !self.writing.has_started() => return Attempt::Unsent,
            Ok(Err(cause)) => return Attempt::failed(cause),
            Err(Elapsed) => {
                let cause = "no response within response_timeout";
                return Attempt::Failed(UpstreamError::new(Failure::Timeout, cause));
            }
        };
        self.unsent = pair.0.concat().into();
        self.begin_response(head, is_head, interims.announced_body)
    }

    fn begin_response(
        &mut self,
        mut head: ResponseHead,
        is_head: bool,
        is_contradictory: bool,
    ) -> Attempt {
        let Ok(framing) = head.normalize_framing(is_head) else {
            return Attempt::failed("its length is invalid or contradictory");
        };
        let is_reusable = framing.is_reusable && head.keeps_alive() && !is_contradictory;
        self.reading = Reading::Body { decoder: framing.body.into(), is_reusable };
        self.end_body();
        Attempt::Answered(head)
    }

    /// Returns the next data of the response's body; `None` at its end.
    pub(super) fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        self.write_unsent(cx);
        loop {
            self.end_body();
            let Reading::Body { decoder, .. } = &mut self.reading else {
                return Poll::Ready(None);
            };
            let io = &mut self.transport.io;
            match decoder.decode(&mut io.read_buf) {
                Ok(Some(data)) => {
                    self.end_body();
                    return Poll::Ready(Some(Ok(data.freeze())));
                }
                Ok(None) if decoder.is_complete() => continue,
                Ok(None) => {}
                Err(what) => return Poll::Ready(Some(Err(io::Error::other(what)))),
            }
            let wanted = decoder.remaining().map_or(MAX_READ, |left| {
                usize::try_from(left).unwrap_or(MAX_READ).clamp(MIN_READ, MAX_READ)
            });
            match ready!(io.poll_read(wanted, cx)) {
                Ok(1..) => {}
                Ok(0) if matches!(decoder, BodyDecoder::UntilEnd) => self.reading = Reading::Closed,
                Ok(0) => return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into()))),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }

    /// Leaves [`Reading::Body`] once the body is complete.
    fn end_body(&mut self) {
        if let Reading::Body { decoder, is_reusable } = &self.reading
            && decoder.is_complete()
        {
            self.reading = if *is_reusable { Reading::Idle } else { Reading::Closed };
        }
    }

    /// Returns whether the response is complete.
    pub(super) const fn is_response_complete(&self) -> bool {
        matches!(self.reading, Reading::Idle | Reading::Closed)
    }

    /// Returns the number of body bytes that are to come, where it is known.
    pub(super) const fn remaining(&self) -> Option<u64> {
        match &self.reading {
            Reading::Body { decoder, .. } => decoder.remaining(),
            Reading::Idle | Reading::Head | Reading::Closed => Some(0),
        }
    }

    /// Goes on with a request that the app began to answer before it had all of it.
    fn write_unsent(&mut self, cx: &mut Context<'_>) {
        if self.unsent.is_empty() && self.writing == Writing::Done {
            return;
        }
        let unsent = std::mem::take(&mut self.unsent);
        let mut pair = IoPair([&unsent, b""]);
        self.writing.advance(&mut self.transport.io, &mut pair, cx);
        if !matches!(self.writing, Writing::Failed { .. }) {
            self.unsent = unsent.slice_ref(pair.0.first().copied().unwrap_or_default());
        }
    }

    /// Returns whether some of the request is still to be sent.
    pub(super) const fn has_unsent(&self) -> bool {
        !matches!(self.writing, Writing::Done | Writing::Failed { .. })
    }

    /// Sends the rest of the request, for as long as the app takes some of it within each
    /// `idle_timeout`.
    pub(super) async fn send_rest(&mut self, idle_timeout: Duration) {
        while self.has_unsent() {
            let before = self.unsent.len();
            let Self { transport, writing, unsent, .. } = self;
            let mut pair = IoPair([&unsent[..], b""]);
            let moved = transport.timeout(idle_timeout, |io, cx| {
                writing.advance(io, &mut pair, cx);
                let left = pair.0.first().map_or(0, |left| left.len());
                let moved =
                    left < before || matches!(writing, Writing::Done | Writing::Failed { .. });
                if moved { Poll::Ready(left) } else { Poll::Pending }
            });
            let Ok(left) = moved.await else { return };
            *unsent = unsent.split_off(before.saturating_sub(left));
        }
    }

    /// Returns whether another request can follow: the request is sent whole, the response is
    /// complete, and the app has sent nothing beyond it.
    pub(super) fn is_reusable(&self) -> bool {
        let is_quiet = self.transport.io.read_buf.is_empty();
        self.writing == Writing::Done && matches!(self.reading, Reading::Idle) && is_quiet
    }

    /// Asks the system whether the app has closed an idle connection, or sent what nobody asked
    /// for: bytes that would be taken for the next response.
    pub(super) fn has_unexpected_input(&mut self) -> bool {
        let io = &mut self.transport.io;
        if io.stream().is_tls() {
            // Session tickets may arrive at any time; rustls consumes them without yielding data.
            let read = poll_fn(|cx| io.poll_read(MIN_READ, cx));
            let read = pin!(unconstrained(read)).poll(&mut Context::from_waker(Waker::noop()));
            if read.is_ready() {
                return true;
            }
        }
        io.stream().has_input()
    }

    /// Returns the socket after a 101, and the bytes that the app has already sent over it.
    pub(super) fn into_upgraded(self) -> (Socket, Bytes) {
        self.transport.into_parts()
    }

    pub(super) const fn key(&self) -> &PoolKey {
        &self.key
    }
}

/// The interim responses before a response.
#[derive(Default)]
struct Interims {
    count: usize,
    /// One of them announced a body, which it cannot have (RFC 9110 §15.2): an app that sends it all
    /// the same would have it taken for the next response.
    announced_body: bool,
}

impl Interims {
    /// Counts an interim response; `false` if there are too many.
    fn add(&mut self, head: &ResponseHead) -> bool {
        self.count = self.count.saturating_add(1);
        self.announced_body |= head.announces_body();
        self.count <= MAX_INTERIM
    }
}

/// Reads the next head that is not interim; an error says why none will come.
fn poll_response_head(
    io: &mut BufferedStream<Socket>,
    interims: &mut Interims,
    cx: &mut Context<'_>,
) -> Poll<Result<ResponseHead, &'static str>> {
    loop {
        let head = io.poll_head(|buf, scanner| ResponseHead::parse(buf, scanner, MAX_HEAD), cx);
        match ready!(head) {
            Ok(head) if !is_interim(head.status) => return Poll::Ready(Ok(head)),
            Ok(head) if interims.add(&head) => {}
            Ok(_) => return Poll::Ready(Err("too many interim responses")),
            Err(ReadError::Head(_)) => {
                return Poll::Ready(Err("it is not a valid HTTP/1.1 response"));
            }
            Err(ReadError::Closed) => {
                return Poll::Ready(Err("the connection was closed before the response"));
            }
        }
    }
}

/// Returns whether another response follows this one (RFC 9110 §15.2). Interim responses are not
/// forwarded.
const fn is_interim(status: u16) -> bool {
    matches!(status, 100 | 102..=199)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::UnixStream,
        time::timeout,
    };

    use super::*;
    use crate::limits::MemoryBudget;
    use crate::routes::Upstream;

    const HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: h\r\n\r\n";
    const SOON: Duration = Duration::from_secs(2);

    fn connection() -> (Connection, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Connection::new(key(), Socket::Unix(ours)), theirs)
    }

    fn key() -> PoolKey {
        let upstream = Arc::new(Upstream::parse("http://127.0.0.1:1").unwrap());
        PoolKey { upstream, is_proven: true }
    }

    fn request(head: &[u8], body: &[u8], is_head: bool) -> UpstreamRequest {
        UpstreamRequest {
            head: head.to_vec(),
            body: Bytes::copy_from_slice(body),
            is_head,
            is_handshake: false,
            response_timeout: Duration::from_secs(1),
            reservation: Arc::new(MemoryBudget::default()).reserve(u64::MAX, 0, true, None),
            replay: None,
        }
    }

    async fn send(connection: &mut Connection, body: &[u8], is_head: bool) -> Attempt {
        connection.send(&mut request(HEAD, body, is_head), SOON).await
    }

    async fn respond(app: &mut UnixStream, text: &str) {
        app.write_all(text.as_bytes()).await.unwrap();
    }

    async fn whole_body(connection: &mut Connection) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let next = timeout(SOON, poll_fn(|cx| connection.poll_body(cx)));
            match next.await.expect("the body hangs") {
                Some(data) => body.extend_from_slice(&data?),
                None => return Ok(body),
            }
        }
    }

    #[tokio::test]
    async fn an_app_that_answers_early_still_gets_the_whole_request() {
        let (mut connection, mut app) = connection();
        let body = vec![b'x'; 1 << 20];
        let app = tokio::spawn(async move {
            let mut first = [0];
            app.read_exact(&mut first).await.unwrap();
            respond(&mut app, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            let mut request = vec![0; HEAD.len() + (1 << 20) - 1];
            app.read_exact(&mut request).await.unwrap();
            respond(&mut app, "2\r\nhi\r\n0\r\n\r\n").await;
            app
        });
        let Attempt::Answered(head) = send(&mut connection, &body, false).await else {
            panic!("no response")
        };
        assert!(head.status == 200 && connection.has_unsent() && !connection.is_reusable());
        assert_eq!(whole_body(&mut connection).await.unwrap(), b"hi");
        assert!(connection.is_reusable() && !connection.has_unsent());
        drop(app.await.unwrap());
    }

    #[tokio::test]
    async fn a_response_that_is_over_early_does_not_cut_the_request() {
        let (mut connection, mut app) = connection();
        let body = vec![b'x'; 1 << 20];
        let app = tokio::spawn(async move {
            app.read_exact(&mut [0]).await.unwrap();
            respond(&mut app, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await;
            let mut request = Vec::new();
            app.read_to_end(&mut request).await.unwrap();
            request.len()
        });
        let attempt = send(&mut connection, &body, false).await;
        assert!(matches!(attempt, Attempt::Answered(_)));
        assert_eq!(whole_body(&mut connection).await.unwrap(), b"hi");
        assert!(connection.has_unsent() && !connection.is_reusable());
        connection.send_rest(SOON).await;
        assert!(!connection.has_unsent());
        drop(connection);
        assert_eq!(app.await.unwrap(), HEAD.len() + body.len() - 1);
    }

    #[tokio::test]
    async fn an_idle_connection_with_input_is_not_used() {
        for text in ["HTTP/1.1 408 Request Timeout\r\n\r\n", "x"] {
            let (mut connection, mut app) = connection();
            assert!(!connection.has_unexpected_input());
            respond(&mut app, text).await;
            assert!(connection.has_unexpected_input(), "{text}");
        }
        let (mut connection, app) = connection();
        drop(app);
        assert!(connection.has_unexpected_input(), "closed");
    }

    #[tokio::test]
    async fn a_connection_is_reused_only_after_an_unambiguous_response() {
        for (is_head, text, is_reusable) in [
            (false, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", true),
            (false, "HTTP/1.1 204 No Content\r\n\r\n", true),
            (false, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi and more", false),
            (true, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", false),
            (false, "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", true),
            (
                false,
                "HTTP/1.1 103 Early Hints\r\nContent-Length: 2\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
                false,
            ),
            (false, "HTTP/1.1 304 Not Modified\r\n\r\n", false),
            (false, "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n", false),
            (false, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi", false),
            (
                false,
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                false,
            ),
        ] {
            let (mut connection, mut app) = connection();
            respond(&mut app, text).await;
            let attempt = send(&mut connection, b"", is_head).await;
            assert!(matches!(attempt, Attempt::Answered(_)), "{text}");
            whole_body(&mut connection).await.unwrap();
            assert_eq!(connection.is_reusable(), is_reusable, "{text}");
        }
    }

    #[tokio::test]
    async fn interim_responses_are_skipped_up_to_a_limit() {
        for (count, is_answered) in [(0, true), (3, true), (MAX_INTERIM + 1, false)] {
            let (mut connection, mut app) = connection();
            let interims = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(count);
            tokio::spawn(async move {
                app.read_exact(&mut [0; HEAD.len()]).await.unwrap();
                respond(&mut app, &interims).await;
                respond(&mut app, "HTTP/1.1 204 No Content\r\n\r\n").await;
                app
            });
            match send(&mut connection, b"", false).await {
                Attempt::Answered(head) => {
                    let is_complete = connection.is_response_complete();
                    assert!(is_answered && head.status == 204 && is_complete, "{count}");
                }
                Attempt::Failed(error) if error.failure == Failure::Failed => {
                    assert!(!is_answered, "{count}");
                }
                Attempt::Failed(_) | Attempt::Unsent => panic!("{count}"),
            }
        }
    }

    #[tokio::test]
    async fn a_connection_closed_before_the_first_byte_leaves_the_request_unsent() {
        let (mut connection, app) = connection();
        drop(app);
        assert!(matches!(send(&mut connection, b"", false).await, Attempt::Unsent));
    }

    #[tokio::test]
    async fn a_connection_closed_after_the_first_byte_fails_the_request() {
        for text in ["", "HTTP/1.1 200", "HTTP/1.1 099 No\r\n\r\n", "nonsense\r\n\r\n"] {
            let (mut connection, mut app) = connection();
            tokio::spawn(async move {
                app.read_exact(&mut [0; HEAD.len()]).await.unwrap();
                respond(&mut app, text).await;
            });
            let attempt = send(&mut connection, b"", false).await;
            let is_failed = |error: &UpstreamError| error.failure == Failure::Failed;
            assert!(matches!(attempt, Attempt::Failed(error) if is_failed(&error)), "{text}");
        }
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_an_error_and_the_connection_is_not_reusable() {
        for (head, body) in [
            ("Content-Length: 3\r\n", "hi"),
            ("Transfer-Encoding: chunked\r\n", "2\r\nhi\r\n"),
            ("Transfer-Encoding: chunked\r\n", "2\r\nhi\r\nx\r\n"),
        ] {
            let (mut connection, mut app) = connection();
            tokio::spawn(async move {
                app.read_exact(&mut [0; HEAD.len()]).await.unwrap();
                respond(&mut app, &format!("HTTP/1.1 200 OK\r\n{head}\r\n{body}")).await;
            });
            let attempt = send(&mut connection, b"", false).await;
            assert!(matches!(attempt, Attempt::Answered(_)));
            assert!(whole_body(&mut connection).await.is_err(), "{body}");
            assert!(!connection.is_response_complete() && !connection.is_reusable());
        }
    }

    #[tokio::test]
    async fn a_body_without_length_ends_with_the_connection() {
        let (mut connection, mut app) = connection();
        tokio::spawn(async move {
            app.read_exact(&mut [0; HEAD.len()]).await.unwrap();
            respond(&mut app, "HTTP/1.0 200 OK\r\n\r\nall of it").await;
        });
        let attempt = send(&mut connection, b"", false).await;
        assert!(matches!(attempt, Attempt::Answered(_)));
        assert_eq!(whole_body(&mut connection).await.unwrap(), b"all of it");
        assert!(!connection.is_reusable());
    }
}
