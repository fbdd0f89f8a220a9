//! A buffered stream with a head scanner and a timer: both HTTP/1 sides read and write with it.

use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt;

use super::{CoarseTimer, Elapsed, IoPair, Stream};
use crate::http1::{BodyDecoder, HeadError, HeadScanner};

/// Bytes to read at once for a head.
pub const READ_SIZE: usize = 4 * 1024;
/// Bytes to read at once for a body that is known to be longer.
pub const MAX_READ: usize = 64 * 1024;

/// A stream, the bytes received and not yet parsed, and the scanner that looks for a head in them.
#[derive(Debug)]
pub struct BufferedStream<S> {
    stream: S,
    /// Bytes that were received and not yet parsed.
    pub read_buf: BytesMut,
    scanner: HeadScanner,
}

/// The I/O of one HTTP/1 connection: a [`BufferedStream`], and a timer for its waits.
#[derive(Debug)]
pub struct Transport<S> {
    /// The stream.
    pub io: BufferedStream<S>,
    timer: CoarseTimer,
}

/// The reason why no head was read.
#[derive(Debug)]
pub enum ReadError {
    /// The bytes are not a head.
    Head(HeadError),
    /// The stream ended or failed before the head was complete.
    Closed,
}

impl From<HeadError> for ReadError {
    fn from(error: HeadError) -> Self {
        Self::Head(error)
    }
}

impl<S: Stream> BufferedStream<S> {
    /// Returns the stream.
    pub const fn stream(&self) -> &S {
        &self.stream
    }

    /// Reads about `wanted` bytes into the read buffer and returns their number; 0 at the end of
    /// the stream.
    ///
    /// # Errors
    /// The stream's.
    pub fn poll_read(&mut self, wanted: usize, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Self { stream, read_buf, .. } = self;
        if read_buf.capacity().saturating_sub(read_buf.len()) < wanted / 4 {
            read_buf.reserve(wanted);
        }
        pin!(stream.read_buf(read_buf)).poll(cx)
    }

    /// Reads until `parse` returns a head.
    ///
    /// # Errors
    /// [`ReadError`]: that of `parse`, or the end of the stream.
    pub fn poll_head<H>(
        &mut self,
        mut parse: impl FnMut(&mut BytesMut, &mut HeadScanner) -> Result<Option<H>, HeadError>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<H, ReadError>> {
        loop {
            if let Some(head) = parse(&mut self.read_buf, &mut self.scanner)? {
                return Poll::Ready(Ok(head));
            }
            if !matches!(ready!(self.poll_read(READ_SIZE, cx)), Ok(1..)) {
                return Poll::Ready(Err(ReadError::Closed));
            }
        }
    }

    /// Reads the next data of a body directly into `whole`, where the body's length is known.
    ///
    /// # Errors
    /// The stream's.
    pub fn poll_read_into(
        &mut self,
        decoder: &mut BodyDecoder,
        whole: &mut BytesMut,
        cx: &mut Context<'_>,
    ) -> Option<Poll<io::Result<usize>>> {
        let mut spare = decoder.spare_capacity(whole, MAX_READ)?;
        let read = pin!(self.stream.read_buf(&mut spare)).poll(cx);
        if let Poll::Ready(Ok(count)) = &read {
            decoder.advance(*count);
        }
        Some(read)
    }

    /// Writes some of `pair` and returns the number of bytes.
    ///
    /// # Errors
    /// The stream's.
    pub fn poll_write(
        &mut self,
        pair: &mut IoPair<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        pair.poll_write(&mut self.stream, cx)
    }

    /// Flushes what TLS may have buffered.
    ///
    /// # Errors
    /// The stream's.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
}

impl<S: Stream> Transport<S> {
    /// Wraps a stream of which `prefix` has been read already.
    pub fn new(stream: S, prefix: &[u8]) -> Self {
        let mut read_buf = BytesMut::new();
        if !prefix.is_empty() {
            read_buf.reserve(READ_SIZE.max(prefix.len()));
            read_buf.extend_from_slice(prefix);
        }
        let io = BufferedStream { stream, read_buf, scanner: HeadScanner::default() };
        Self { io, timer: CoarseTimer::default() }
    }

    /// Returns the stream, and the bytes that were received and not parsed.
    pub fn into_parts(self) -> (S, Bytes) {
        (self.io.stream, self.io.read_buf.freeze())
    }

    /// Polls `wait` until it is ready, for at most `limit`.
    ///
    /// # Errors
    /// [`Elapsed`].
    pub async fn timeout<T>(
        &mut self,
        limit: Duration,
        mut wait: impl FnMut(&mut BufferedStream<S>, &mut Context<'_>) -> Poll<T>,
    ) -> Result<T, Elapsed> {
        let Self { io, timer } = self;
        timer.timeout(limit, |cx| wait(io, cx)).await
    }

    /// Reads until bytes arrive and returns their number; 0 at the end of the stream. Waits for at
    /// most `limit`, or until `is_cancelled`.
    ///
    /// # Errors
    /// [`Elapsed`]; inside, the stream's error.
    pub async fn read_unless(
        &mut self,
        limit: Duration,
        is_cancelled: impl Fn() -> bool,
    ) -> Result<io::Result<usize>, Elapsed> {
        let Self { io, timer } = self;
        timer.timeout_unless(limit, is_cancelled, |cx| io.poll_read(READ_SIZE, cx)).await
    }

    /// Writes and flushes all of `pair`; fails if the peer takes nothing for `idle_timeout`.
    ///
    /// # Errors
    /// The stream's, or `TimedOut`.
    pub async fn write_all(
        &mut self,
        mut pair: IoPair<'_>,
        idle_timeout: Duration,
    ) -> io::Result<()> {
        while !pair.is_empty() {
            let written = self.timeout(idle_timeout, |io, cx| io.poll_write(&mut pair, cx));
            if written.await?? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        self.timeout(idle_timeout, BufferedStream::poll_flush).await?
    }
}
