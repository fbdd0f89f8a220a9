//! The accept loop of a worker's listeners.

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use tokio::{
    task::yield_now,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{connection, response, shutdown::LINGER, worker::Worker};
use crate::limits::{ConnectionPermit, LimitReached};
use crate::net::{Acceptor, Socket};

/// Pause after a failed accept, as when descriptors run out: long enough for some connection to end.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);
/// Time that a closing listener waits for the next connection in its backlog.
const ACCEPT_DRAIN: Duration = Duration::from_millis(5);

/// Maximum number of refused connections that are open until their 503 has arrived.
const MAX_REJECTED: usize = 256;

impl Worker {
    pub(super) async fn accept(self: Arc<Self>, acceptor: Acceptor) {
        loop {
            tokio::select! {
                () = self.shared.shutdown.signaled() => break,
                accepted = acceptor.accept() => self.on_accept(accepted).await,
            }
        }
        // Connections in the queue are still served: their requests may be on the way.
        let deadline = Instant::now().checked_add(Duration::from_secs(1));
        while let Ok(accepted) = timeout(ACCEPT_DRAIN, acceptor.accept()).await
            && deadline > Some(Instant::now())
        {
            self.on_accept(accepted).await;
        }
    }

    async fn on_accept(self: &Arc<Self>, accepted: io::Result<(Socket, Option<IpAddr>)>) {
        match accepted {
            Ok((socket, peer)) => match self.acquire_permit(peer).await {
                Ok(permit) => {
                    tokio::spawn(connection::serve(Arc::clone(self), socket, peer, permit));
                }
                Err(limit) => self.reject(socket, limit),
            },
            Err(error) => {
                tracing::warn!(%error, "cannot accept");
                self.shared.connection_limit.evict_idle();
                sleep(ACCEPT_BACKOFF).await;
            }
        }
    }

    /// Connections that were accepted in this turn have not been polled, so none of them is idle
    /// yet. Yields once and retries.
    async fn acquire_permit(&self, peer: Option<IpAddr>) -> Result<ConnectionPermit, LimitReached> {
        match self.try_acquire_permit(peer) {
            Err(LimitReached::All) => {
                yield_now().await;
                self.try_acquire_permit(peer)
            }
            acquired => acquired,
        }
    }

    fn try_acquire_permit(&self, peer: Option<IpAddr>) -> Result<ConnectionPermit, LimitReached> {
        self.shared.connection_limit.try_acquire(peer, &self.shared.snapshot.load().limits)
    }

    /// Answers 503 and closes. The socket stays open for a moment, so that the response arrives. Where
    /// many are open for that, or TLS would have to be accepted first, it is closed at once.
    fn reject(&self, socket: Socket, limit: LimitReached) {
        let refused = &self.shared.observer.metrics.refused_connections;
        refused.with_label_values(&[limit.label()]).inc();
        if self.shared.snapshot.load().tls.is_some() {
            return;
        }
        let permit = self.shared.rejected_limit.try_acquire(MAX_REJECTED);
        if let (Some(permit), Some(until)) = (permit, Instant::now().checked_add(LINGER)) {
            let text = response::too_many_connections();
            tokio::spawn(timeout_at(until, async move {
                connection::lingering_close(socket, &text).await;
                drop(permit);
            }));
        }
    }
}
