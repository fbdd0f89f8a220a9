//! A stretch of HTTP/1.1 (RFC 9112): heads are read and answers written here, one after another.

use std::{
    future::{Future, poll_fn},
    io,
    net::IpAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::{io::AsyncReadExt, task::yield_now};

use super::{
    connection::Disposition,
    handler::RequestHandler,
    response::{Ending, Response, unreadable},
    worker::Worker,
};
use crate::gate::RequestBody;
use crate::http1::{BodyDecoder, Framing, HeadError, HeadScanner, RequestHead, skip_empty_lines};
use crate::limits::Limits;
use crate::net::{CoarseTimer, Elapsed, IoPair, Stream};
use crate::upstream::Tunnel;

/// A connection that has been silent for so long is put aside with less than HTTP needs.
const PARK_AFTER: Duration = Duration::from_secs(1);
/// How much is read at once: of a head, and of a body that is known to be longer.
const READ_SIZE: usize = 4 * 1024;
const MAX_READ: usize = 64 * 1024;
/// IoPair of an answer up to this size are gathered: copying is cheaper than a second piece.
const INLINE_BODY_MAX: usize = 4 * 1024;

/// A client that speaks HTTP/1.1.
struct Connection<'w, S> {
    worker: &'w Worker,
    limits: Limits,
    stream: S,
    /// What has arrived and is not yet taken.
    heard: BytesMut,
    scan: HeadScanner,
    /// What is to be said next, for as long as it is gathered.
    text: Vec<u8>,
    /// What is to come of the body of the request under way.
    rest: BodyDecoder,
    /// What its sender waits for before it sends that body, and whether it is still to be flushed.
    invitation: &'static [u8],
    unflushed: bool,
    patience: CoarseTimer,
}

/// What comes of waiting for a head.
enum ReadHead {
    Head(RequestHead),
    /// Not a byte of one.
    Nothing,
    /// No head, and why.
    HeadError(HeadError),
    /// The client has ended its side.
    End,
    /// It has taken too long.
    Elapsed,
}

/// What comes of an answer.
enum AfterResponse {
    /// All of it: another request may follow.
    All,
    /// All of it, and it was the last one.
    Last,
    /// All of it, and a tunnel begins.
    Tunnel(Tunnel),
    /// Not all of it: the client or the app is gone.
    Part,
}

/// Answers requests until nothing more is to be said.
pub(super) async fn serve<S: Stream>(
    worker: &Arc<Worker>,
    stream: S,
    first: Bytes,
    peer: Option<IpAddr>,
) -> Disposition<S> {
    let mut client = Connection::new(worker, stream, &first);
    let exchange = RequestHandler::new(Arc::clone(worker), peer, None);
    loop {
        let head = match client.head().await {
            ReadHead::Head(head) => Arc::new(head),
            ReadHead::Nothing => return Disposition::Idle(client.stream),
            ReadHead::HeadError(why) => return client.refuse(why, peer).await,
            ReadHead::End => return Disposition::Over(client.stream),
            ReadHead::Elapsed => return Disposition::Gone,
        };
        let reply = match head.framing() {
            Ok(framing) => exchange.answer(Arc::clone(&head), client.body(&head, framing)).await,
            Err(what) => exchange.malformed(&head, what),
        };
        match client.say(&head, reply).await {
            AfterResponse::All => {
                skip_empty_lines(&mut client.heard); // as old clients send behind a body
            }
            AfterResponse::Last => return Disposition::Over(client.stream),
            AfterResponse::Tunnel(tunnel) => {
                return Disposition::Tunnel(client.stream, client.heard.freeze(), tunnel);
            }
            AfterResponse::Part => return Disposition::Gone,
        }
        if !client.heard.is_empty() {
            yield_now().await; // one answer in each turn of the thread's connections
        }
    }
}

