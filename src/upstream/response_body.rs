//! The body of the app's response.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::mpsc,
    time::{Instant, Sleep, sleep, timeout},
};

use super::{
    connection::Connection,
    pool::{KeepAlive, Pool},
};
use crate::limits::{CountPermit, Reservation};

/// A response body, streamed as the app sends it. Polling it drives the upstream connection; at its
/// end the connection returns to the pool, if it is reusable. Dropped before its end, it closes the connection.
#[derive(Debug)]
pub struct ResponseBody {
    /// `None` once the body is complete.
    active: Option<ActiveBody>,
}

/// A body that is not complete, and what is held for it.
#[derive(Debug)]
pub(super) struct ActiveBody {
    pub(super) connection: Box<Connection>,
    pub(super) keep_alive: KeepAlive,
    pub(super) pool: Arc<Pool>,
    /// Longest pause of the app while a client waits for data.
    pub(super) idle_timeout: Duration,
    /// Counts the request as in flight.
    pub(super) _permit: CountPermit,
    /// Memory of a request body that is not sent whole when the response begins.
    pub(super) reservation: Option<Reservation>,
    /// Keeps the worker from ending.
    pub(super) alive: mpsc::Sender<()>,
    pub(super) idle: IdleTimer,
}

/// Measures a pause of the app. Armed on the first `Pending` after data, so that it counts only
/// time spent waiting for the app, not for a slow client.
#[derive(Debug, Default)]
pub(super) struct IdleTimer {
    sleep: Option<Pin<Box<Sleep>>>,
    is_armed: bool,
}

/// Most time for an app to take the rest of a request after its response is complete.
const SEND_REST_TIMEOUT: Duration = Duration::from_secs(60);

impl ResponseBody {
    pub(super) fn new(active: ActiveBody) -> Self {
        let mut body = Self { active: Some(active) };
        body.release_if_complete();
        body
    }

    /// A body of no bytes, as of a 101.
    pub(super) const fn empty() -> Self {
        Self { active: None }
    }

    /// Returns the number of bytes that are to come, where it is known.
    #[must_use]
    pub fn remaining(&self) -> Option<u64> {
        self.active.as_ref().map_or(Some(0), |active| active.connection.remaining())
    }

    /// Returns the next data as the app sends it; `None` at the end. Trailers are dropped.
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let Some(active) = &mut self.active else { return Poll::Ready(None) };
        let data = active.connection.poll_body(cx);
        match &data {
            Poll::Ready(_) => active.idle.is_armed = false,
            Poll::Pending if active.idle.poll_elapsed(active.idle_timeout, cx) => {
                return Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())));
            }
            Poll::Pending => {}
        }
        self.release_if_complete();
        data
    }

    /// Gives the connection and the permit back once the response is complete.
    fn release_if_complete(&mut self) {
        let complete = self.active.take_if(|active| active.connection.is_response_complete());
        let Some(ActiveBody {
            connection, keep_alive, pool, reservation, alive, idle_timeout, ..
        }) = complete
        else {
            return;
        };
        if connection.has_unsent() {
            tokio::spawn(send_rest(connection, idle_timeout, (reservation, alive)));
        } else {
            pool.put(connection, keep_alive);
        }
    }
}

/// Sends the rest of a request whose response is complete: an app may answer at once and read the
/// body later. The client does not wait for it, and the connection is not used again.
async fn send_rest<T>(mut connection: Box<Connection>, idle_timeout: Duration, held: T) {
    if timeout(SEND_REST_TIMEOUT, connection.send_rest(idle_timeout)).await.is_err() {
        tracing::debug!("the app did not take the rest of a request in time");
    }
    drop(held);
}

impl IdleTimer {
    fn poll_elapsed(&mut self, timeout: Duration, cx: &mut Context<'_>) -> bool {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep(timeout)));
        if !std::mem::replace(&mut self.is_armed, true)
            && let Some(deadline) = Instant::now().checked_add(timeout)
        {
            sleep.as_mut().reset(deadline);
        }
        sleep.as_mut().poll(cx).is_ready()
    }
}
