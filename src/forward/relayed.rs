//! The app's answer on its way back.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use super::{
    connection::Connection,
    load::Entered,
    pool::{Keep, Pool},
};
use crate::routes::Limits;

/// A response body, streamed as the app sends it. Polling it drives the upstream connection; at its
/// end the connection goes back to the pool.
#[derive(Debug)]
pub struct Relayed {
    body: Option<Incoming>,
    link: Option<Link>,
    /// Counted as with the app until the answer is over.
    entered: Option<Entered>,
}

#[derive(Debug)]
struct Link {
    /// A connection of its own; one that is shared is driven elsewhere.
    own: Option<Own>,
    pause: Duration,
    silence: Option<Pin<Box<Sleep>>>,
    ended: bool,
}

#[derive(Debug)]
struct Own {
    connection: Box<Connection>,
    keep: Keep,
    pool: Arc<Pool>,
}

impl Relayed {
    pub(super) fn new(
        body: Incoming,
        connection: Box<Connection>,
        keep: Keep,
        pool: Arc<Pool>,
        limits: &Limits,
    ) -> Self {
        Self::linked(body, Some(Own { connection, keep, pool }), limits)
    }

    /// A body over a connection that others use too.
    pub(super) fn shared(body: Incoming, limits: &Limits) -> Self {
        Self::linked(body, None, limits)
    }

    fn linked(body: Incoming, own: Option<Own>, limits: &Limits) -> Self {
        let ended = body.is_end_stream();
        let link = Link { own, pause: limits.response_idle_timeout, silence: None, ended };
        Self { body: Some(body), link: Some(link), entered: None }
    }

    /// An answer without a body of its own, as a 101.
    pub(super) const fn empty() -> Self {
        Self { body: None, link: None, entered: None }
    }

    /// Counts the request as with the app until this answer is over. A tunnel is counted apart.
    pub(super) fn count(&mut self, entered: Entered) {
        self.entered = self.link.is_some().then_some(entered);
    }
}

impl Link {
    /// Whether the app has been silent for too long. The timer exists only once it has paused.
    fn is_silent(&mut self, cx: &mut Context<'_>) -> bool {
        let silence = self.silence.get_or_insert_with(|| Box::pin(sleep(self.pause)));
        silence.as_mut().poll(cx).is_ready()
    }

    fn has_spoken(&mut self) {
        if let (Some(silence), Some(next)) =
            (&mut self.silence, Instant::now().checked_add(self.pause))
        {
            silence.as_mut().reset(next);
        }
    }
}

impl Body for Relayed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        if let Some(Link { own: Some(own), .. }) = &mut this.link {
            let _at_end = own.connection.drive(cx); // what it read is in the body by now
        }
        let frame = Pin::new(body).poll_frame(cx).map_err(io::Error::other);
        match (&frame, &mut this.link) {
            (Poll::Ready(None), Some(link)) => link.ended = true,
            (Poll::Ready(Some(_)), Some(link)) => link.has_spoken(),
            (Poll::Pending, Some(link)) => {
                if link.is_silent(cx) {
                    return Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())));
                }
            }
            (_, None) => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// The answer is over, or nobody wants the rest: then the connection is of no more use.
impl Drop for Relayed {
    fn drop(&mut self) {
        let over = self.is_end_stream();
        if let Some(Link { own: Some(own), ended, .. }) = self.link.take()
            && (ended || over)
        {
            self.body = None;
            own.pool.put(own.connection, own.keep);
        }
    }
}
