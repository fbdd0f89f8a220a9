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
    connection::{Left, Stream},
    exchange::Exchange,
    reply::{Ending, Reply, unreadable},
    worker::Worker,
};
use crate::forward::{Late, Patience, Pieces, Tunnel};
use crate::gate::Source;
use crate::routes::Limits;
use crate::wire::{Framing, RequestHead, Rest, Scan, Unreadable, skip_empty_lines};

/// A connection that has been silent for so long is put aside with less than HTTP needs.
const RESTLESS: Duration = Duration::from_secs(1);
/// How much is read at once: of a head, and of a body that is known to be longer.
const READ: usize = 4 * 1024;
const MOST_READ: usize = 64 * 1024;
/// Pieces of an answer up to this size are gathered: copying is cheaper than a second piece.
const SHORT: usize = 4 * 1024;

/// A client that speaks HTTP/1.1.
struct Conversation<'w, S> {
    worker: &'w Worker,
    limits: Limits,
    stream: S,
    /// What has arrived and is not yet taken.
    heard: BytesMut,
    scan: Scan,
    /// What is to be said next, for as long as it is gathered.
    text: Vec<u8>,
    /// What is to come of the body of the request under way.
    rest: Rest,
    /// What its sender waits for before it sends that body, and whether it is still to be flushed.
    invitation: &'static [u8],
    unflushed: bool,
    patience: Patience,
}

/// What comes of waiting for a head.
enum Heard {
    Head(RequestHead),
    /// Not a byte of one.
    Nothing,
    /// No head, and why.
    Unreadable(Unreadable),
    /// The client has ended its side.
    End,
    /// It has taken too long.
    Late,
}

/// What comes of an answer.
enum Said {
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
) -> Left<S> {
    let mut client = Conversation::new(worker, stream, &first);
    let exchange = Exchange::new(Arc::clone(worker), peer, None);
    loop {
        let head = match client.head().await {
            Heard::Head(head) => Arc::new(head),
            Heard::Nothing => return Left::Idle(client.stream),
            Heard::Unreadable(why) => return client.refuse(why, peer).await,
            Heard::End => return Left::Over(client.stream),
            Heard::Late => return Left::Gone,
        };
        let reply = match head.framing() {
            Ok(framing) => exchange.answer(Arc::clone(&head), client.body(&head, framing)).await,
            Err(what) => exchange.malformed(&head, what),
        };
        match client.say(&head, reply).await {
            Said::All => {
                skip_empty_lines(&mut client.heard); // as old clients send behind a body
            }
            Said::Last => return Left::Over(client.stream),
            Said::Tunnel(tunnel) => {
                return Left::Tunnel(client.stream, client.heard.freeze(), tunnel);
            }
            Said::Part => return Left::Gone,
        }
        if !client.heard.is_empty() {
            yield_now().await; // one answer in each turn of the thread's connections
        }
    }
}

impl<'w, S: Stream> Conversation<'w, S> {
    fn new(worker: &'w Worker, stream: S, first: &[u8]) -> Self {
        let limits = worker.shared.live.load().limits.clone();
        let patience = Patience::new(limits.head_timeout.min(limits.response_idle_timeout));
        let mut heard = BytesMut::with_capacity(READ.max(first.len()));
        heard.extend_from_slice(first);
        Self {
            worker,
            limits,
            stream,
            heard,
            scan: Scan::default(),
            text: Vec::new(),
            rest: Rest::Length(0),
            invitation: b"",
            unflushed: false,
            patience,
        }
    }

    /// Waits for the next head.
    async fn head(&mut self) -> Heard {
        let Self { worker, limits, stream, heard, scan, patience, .. } = self;
        if heard.is_empty() {
            let stop = &worker.shared.stop;
            if worker.shared.room.is_crowded(limits) {
                return Heard::Nothing;
            }
            let enough = |waited| waited >= RESTLESS || stop.is_told();
            match patience.within(enough, |cx| read(stream, heard, READ, cx)).await {
                Ok(Ok(1..)) => {}
                Ok(_) => return Heard::End,
                Err(Late) => return Heard::Nothing,
            }
        }
        let Limits { max_head_bytes, max_headers, head_timeout, .. } = *limits;
        let head = patience.within(
            |waited| waited >= head_timeout,
            |cx| loop {
                match RequestHead::take(heard, scan, max_head_bytes, max_headers) {
                    Ok(Some(head)) => return Poll::Ready(Heard::Head(head)),
                    Ok(None) => {}
                    Err(why) => return Poll::Ready(Heard::Unreadable(why)),
                }
                if !matches!(ready!(read(stream, heard, READ, cx)), Ok(1..)) {
                    return Poll::Ready(Heard::End);
                }
            },
        );
        head.await.unwrap_or(Heard::Late)
    }

