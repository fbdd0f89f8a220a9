//! One thread, one runtime, and its share of the listeners.

use std::{io, net::IpAddr, sync::Arc};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    time::timeout,
};

use super::{Shared, connection};
use crate::config::Config;
use crate::net::Listeners;
use crate::telemetry::Exporters;
use crate::upstream::Forwarder;

/// One worker: what each of its connections is given.
#[derive(Debug)]
pub struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) forwarder: Forwarder,
    /// Dropped with the last connection: then the worker may end.
    _alive: mpsc::Sender<()>,
}

/// Serves until told to stop and then until the last connection has ended.
pub fn work(listening: Listeners, shared: &Arc<Shared>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let served = runtime.and_then(|runtime| runtime.block_on(serve(listening, shared)));
    if let Err(error) = served {
        tracing::error!(%error, "a worker cannot work");
    }
}

async fn serve(listening: Listeners, shared: &Arc<Shared>) -> io::Result<()> {
    let (alive, mut ended) = mpsc::channel::<()>(1);
    let worker = Arc::new(Worker {
        shared: Arc::clone(shared),
        forwarder: Forwarder::new(Arc::clone(&shared.in_flight_limit)),
        _alive: alive,
    });
    for listener in listening.listeners {
        let acceptor = listener.into_tokio()?;
        tokio::spawn(Arc::clone(&worker).accept(acceptor));
    }
    drop(worker);
    shared.shutdown.signaled().await;
    let limits = &shared.snapshot.load().limits;
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
        let shared = Arc::new(Shared::new(config, Exporters::default())?);
        let forwarder = Forwarder::new(Arc::clone(&shared.in_flight_limit));
        Ok(Arc::new(Self { shared, forwarder, _alive: mpsc::channel(1).0 }))
    }

    /// Speaks HTTP over a stream, to its end, as over an accepted connection without TLS.
    pub async fn serve<S>(self: &Arc<Self>, stream: S, peer: Option<IpAddr>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        connection::serve_connection(self, stream, peer).await;
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
