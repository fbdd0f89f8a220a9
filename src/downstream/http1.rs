//! HTTP/1.1 with a client (RFC 9112): heads are read and responses written one after another.

use std::{
    future::{Future, poll_fn},
    io,
    net::IpAddr,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::task::{coop::unconstrained, yield_now};

use super::{
    Snapshot,
    client::Client,
    handler::{FREE_HEAD, RequestHandler},
    response::{Response, invalid_head},
    worker::Worker,
};
use crate::gate::RequestBody;
use crate::http1::{
    BodyDecoder, BodyEncoder, FramedHead, Framing, HeadError, RequestHead, skip_empty_lines,
};
use crate::limits::{Limits, Reservation};
use crate::net::{BufferedStream, Elapsed, IoPair, READ_SIZE, ReadError, Stream, Transport};
use crate::upstream::Tunnel;

/// After this much silence the HTTP/1 buffers are dropped and the bare socket is parked.
const PARK_AFTER: Duration = Duration::from_secs(1);
/// Data up to this size is copied behind its chunk header: cheaper than a second slice in the
/// system call.
const INLINE_BODY_MAX: usize = 4 * 1024;
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The state in which HTTP/1.1 leaves the connection.
pub(super) enum Disposition<S> {
    /// Every request is answered, and no other has begun.
    Idle(S),
    /// The app has accepted a WebSocket; bytes that the client has sent already.
    Upgraded(S, Bytes, Tunnel),
    /// The connection is to be closed after what was sent.
    Close(S),
    /// The connection failed or timed out: dropped without a response.
    Aborted,
}

/// The HTTP/1.1 state of a client's connection.
struct Connection<'w, S> {
    worker: &'w Worker,
    client: &'w Client,
    /// The configuration of the request in hand.
    snapshot: Arc<Snapshot>,
    transport: Transport<S>,
    /// The body of the request in hand.
    body: BodyDecoder,
    interim: Interim,
    write_buf: Vec<u8>,
}

/// The state of `100 Continue`, which is sent only when the body is wanted.
#[derive(Clone, Copy)]
enum Interim {
    /// This much of it is to be written before the body is read.
    Pending(&'static [u8]),
    /// It is written; TLS may still hold it.
    Flushing,
    /// Nothing is to be sent.
    Done,
}

/// The result of waiting for a head.
enum ReadHead {
    Head(RequestHead),
    /// No byte of a request has arrived.
    Idle,
    Invalid(HeadError),
    Eof,
    Timeout,
}

/// The next step after a response.
enum AfterResponse {
    KeepAlive,
    Close,
    Upgrade(Tunnel),
    /// The response was not sent whole: the client or the app is gone.
    Abort,
}

/// Answers requests until the connection idles, is upgraded or ends.
pub(super) async fn serve<S: Stream>(
    worker: &Arc<Worker>,
    stream: S,
    first: Bytes,
    client: &Client,
) -> Disposition<S> {
    let handler = RequestHandler::new(Arc::clone(worker), client.peer);
    let mut connection = Connection::new(worker, client, stream, &first);
    loop {
        let head = match connection.read_head().await {
            ReadHead::Head(head) => Arc::new(head),
            ReadHead::Idle => return Disposition::Idle(connection.transport.into_parts().0),
            ReadHead::Invalid(error) => return connection.reject(error).await,
            ReadHead::Eof => return Disposition::Close(connection.transport.into_parts().0),
            ReadHead::Timeout => return Disposition::Aborted,
        };
        let response = connection.respond(&handler, &head).await;
        match connection.write_response(&head, response).await {
            AfterResponse::KeepAlive => {}
            AfterResponse::Close => return Disposition::Close(connection.transport.into_parts().0),
            AfterResponse::Upgrade(tunnel) => {
                let (stream, prefix) = connection.transport.into_parts();
                return Disposition::Upgraded(stream, prefix, tunnel);
            }
            AfterResponse::Abort => return Disposition::Aborted,
        }
        let read_buf = &mut connection.transport.io.read_buf;
        skip_empty_lines(read_buf); // as old clients send after a body (RFC 9112 §2.2)
        if !read_buf.is_empty() {
            yield_now().await; // one response for each turn of the thread's connections
        }
    }
}

impl<'w, S: Stream> Connection<'w, S> {
    fn new(worker: &'w Worker, client: &'w Client, stream: S, first: &[u8]) -> Self {
        Self {
            worker,
            client,
            snapshot: worker.shared.snapshot.load_full(),
            transport: Transport::new(stream, first),
            body: BodyDecoder::Length(0),
            interim: Interim::Done,
            write_buf: Vec::new(),
        }
    }