impl<'w, S: Stream> Connection<'w, S> {
    fn new(worker: &'w Worker, stream: S, first: &[u8]) -> Self {
        let limits = worker.shared.snapshot.load().limits.clone();
        let patience = CoarseTimer::new(limits.head_timeout.min(limits.response_idle_timeout));
        let mut heard = BytesMut::with_capacity(READ_SIZE.max(first.len()));
        heard.extend_from_slice(first);
        Self {
            worker,
            limits,
            stream,
            heard,
            scan: HeadScanner::default(),
            text: Vec::new(),
            rest: BodyDecoder::Length(0),
            invitation: b"",
            unflushed: false,
            patience,
        }
    }

    /// Waits for the next head.
    async fn head(&mut self) -> ReadHead {
        let Self { worker, limits, stream, heard, scan, patience, .. } = self;
        if heard.is_empty() {
            let shutdown = &worker.shared.shutdown;
            if worker.shared.connection_limit.is_near_limit(limits) {
                return ReadHead::Nothing;
            }
            let enough = |waited| waited >= PARK_AFTER || shutdown.is_shutting_down();
            match patience.timeout(enough, |cx| read(stream, heard, READ_SIZE, cx)).await {
                Ok(Ok(1..)) => {}
                Ok(_) => return ReadHead::End,
                Err(Elapsed) => return ReadHead::Nothing,
            }
        }
        let Limits { max_head_bytes, max_headers, head_timeout, .. } = *limits;
        let head = patience.timeout(
            |waited| waited >= head_timeout,
            |cx| loop {
                match RequestHead::parse(heard, scan, max_head_bytes, max_headers) {
                    Ok(Some(head)) => return Poll::Ready(ReadHead::Head(head)),
                    Ok(None) => {}
                    Err(why) => return Poll::Ready(ReadHead::HeadError(why)),
                }
                if !matches!(ready!(read(stream, heard, READ_SIZE, cx)), Ok(1..)) {
                    return Poll::Ready(ReadHead::End);
                }
            },
        );
        head.await.unwrap_or(ReadHead::Elapsed)
    }

    /// The body behind this head.
    fn body(&mut self, head: &RequestHead, framing: Framing) -> Incoming<'_, 'w, S> {
        self.rest = framing.into();
        let invites = head.expects_continue();
        self.invitation = if invites { b"HTTP/1.1 100 Continue\r\n\r\n" } else { b"" };
        Incoming(self)
    }

    /// Answers what cannot be read as HTTP.
    async fn refuse(mut self, why: HeadError, peer: Option<IpAddr>) -> Disposition<S> {
        tracing::debug!(?peer, ?why, "unreadable");
        self.worker.shared.observer.record_unreadable();
        match self.write(&unreadable(why), b"").await {
            Ok(()) => Disposition::Over(self.stream),
            Err(_) => Disposition::Gone,
        }
    }

    /// Answers a request.
    async fn say(&mut self, head: &RequestHead, mut reply: Response) -> AfterResponse {
        // What is here of a body that nobody wants need not end the connection.
        while let Ok(Some(_unwanted)) = self.rest.take(&mut self.heard) {}
        let tunnel = reply.tunnel();
        let stays = self.rest.is_over()
            && head.keeps_alive()
            && !self.worker.shared.shutdown.is_shutting_down();
        let mut text = std::mem::take(&mut self.text);
        let ending = reply.write_head(head, stays, &mut text);
        let said = self.relay(&mut text, reply, ending).await;
        self.text = text;
        match (said, tunnel) {
            (Err(_), _) => AfterResponse::Part,
            (Ok(()), Some(tunnel)) => AfterResponse::Tunnel(tunnel),
            (Ok(()), None) if ending.is_last() => AfterResponse::Last,
            (Ok(()), None) => AfterResponse::All,
        }
    }

