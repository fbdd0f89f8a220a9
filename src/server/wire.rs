//! The head as it came over the wire, where hyper's view of it is too kind.
//!
//! hyper 1.12 takes Content-Length beside Transfer-Encoding and drops one of them, joins what is
//! repeated, cuts a `#fragment` off the target. A gate that forwards must not guess what was meant:
//! such a message is refused and its connection closed. So the bytes that hyper reads are seen here
//! too, and each head is looked at once more before the gate hears of it.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use memchr::memchr;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A socket whose incoming bytes are also recorded.
pub(super) struct Wire<S> {
    socket: S,
    /// What was read before HTTP began.
    early: Bytes,
    record: Record,
}

/// The bytes that arrived and are not yet accounted for, and how the connection fares.
#[derive(Clone)]
pub(super) struct Record(Arc<Mutex<State>>);

struct State {
    bytes: Vec<u8>,
    /// Bytes of a body still to come; they are not kept.
    body: u64,
    /// A request is being answered.
    answering: bool,
    /// Since when a head is awaited, or its first byte is here.
    since: Instant,
    /// Since when the client takes nothing.
    blocked: Option<Instant>,
    /// The client has ended its side.
    ended: bool,
}

/// How a connection fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pulse {
    /// A request is being answered.
    Answering,
    /// Nothing is there, and all is said, since then.
    Idle(Instant),
    /// A head has begun to arrive, then.
    Head(Instant),
    /// The client takes nothing, since then.
    Blocked(Instant),
}

/// What a head says of the message that it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// Its end is known: another message may follow.
    Length(u64),
    /// It ends with its last chunk. The connection is closed after the answer, so that nothing
    /// here has to agree with hyper on where that was.
    Chunked,
}

/// Why a head is no message that can be judged.
pub(super) type Malformed = &'static str;

/// Buffers larger than this are given back when they are empty.
const KEPT: usize = 4096;

impl<S> Wire<S> {
    /// `early` is what was read of the socket already.
    pub(super) fn new(socket: S, early: Bytes) -> (Self, Record) {
        let record = Record::new();
        record.state().saw(&early);
        (Self { socket, early, record: record.clone() }, record)
    }

    pub(super) fn into_socket(self) -> S {
        self.socket
    }
}

impl Record {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            bytes: Vec::new(),
            body: 0,
            answering: false,
            since: Instant::now(),
            blocked: None,
            ended: false,
        })))
    }

    /// The head that hyper has just handed over, judged; the next one begins behind its body.
    pub(super) fn next_head(&self) -> Result<Framing, Malformed> {
        let mut state = self.state();
        state.answering = true;
        let start = state.bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let (length, framing) = read_head(state.bytes.get(start..).unwrap_or_default())?;
        match framing {
            Framing::Length(body) => {
                state.forget(start.saturating_add(length));
                state.pass(body);
            }
            Framing::Chunked => state.end(),
        }
        Ok(framing)
    }

    /// The answer is over: another head may come.
    pub(super) fn answered(&self) {
        let mut state = self.state();
        state.answering = false;
        state.since = Instant::now();
    }

    /// Stops recording: what follows is no HTTP.
    pub(super) fn end(&self) {
        self.state().end();
    }

    pub(super) fn pulse(&self) -> Pulse {
        let state = self.state();
        match state.blocked {
            Some(since) => Pulse::Blocked(since),
            None if state.answering => Pulse::Answering,
            None if state.bytes.is_empty() => Pulse::Idle(state.since),
            None => Pulse::Head(state.since),
        }
    }

    /// Whether bytes of the body that this request has are still to come.
    pub(super) fn awaits_body(&self) -> bool {
        self.state().body > 0
    }

    /// Whether another head has begun to arrive already.
    pub(super) fn has_more(&self) -> bool {
        !self.state().bytes.is_empty()
    }

    /// Whether the client has ended its side.
    pub(super) fn has_ended(&self) -> bool {
        self.state().ended
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn saw(&mut self, bytes: &[u8]) {
        let skipped = usize::try_from(self.body).unwrap_or(usize::MAX).min(bytes.len());
        self.body = self.body.saturating_sub(u64::try_from(skipped).unwrap_or(u64::MAX));
        let head = bytes.get(skipped..).unwrap_or_default();
        if self.bytes.is_empty() && !self.answering && !head.is_empty() {
            self.since = Instant::now();
        }
        self.bytes.extend_from_slice(head);
    }

    /// Keeps nothing from here on; another head would be incomplete, and refused.
    fn end(&mut self) {
        self.bytes = Vec::new();
        self.body = u64::MAX;
    }

    fn forget(&mut self, count: usize) {
        self.bytes.drain(..count.min(self.bytes.len()));
        if self.bytes.is_empty() && self.bytes.capacity() > KEPT {
            self.bytes = Vec::new();
        }
    }

    fn pass(&mut self, body: u64) {
        let here = usize::try_from(body).unwrap_or(usize::MAX).min(self.bytes.len());
        self.forget(here);
        self.body = body.saturating_sub(u64::try_from(here).unwrap_or(u64::MAX));
    }

    /// Notes whether the client takes what it is sent.
    fn wrote(&mut self, is_pending: bool) {
        self.blocked = is_pending.then(|| self.blocked.unwrap_or_else(Instant::now));
    }
}