    /// Waits for the next head. The configuration is the one of its first byte.
    async fn read_head(&mut self) -> ReadHead {
        if self.transport.io.read_buf.is_empty() {
            let shared = &self.worker.shared;
            // An idle connection is parked where it can be evicted, once places are scarce.
            if shared.connection_limit.is_near_limit(&self.snapshot.limits) {
                return ReadHead::Idle;
            }
            let is_cancelled = || shared.shutdown.is_shutting_down();
            match self.transport.read_unless(PARK_AFTER, is_cancelled).await {
                Ok(Ok(1..)) => {}
                Ok(_) => return ReadHead::Eof,
                Err(Elapsed) => return ReadHead::Idle,
            }
        }
        self.snapshot = self.worker.shared.snapshot.load_full();
        if !self.client.is_current(&self.snapshot) {
            return ReadHead::Eof;
        }
        let limits = &self.snapshot.limits;
        let mut memory = HeadMemory::new(self.worker, self.client.peer, limits);
        let head = self.transport.timeout(limits.head_timeout, |io, cx| {
            io.poll_head(
                |buf, scanner| {
                    let (bytes, fields) = (limits.max_head_bytes, limits.max_headers);
                    let head = RequestHead::parse(buf, scanner, bytes, fields)?;
                    if head.is_none() {
                        memory.cover(buf.len())?;
                    }
                    Ok(head)
                },
                cx,
            )
        });
        match head.await {
            Ok(Ok(head)) => ReadHead::Head(head),
            Ok(Err(ReadError::Head(error))) => ReadHead::Invalid(error),
            Ok(Err(ReadError::Closed)) => ReadHead::Eof,
            Err(Elapsed) => ReadHead::Timeout,
        }
    }

    async fn respond(&mut self, handler: &RequestHandler, head: &Arc<RequestHead>) -> Response {
        let framed = match FramedHead::new(Arc::clone(head)) {
            Ok(framed) => framed,
            Err(what) => {
                self.body = BodyDecoder::Length(0);
                return handler.malformed(head, what);
            }
        };
        let snapshot = Arc::clone(&self.snapshot);
        let body = self.begin_body(head, framed.framing());
        handler.respond(&framed, body, &snapshot).await
    }

    /// Prepares for the body after this head.
    fn begin_body(&mut self, head: &RequestHead, framing: Framing) -> Http1Body<'_, S> {
        self.body = framing.into();
        let expects = head.expects_continue() && !self.body.is_complete();
        self.interim = if expects { Interim::Pending(CONTINUE) } else { Interim::Done };
        let Self { transport, body, interim, .. } = self;
        Http1Body { io: &mut transport.io, decoder: body, interim }
    }

    /// Answers bytes that are not a head.
    async fn reject(mut self, error: HeadError) -> Disposition<S> {
        tracing::debug!(peer = ?self.client.peer, ?error, "unreadable head");
        self.worker.shared.observer.record_unreadable(error);
        let idle_timeout = self.snapshot.limits.response_idle_timeout;
        let text = invalid_head(error);
        match self.transport.write_all(IoPair([&text, b""]), idle_timeout).await {
            Ok(()) => Disposition::Close(self.transport.into_parts().0),
            Err(_) => Disposition::Aborted,
        }
    }

    async fn write_response(
        &mut self,
        head: &RequestHead,
        mut response: Response,
    ) -> AfterResponse {
        // An unread body that has arrived already need not end the connection.
        while let Ok(Some(_unwanted)) = self.body.decode(&mut self.transport.io.read_buf) {}
        let shared = &self.worker.shared;
        let may_go_on =
            !shared.shutdown.is_shutting_down() && self.client.is_current(&shared.snapshot.load());
        let keep_alive = self.body.is_complete() && head.keeps_alive() && may_go_on;
        let tunnel = response.take_tunnel();
        let mut write_buf = std::mem::take(&mut self.write_buf);
        let (encoder, keep_alive) = response.write_head(head, keep_alive, &mut write_buf);
        let sent = self.relay(&mut write_buf, response, encoder).await;
        self.write_buf = write_buf;
        match (sent, tunnel) {
            (Err(_), _) => AfterResponse::Abort,
            (Ok(()), Some(tunnel)) => AfterResponse::Upgrade(tunnel),
            (Ok(()), None) if keep_alive => AfterResponse::KeepAlive,
            (Ok(()), None) => AfterResponse::Close,
        }
    }

    /// Sends `write_buf` and the body, data by data as the app sends it.
    async fn relay(
        &mut self,
        write_buf: &mut Vec<u8>,
        mut response: Response,
        mut encoder: BodyEncoder,
    ) -> io::Result<()> {
        while encoder.has_body() {
            let data = match next_data(&mut response, !write_buf.is_empty()).await {
                None => {
                    self.flush(write_buf, b"").await?;
                    continue;
                }
                Some(None) => break,
                Some(Some(data)) => data,
            };
            let framed = data.and_then(|data| {
                let begun = encoder.begin_data(data.len(), write_buf);
                begun.map_err(|mismatch| response.fail_length(mismatch)).map(|()| data)
            });
            let data = match framed {
                Ok(data) => data,
                Err(error) => {
                    self.flush(write_buf, b"").await?;
                    return Err(error);
                }
            };
            if data.len() <= INLINE_BODY_MAX {
                write_buf.extend_from_slice(&data);
            } else {
                self.flush(write_buf, &data).await?;
            }
            encoder.end_data(data.len(), write_buf);
            if write_buf.len() > INLINE_BODY_MAX {
                self.flush(write_buf, b"").await?;
            }
        }
        let finished = encoder.finish(write_buf);
        let finished = finished.map_err(|mismatch| response.fail_length(mismatch));
        response.finish();
        self.flush(write_buf, b"").await?;
        finished
    }

