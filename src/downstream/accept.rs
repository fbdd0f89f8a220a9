//! The accept loop of a worker's listeners.

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use tokio::{
    task::yield_now,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{connection, response, worker::Worker};
use crate::limits::{ConnectionPermit, LimitReached};
use crate::net::{Acceptor, Socket};

/// Pause after a failed accept, as when descriptors run out: some connection ends meanwhile.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);
/// How long a listener that closes waits for one more connection of its queue.
const ACCEPT_DRAIN: Duration = Duration::from_millis(5);

impl Worker {
    pub(super) async fn accept(self: Arc<Self>, acceptor: Acceptor) {
        loop {
            tokio::select! {
                () = self.shared.shutdown.signaled() => break,
                accepted = acceptor.accept() => self.on_accept(accepted).await,
            }
        }
        // Those that queue already are not turned away: their requests may be on the way.
        let enough = Instant::now().checked_add(Duration::from_secs(1));
        while let Ok(accepted) = timeout(ACCEPT_DRAIN, acceptor.accept()).await
            && enough > Some(Instant::now())
        {
            self.on_accept(accepted).await;
        }
    }

    async fn on_accept(self: &Arc<Self>, accepted: io::Result<(Socket, Option<IpAddr>)>) {
        match accepted {
            Ok((socket, peer)) => match self.acquire_permit(peer).await {
                Ok(place) => {
                    tokio::spawn(connection::serve(Arc::clone(self), socket, peer, place));
                }
                Err(full) => self.reject(socket, full),
            },
            Err(error) => {
                tracing::warn!(%error, "cannot accept");
                self.shared.connection_limit.evict_idle();
                sleep(ACCEPT_BACKOFF).await;
            }
        }
    }

    /// Those that came just before may have nothing to say: they idle, and can leave, only once
    /// they have had a turn.
    async fn acquire_permit(&self, peer: Option<IpAddr>) -> Result<ConnectionPermit, LimitReached> {
        match self.place(peer) {
            Err(LimitReached::All) => {
                yield_now().await;
                self.place(peer)
            }
            place => place,
        }
    }

    fn place(&self, peer: Option<IpAddr>) -> Result<ConnectionPermit, LimitReached> {
        self.shared.connection_limit.try_acquire(peer, &self.shared.snapshot.load().limits)
    }

    /// Says so and closes. It may hold a descriptor for a moment, so that what it says arrives.
    fn reject(&self, socket: Socket, full: LimitReached) {
        let refused = &self.shared.observer.metrics.refused_connections;
        refused.with_label_values(&[full.label()]).inc();
        let until = Instant::now().checked_add(connection::LINGER);
        if let Some(until) = until {
            tokio::spawn(timeout_at(
                until,
                connection::lingering_close(socket, response::OVERLOADED_RESPONSE),
            ));
        }
    }
}
