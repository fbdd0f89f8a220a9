//! What is on its way to an upstream and back, over one socket.

use std::{
    future::Future,
    io,
    ops::Range,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWrite};

use crate::http1::{BodyDecoder, HeadScanner, ResponseHead};
use crate::net::{IoPair, Socket};

/// What an answer's head may take, in bytes.
const MAX_HEAD: usize = 64 * 1024;
/// How much is read at once.
pub(super) const READ_SIZE: usize = 8 * 1024;
pub(super) const MAX_READ: usize = 64 * 1024;

/// A socket to an upstream, and what is on its way there and back.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) socket: Socket,
    /// What has arrived and is not yet taken.
    pub(super) heard: BytesMut,
    scan: HeadScanner,
    /// How the request's way out has gone so far.
    pub(super) sent: Sent,
    /// What is still to be sent of a request that the app answers already.
    pub(super) unsent: Bytes,
}

/// How far a request is on its way out.
#[derive(Debug)]
pub(super) struct Sent {
    /// A byte of it may have been written.
    pub(super) begun: bool,
    /// Nothing of it waits in a buffer of TLS.
    pub(super) flushed: bool,
    /// The app takes no more of it; it may answer all the same.
    pub(super) broken: bool,
}

impl Wire {
    /// Over a socket on which nothing has been said.
    pub(super) fn new(socket: Socket) -> Self {
        let sent = Sent { begun: false, flushed: true, broken: false };
        Self {
            socket,
            heard: BytesMut::new(),
            scan: HeadScanner::default(),
            sent,
            unsent: Bytes::new(),
        }
    }

    pub(super) fn write(&mut self, pieces: &mut IoPair<'_>, cx: &mut Context<'_>) {
        while !pieces.is_empty() && !self.sent.broken {
            match pieces.poll_write(&mut self.socket, cx) {
                Poll::Ready(Ok(1..)) => self.sent.begun = true,
                Poll::Ready(_) => {
                    self.sent.broken = true;
                    self.sent.begun |= self.socket.is_tls(); // records may have gone before
                }
                Poll::Pending => return,
            }
        }
        if !self.sent.flushed {
            match Pin::new(&mut self.socket).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.sent.flushed = pieces.is_empty(),
                Poll::Ready(Err(_)) => self.sent.broken = true,
                Poll::Pending => {}
            }
        }
    }

    /// Goes on with a request that the app has begun to answer before it had all of it.
    pub(super) fn write_rest(&mut self, cx: &mut Context<'_>) {
        if self.unsent.is_empty() && self.sent.flushed {
            return;
        }
        let unsent = std::mem::take(&mut self.unsent);
        let mut pieces = IoPair([&unsent, b""]);
        self.write(&mut pieces, cx);
        if !self.sent.broken {
            self.unsent = unsent.slice_ref(pieces.0.first().copied().unwrap_or_default());
        }
    }

    /// The next head that is an answer; nothing where none will come.
    pub(super) fn poll_head(
        &mut self,
        to_head: bool,
        interims: &mut Range<usize>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<(ResponseHead, BodyDecoder)>> {
        loop {
            match ResponseHead::parse(&mut self.heard, &mut self.scan, MAX_HEAD) {
                Ok(Some(head)) if is_interim(head.status) => match interims.next() {
                    Some(_) => continue,
                    None => return Poll::Ready(None),
                },
                Ok(Some(mut head)) => {
                    let framing = head.normalize_framing(to_head);
                    return Poll::Ready(framing.ok().map(|framing| (head, framing.into())));
                }
                Ok(None) => {}
                Err(_) => return Poll::Ready(None),
            }
            match self.poll_read(READ_SIZE, cx) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    pub(super) fn poll_read(
        &mut self,
        wanted: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let Self { socket, heard, .. } = self;
        if heard.capacity().saturating_sub(heard.len()) < wanted / 2 {
            heard.reserve(wanted);
        }
        pin!(socket.read_buf(heard)).poll(cx)
    }
}

/// An answer that another one follows (RFC 9110 §15.2). They are between the app and us.
const fn is_interim(status: u16) -> bool {
    matches!(status, 100 | 102..=199)
}