    async fn flush(&mut self, write_buf: &mut Vec<u8>, data: &[u8]) -> io::Result<()> {
        let idle_timeout = self.snapshot.limits.response_idle_timeout;
        self.transport.write_all(IoPair([write_buf, data]), idle_timeout).await?;
        write_buf.clear();
        Ok(())
    }
}

/// Returns the next data of the response; `None` if it is not there yet and there are bytes to be
/// flushed meanwhile.
async fn next_data(
    response: &mut Response,
    has_unflushed: bool,
) -> Option<Option<io::Result<Bytes>>> {
    poll_fn(|cx| match response.poll_data(cx) {
        Poll::Pending if has_unflushed => Poll::Ready(None),
        data => data.map(Some),
    })
    .await
}

/// The memory of a head that is being received, counted as buffered once it is large.
struct HeadMemory<'w> {
    worker: &'w Worker,
    peer: Option<IpAddr>,
    limits: &'w Limits,
    /// One for each read beyond [`FREE_HEAD`].
    reservations: Vec<Reservation>,
    covered: usize,
}

impl<'w> HeadMemory<'w> {
    const fn new(worker: &'w Worker, peer: Option<IpAddr>, limits: &'w Limits) -> Self {
        Self { worker, peer, limits, reservations: Vec::new(), covered: FREE_HEAD }
    }

    fn cover(&mut self, bytes: usize) -> Result<(), HeadError> {
        let Some(more @ 1..) = bytes.checked_sub(self.covered) else { return Ok(()) };
        self.covered = bytes;
        let reservation =
            self.worker.reserve(more, self.peer, self.limits).ok_or(HeadError::Overloaded)?;
        self.reservations.push(reservation);
        Ok(())
    }
}

/// The body of the request in hand, read as the gate asks for it.
struct Http1Body<'c, S> {
    io: &'c mut BufferedStream<S>,
    decoder: &'c mut BodyDecoder,
    interim: &'c mut Interim,
}

impl<S: Stream> RequestBody for Http1Body<'_, S> {
    fn poll_data(&mut self, whole: &mut BytesMut, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            let data = self.decoder.decode(&mut self.io.read_buf).map_err(io::Error::other)?;
            if let Some(data) = data {
                let count = data.len();
                if whole.is_empty() {
                    *whole = data; // not copied: the usual body arrives with its head
                } else {
                    whole.extend_from_slice(&data);
                }
                return Poll::Ready(Ok(count));
            }
            if self.decoder.is_complete() {
                return Poll::Ready(Ok(0));
            }
            ready!(self.interim.poll_send(self.io, cx))?;
            if let Some(read) = self.io.poll_read_into(self.decoder, whole, cx) {
                return Poll::Ready(nonzero_or_eof(ready!(read)?));
            }
            nonzero_or_eof(ready!(self.io.poll_read(READ_SIZE, cx))?)?;
        }
    }

    fn exact_len(&self) -> Option<u64> {
        self.decoder.remaining()
    }

    /// Another request that has arrived already hides the end behind it.
    fn is_client_gone(&mut self) -> bool {
        if !self.decoder.is_complete() || !self.io.read_buf.is_empty() {
            return false;
        }
        let read = poll_fn(|cx| self.io.poll_read(READ_SIZE, cx));
        let read = pin!(unconstrained(read)).poll(&mut Context::from_waker(Waker::noop()));
        matches!(read, Poll::Ready(Ok(0) | Err(_)))
    }
}

impl Interim {
    /// Sends `100 Continue` to a client that waits for it (RFC 9110 §10.1.1).
    fn poll_send<S: Stream>(
        &mut self,
        io: &mut BufferedStream<S>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            *self = match *self {
                Self::Pending([]) => Self::Flushing,
                Self::Pending(text) => {
                    let mut pair = IoPair([text, b""]);
                    let count = ready!(io.poll_write(&mut pair, cx))?;
                    Self::Pending(text.get(nonzero_or_eof(count)?..).unwrap_or_default())
                }
                Self::Flushing => {
                    ready!(io.poll_flush(cx))?;
                    Self::Done
                }
                Self::Done => return Poll::Ready(Ok(())),
            }
        }
    }
}

/// A client that ends its side has not sent the whole body.
fn nonzero_or_eof(count: usize) -> io::Result<usize> {
    if count == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(count) }
}
