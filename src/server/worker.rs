//! One thread, one runtime, and its share of the listeners.

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    task::yield_now,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    Shared, connection,
    listener::{Acceptor, Listening, Socket},
    reply,
    room::{Full, Place},
};
use crate::config::Config;
use crate::forward::Forwarder;
use crate::observe::Outlets;

/// How long to rest when descriptors run out: some connection will end meanwhile.
const REST: Duration = Duration::from_millis(50);
/// How long a listener that closes waits for one more connection of those that queue already.
const LAST: Duration = Duration::from_millis(5);

/// One worker: what each of its connections is given.
#[derive(Debug)]
pub struct Worker {
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
    /// One without listeners, on the runtime that this is called on: it serves what it is handed.
    ///
    /// # Errors
    /// When its metrics cannot be made.
    pub fn alone(config: Config) -> io::Result<Arc<Self>> {
        let shared = Arc::new(Shared::new(config, Outlets::default())?);
        let forwarder = Forwarder::new(Arc::clone(&shared.load));
        Ok(Arc::new(Self { shared, forwarder, _alive: mpsc::channel(1).0 }))
    }

    /// Speaks HTTP over a stream, to its end, as over an accepted connection without TLS.
    pub async fn serve<S>(self: &Arc<Self>, stream: S, peer: Option<IpAddr>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        connection::converse(self, stream, peer).await;
    }

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
            Ok((socket, peer)) => match self.place_soon(peer).await {
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

    /// Those that came just before may have nothing to say: they idle, and can leave, only once
    /// they have had a turn.
    async fn place_soon(&self, peer: Option<IpAddr>) -> Result<Place, Full> {
        match self.place(peer) {
            Err(Full::All) => {
                yield_now().await;
                self.place(peer)
            }
            place => place,
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const UNSIGNED: &[u8] = b"GET /voice HTTP/1.1\r\nHost: hooks.example.com\r\n\r\n";

    /// So many unsigned requests at once, over a connection of their own.
    async fn ask(worker: &Arc<Worker>, count: usize) -> DuplexStream {
        let (mut ours, theirs) = duplex(64 * 1024);
        ours.write_all(&UNSIGNED.repeat(count)).await.unwrap();
        let worker = Arc::clone(worker);
        tokio::spawn(async move { worker.serve(theirs, None).await });
        ours
    }

    async fn answers(stream: &mut DuplexStream) -> usize {
        let mut said = vec![0; 64 * 1024];
        let length = stream.read(&mut said).await.unwrap();
        said[..length].windows(12).filter(|window| window == b"HTTP/1.1 418").count()
    }

    #[tokio::test]
    async fn who_asks_much_at_once_does_not_keep_others_waiting() {
        let text = "public_url = \"https://hooks.example.com\"\n\
            upstream = \"http://127.0.0.1:1\"\nauth_tokens = [\"7d3c9f1e5a2b48060c1d9e8f7a6b5c40\"]";
        let config = crate::config::parse(text, "worker", Path::new(".")).unwrap();
        let worker = Worker::alone(config).unwrap();
        let mut greedy = ask(&worker, 16).await;
        let mut modest = ask(&worker, 1).await;
        assert_eq!(answers(&mut modest).await, 1);
        let before = answers(&mut greedy).await;
        assert!((1..=3).contains(&before), "{before} answers before another's only one");
    }
}