/// The lines of a head, each without its CRLF; the empty one ends it.
struct Lines<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Lines<'b> {
    fn next(&mut self) -> Result<&'b [u8], Malformed> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let feed = memchr(b'\n', rest).ok_or("incomplete_head")?;
        self.at = self.at.saturating_add(feed).saturating_add(1);
        rest.get(..feed).and_then(|line| line.strip_suffix(b"\r")).ok_or("bare_line_feed")
    }
}

/// The head's length, and how its message is framed.
fn read_head(bytes: &[u8]) -> Result<(usize, Framing), Malformed> {
    let mut lines = Lines { bytes, at: 0 };
    let mut words = lines.next()?.split(|&byte| byte == b' ').skip(1);
    let target = words.next().unwrap_or_default();
    let is_11 = words.next() == Some(b"HTTP/1.1");
    if !target.starts_with(b"/") {
        return Err("target_form");
    }
    if memchr(b'#', target).is_some() {
        return Err("fragment");
    }
    let mut fields = Fields::default();
    loop {
        match lines.next()? {
            [] => return Ok((lines.at, fields.framing(is_11)?)),
            line @ [b'H' | b'h' | b'C' | b'c' | b'T' | b't', ..] => fields.add(line)?,
            _ => {}
        }
    }
}

#[derive(Default)]
struct Fields {
    hosts: u8,
    length: Option<u64>,
    chunked: bool,
}

impl Fields {
    fn add(&mut self, line: &[u8]) -> Result<(), Malformed> {
        let mut halves = line.splitn(2, |&byte| byte == b':');
        let name = halves.next().unwrap_or_default();
        let value = halves.next().unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"host") {
            self.hosts = self.hosts.saturating_add(1);
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let digits = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            let length = digits.filter(|_| value.iter().all(u8::is_ascii_digit));
            if self.length.replace(length.ok_or("content_length")?).is_some() {
                return Err("content_length");
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err("transfer_encoding");
            }
            self.chunked = true;
        }
        Ok(())
    }

    const fn framing(&self, is_11: bool) -> Result<Framing, Malformed> {
        match (self.hosts, self.length, self.chunked) {
            (0, ..) if is_11 => Err("missing_host"),
            (2.., ..) => Err("repeated_host"),
            (_, Some(_), true) => Err("length_and_transfer_encoding"),
            (_, None, true) => Ok(Framing::Chunked),
            (_, Some(length), false) => Ok(Framing::Length(length)),
            (_, None, false) => Ok(Framing::Length(0)),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.early.is_empty() {
            let length = self.early.len().min(buffer.remaining());
            buffer.put_slice(&self.early.split_to(length));
            return Poll::Ready(Ok(())); // it is in the record already
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        if read.is_ready() {
            let mut state = self.record.state();
            match buffer.filled().get(before..) {
                Some(bytes @ [_, ..]) => state.saw(bytes),
                _ => state.ended = true,
            }
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.record.state().wrote(wrote.is_pending());
        wrote
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    /// Not here: the socket may go on after HTTP, idle or as a tunnel.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.record.state().wrote(wrote.is_pending());
        wrote
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(head: &str) -> Result<Framing, Malformed> {
        let record = Record::new();
        record.state().saw(head.as_bytes());
        record.next_head()
    }

    #[test]
    fn what_hyper_would_paper_over_is_malformed() {
        for (head, what) in [
            ("GET / HTTP/1.1\r\n\r\n", "missing_host"),
            ("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", "repeated_host"),
            ("GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "target_form"),
            ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "target_form"),
            ("GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", "fragment"),
            ("GET / HTTP/1.1\nHost: a\r\n\r\n", "bare_line_feed"),
            ("GET / HTTP/1.1\r\nHost: a\n\n", "bare_line_feed"),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
                "content_length",
            ),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx", "content_length"),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
                "transfer_encoding",
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
                "transfer_encoding",
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                "length_and_transfer_encoding",
            ),
        ] {
            assert_eq!(framed(head), Err(what), "{head}");
        }
        assert_eq!(framed("GET / HTTP/1.0\r\n\r\n"), Ok(Framing::Length(0)));
    }

    #[test]
    fn nothing_is_kept_and_nothing_more_is_judged_after_a_chunked_head() {
        let record = Record::new();
        record
            .state()
            .saw(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n");
        assert_eq!(record.next_head(), Ok(Framing::Chunked));
        for _ in 0..1000 {
            record.state().saw(b"x\r\n1\r\n");
        }
        record.state().saw(b"x\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(record.state().bytes.capacity(), 0);
        assert_eq!(record.next_head(), Err("incomplete_head"));
    }

    #[test]
    fn the_next_head_begins_behind_the_body() {
        let record = Record::new();
        let post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nGET";
        record.state().saw(post);
        assert_eq!(record.next_head(), Ok(Framing::Length(9)));
        record.state().saw(b" /#no\r\n");
        record.state().saw(b"GET / HTTP/1.1\r\nHost: b\r\n\r\nGET /#");
        assert_eq!(record.next_head(), Ok(Framing::Length(0)));
        assert_eq!(record.next_head(), Err("incomplete_head"));
    }
}