    /// The body behind this head.
    fn body(&mut self, head: &RequestHead, framing: Framing) -> Incoming<'_, 'w, S> {
        self.rest = framing.into();
        let invites = head.expects_continue();
        self.invitation = if invites { b"HTTP/1.1 100 Continue\r\n\r\n" } else { b"" };
        Incoming(self)
    }

    /// Answers what cannot be read as HTTP.
    async fn refuse(mut self, why: Unreadable, peer: Option<IpAddr>) -> Left<S> {
        tracing::debug!(?peer, ?why, "unreadable");
        self.worker.shared.observer.unreadable();
        match self.write(&unreadable(why), b"").await {
            Ok(()) => Left::Over(self.stream),
            Err(_) => Left::Gone,
        }
    }

    /// Answers a request.
    async fn say(&mut self, head: &RequestHead, mut reply: Reply) -> Said {
        // What is here of a body that nobody wants need not end the connection.
        while let Ok(Some(_unwanted)) = self.rest.take(&mut self.heard) {}
        let tunnel = reply.tunnel();
        let stays = self.rest.is_over() && head.keeps_alive() && !self.worker.shared.stop.is_told();
        let mut text = std::mem::take(&mut self.text);
        let ending = reply.write_head(head, stays, &mut text);
        let said = self.relay(&mut text, reply, ending).await;
        self.text = text;
        match (said, tunnel) {
            (Err(_), _) => Said::Part,
            (Ok(()), Some(tunnel)) => Said::Tunnel(tunnel),
            (Ok(()), None) if ending.is_last() => Said::Last,
            (Ok(()), None) => Said::All,
        }
    }

    /// Sends `text` and the answer's body, each piece as the app sends it. The exchange is told of
    /// before its end is sent: whoever has an answer, unless it is a long one, finds it counted, and
    /// its line before that of what is asked next.
    async fn relay(
        &mut self,
        text: &mut Vec<u8>,
        mut reply: Reply,
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
                    if data.len() <= SHORT {
                        text.extend_from_slice(&data);
                    } else {
                        self.flush(text, &data).await?;
                    }
                    ending.end_piece(data.len(), text);
                }
            }
            if text.len() > SHORT {
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
        let mut pieces = Pieces([first, second]);
        let enough = |waited| waited >= limits.response_idle_timeout;
        let late = |Late| Err(io::ErrorKind::TimedOut.into());
        while !pieces.is_empty() {
            let written = patience.within(enough, |cx| pieces.poll_write(stream, cx)).await;
            if written.unwrap_or_else(late)? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        let flushed = patience.within(enough, |cx| Pin::new(&mut *stream).poll_flush(cx)).await;
        flushed.unwrap_or_else(|Late| Err(io::ErrorKind::TimedOut.into()))
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
struct Incoming<'c, 'w, S>(&'c mut Conversation<'w, S>);

impl<S: Stream> Source for Incoming<'_, '_, S> {
    fn poll_more(&mut self, whole: &mut BytesMut, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
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
            if let Some(mut room) = client.rest.room(whole, MOST_READ) {
                let count = ready!(pin!(client.stream.read_buf(&mut room)).poll(cx))?;
                client.rest.pass(count);
                return Poll::Ready(unless_over(count));
            }
            unless_over(ready!(read(&mut client.stream, &mut client.heard, READ, cx))?)?;
        }
    }

    fn announced(&self) -> Option<u64> {
        self.0.rest.length()
    }
}

impl<S: Stream> Conversation<'_, S> {
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
fn unless_over(count: usize) -> io::Result<usize> {
    if count == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(count) }
}
