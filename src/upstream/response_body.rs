//! The app's answer on its way back.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep};

use super::{
    connection::Connection,
    pool::{KeepAlive, Pool},
};
use crate::http1::BodyDecoder;
use crate::limits::{InFlightPermit, Limits, Reservation};

/// A response body, streamed as the app sends it. Polling it drives the upstream connection; at its
/// end the connection goes back to the pool.
#[derive(Debug)]
pub struct ResponseBody {
    source: BodySource,
    /// How long the app may be silent while it is listened to.
    pause: Duration,
    silence: Option<Pin<Box<Sleep>>>,
    /// It has spoken since the timer was set.
    spoke: bool,
    /// Counted as with the app until the answer is over.
    entered: Option<InFlightPermit>,
    /// The room of a body that the app has not had whole when it began to answer.
    held: Option<Reservation>,
}

/// Where the body comes from.
#[derive(Debug)]
enum BodySource {
    /// A connection of its own.
    Http1(Http1Body),
    /// There is none, as behind a 101.
    Empty,
}

#[derive(Debug)]
struct Http1Body {
    rest: BodyDecoder,
    connection: Box<Connection>,
    keep: KeepAlive,
    pool: Arc<Pool>,
}

impl ResponseBody {
    pub(super) fn new(
        rest: BodyDecoder,
        connection: Box<Connection>,
        keep: KeepAlive,
        pool: Arc<Pool>,
        limits: &Limits,
    ) -> Self {
        Self::of(
            BodySource::Http1(Http1Body { rest, connection, keep, pool }),
            limits.response_idle_timeout,
        )
    }

    /// An answer without a body of its own, as a 101.
    pub(super) const fn empty() -> Self {
        Self::of(BodySource::Empty, Duration::ZERO)
    }

    const fn of(source: BodySource, pause: Duration) -> Self {
        Self { source, pause, silence: None, spoke: false, entered: None, held: None }
    }

    /// Counts the request as with the app until this answer is over, and its body's room as taken
    /// while some of it is still to be sent. A tunnel is counted apart.
    pub(super) fn count(&mut self, entered: InFlightPermit, held: Reservation) {
        let has_unsent =
            matches!(&self.source, BodySource::Http1(own) if own.connection.has_unsent());
        self.held = has_unsent.then_some(held);
        let counts = !matches!(self.source, BodySource::Empty);
        self.entered = counts.then_some(entered);
    }

    /// How many bytes are to come, where that is known.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        match &self.source {
            BodySource::Http1(own) => own.rest.length(),
            BodySource::Empty => Some(0),
        }
    }

    /// The next piece, as the app sends it; nothing at the end. Trailers are dropped.
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let data = match &mut self.source {
            BodySource::Http1(own) => own.connection.poll_body(&mut own.rest, cx),
            BodySource::Empty => Poll::Ready(None),
        };
        match &data {
            Poll::Ready(_) => self.spoke = true,
            Poll::Pending if self.is_silent(cx) => {
                return Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())));
            }
            Poll::Pending => {}
        }
        data
    }

    /// Whether the app has been silent for too long. The timer exists only once it has paused, and
    /// runs from when it was listened to in vain: a slow client is no silence of the app's.
    fn is_silent(&mut self, cx: &mut Context<'_>) -> bool {
        let silence = self.silence.get_or_insert_with(|| Box::pin(sleep(self.pause)));
        if std::mem::take(&mut self.spoke)
            && let Some(next) = Instant::now().checked_add(self.pause)
        {
            silence.as_mut().reset(next);
        }
        silence.as_mut().poll(cx).is_ready()
    }
}

/// The answer is over, or nobody wants the rest: then the connection is of no more use.
impl Drop for ResponseBody {
    fn drop(&mut self) {
        if let BodySource::Http1(own) = std::mem::replace(&mut self.source, BodySource::Empty)
            && own.rest.is_over()
        {
            own.pool.put(own.connection, own.keep);
        }
    }
}
