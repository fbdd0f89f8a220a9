//! One thread, one runtime, and its share of the listeners.

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    Shared, connection,
    listener::{Acceptor, Listening, Socket},
    reply,
    room::{Full, Place},
};
use crate::forward::Forwarder;

/// How long to rest when descriptors run out: some connection will end meanwhile.
const REST: Duration = Duration::from_millis(50);
/// How long a listener that closes waits for one more connection of those that queue already.
const LAST: Duration = Duration::from_millis(5);

/// What each connection of a worker is given.
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) forwarder: Forwarder,
    /// Dropped with the last connection: then the worker may end.
    _alive: mpsc::Sender<()>,
}

/// Serves until told to stop and then until the last connection has ended.
pub(super) fn work(listening: Listening, shared: &Arc<Shared>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let served = runtime.and_then(|runtime| runtime.block_on(serve(listening, shared)));
    if let Err(error) = served {
        tracing::error!(%error, "a worker cannot work");
    }
}

async fn serve(listening: Listening, shared: &Arc<Shared>) -> io::Result<()> {
    let (alive, mut ended) = mpsc::channel::<()>(1);
    let worker = Arc::new(Worker {
        shared: Arc::clone(shared),
        forwarder: Forwarder::new(Arc::clone(&shared.load)),
        _alive: alive,
    });
    for listener in listening.listeners {
        let acceptor = listener.on_runtime()?;
        tokio::spawn(Arc::clone(&worker).accept(acceptor));
    }
    drop(worker);
    shared.stop.told().await;
    let limits = &shared.live.load().limits;
    let patience = limits.drain_timeout.max(limits.tunnel_drain_timeout);
    if timeout(patience, ended.recv()).await.is_err() {
        tracing::warn!("some connections did not end in time");
    }
    Ok(())
}

impl Worker {
    async fn accept(self: Arc<Self>, acceptor: Acceptor) {
        loop {
            tokio::select! {
                () = self.shared.stop.told() => break,
                accepted = acceptor.accept() => self.received(accepted).await,
            }
        }
        // Those that queue already are not turned away: their requests may be on the way.
        let enough = Instant::now().checked_add(Duration::from_secs(1));
        while let Ok(accepted) = timeout(LAST, acceptor.accept()).await
            && enough > Some(Instant::now())
        {
            self.received(accepted).await;
        }
    }

    async fn received(self: &Arc<Self>, accepted: io::Result<(Socket, Option<IpAddr>)>) {
        match accepted {
            Ok((socket, peer)) => match self.place(peer) {
                Ok(place) => {
                    tokio::spawn(connection::serve(Arc::clone(self), socket, peer, place));
                }
                Err(full) => self.turn_away(socket, full),
            },
            Err(error) => {
                tracing::warn!(%error, "cannot accept");
                self.shared.room.make_room();
                sleep(REST).await;
            }
        }
    }

    fn place(&self, peer: Option<IpAddr>) -> Result<Place, Full> {
        self.shared.room.enter(peer, &self.shared.live.load().limits)
    }

    /// Says so and closes. It may hold a descriptor for a moment, so that what it says arrives.
    fn turn_away(&self, socket: Socket, full: Full) {
        let refused = &self.shared.observer.metrics.refused_connections;
        refused.with_label_values(&[full.label()]).inc();
        let until = Instant::now().checked_add(connection::LINGER);
        if let Some(until) = until {
            tokio::spawn(timeout_at(until, connection::say_last(socket, reply::NO_ROOM)));
        }
    }
}