    /// Sends `text` and the answer's body, each piece as the app sends it. The exchange is told of
    /// before its end is sent: whoever has an answer, unless it is a long one, finds it counted, and
    /// its line before that of what is asked next.
    async fn relay(
        &mut self,
        text: &mut Vec<u8>,
        mut reply: Response,
        ending: Ending,
    ) -> io::Result<()> {
        while ending.has_body() {
            let waits = !text.is_empty();
            let data = poll_fn(|cx| match reply.poll_data(cx) {
                Poll::Pending if waits => Poll::Ready(None),
                data => data.map(Some),
            });
            match data.await {
                None => self.flush(text, b"").await?,
                Some(None) => break,
                Some(Some(Err(error))) => {
                    self.flush(text, b"").await?;
                    return Err(error);
                }
                Some(Some(Ok(data))) => {
                    ending.begin_piece(data.len(), text);
                    if data.len() <= INLINE_BODY_MAX {
                        text.extend_from_slice(&data);
                    } else {
                        self.flush(text, &data).await?;
                    }
                    ending.end_piece(data.len(), text);
                }
            }
            if text.len() > INLINE_BODY_MAX {
                self.flush(text, b"").await?;
            }
        }
        drop(reply);
        ending.end(text);
        self.flush(text, b"").await
    }

    async fn flush(&mut self, text: &mut Vec<u8>, more: &[u8]) -> io::Result<()> {
        self.write(text, more).await?;
        text.clear();
        Ok(())
    }

    /// Writes both, unless the client takes nothing for too long at any time.
    async fn write(&mut self, first: &[u8], second: &[u8]) -> io::Result<()> {
        let Self { stream, patience, limits, .. } = self;
        let mut pieces = IoPair([first, second]);
        let enough = |waited| waited >= limits.response_idle_timeout;
        let late = |Elapsed| Err(io::ErrorKind::TimedOut.into());
        while !pieces.is_empty() {
            let written = patience.timeout(enough, |cx| pieces.poll_write(stream, cx)).await;
            if written.unwrap_or_else(late)? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        let flushed = patience.timeout(enough, |cx| Pin::new(&mut *stream).poll_flush(cx)).await;
        flushed.unwrap_or_else(|Elapsed| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// Reads about so much; how much it was.
fn read<S: Stream>(
    stream: &mut S,
    heard: &mut BytesMut,
    wanted: usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    if heard.capacity().saturating_sub(heard.len()) < wanted / 4 {
        heard.reserve(wanted);
    }
    pin!(stream.read_buf(heard)).poll(cx)
}

/// The body of the request under way, read as it is asked for.
struct Incoming<'c, 'w, S>(&'c mut Connection<'w, S>);

impl<S: Stream> RequestBody for Incoming<'_, '_, S> {
    fn poll_data(&mut self, whole: &mut BytesMut, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let client = &mut *self.0;
        loop {
            if let Some(data) = client.rest.take(&mut client.heard).map_err(io::Error::other)? {
                let count = data.len();
                if whole.is_empty() {
                    *whole = data; // the usual body is here with its head, and not copied
                } else {
                    whole.extend_from_slice(&data);
                }
                return Poll::Ready(Ok(count));
            }
            if client.rest.is_over() {
                return Poll::Ready(Ok(0));
            }
            ready!(client.invite(cx))?;
            if let Some(mut room) = client.rest.room(whole, MAX_READ) {
                let count = ready!(pin!(client.stream.read_buf(&mut room)).poll(cx))?;
                client.rest.pass(count);
                return Poll::Ready(nonzero_or_eof(count));
            }
            nonzero_or_eof(ready!(read(&mut client.stream, &mut client.heard, READ_SIZE, cx))?)?;
        }
    }

    fn exact_len(&self) -> Option<u64> {
        self.0.rest.length()
    }
}

impl<S: Stream> Connection<'_, S> {
    /// Tells a sender who waits for it that the body is wanted.
    fn invite(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, invitation, unflushed, .. } = self;
        while !invitation.is_empty() {
            let count = ready!(Pin::new(&mut *stream).poll_write(cx, invitation))?;
            *invitation = invitation.get(count.max(1)..).unwrap_or_default();
            *unflushed = true;
        }
        if *unflushed {
            ready!(Pin::new(&mut *stream).poll_flush(cx))?;
            *unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

/// Who ends its side has not sent the whole body.
fn nonzero_or_eof(count: usize) -> io::Result<usize> {
    if count == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(count) }
}
