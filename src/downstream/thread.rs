//! The thread of a worker: one runtime, and its share of the listeners.

use std::{io, net::IpAddr, sync::Arc};

use tokio::{sync::mpsc, time::timeout};

use super::{client::Client, connection, state::Shared, worker::Worker};
use crate::config::Config;
use crate::net::{Listeners, Stream};
use crate::telemetry::Exporters;

/// Serves until the process shuts down, and then until the last connection has ended.
pub fn work(listeners: Listeners, shared: &Arc<Shared>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let served = runtime.and_then(|runtime| runtime.block_on(serve(listeners, shared)));
    if let Err(error) = served {
        tracing::error!(%error, "a worker failed to start");
    }
}

async fn serve(listeners: Listeners, shared: &Arc<Shared>) -> io::Result<()> {
    // The worker ends once every clone of `alive` is dropped: with the last connection, and with the
    // last request that is still being sent.
    let (alive, mut ended) = mpsc::channel::<()>(1);
    let worker = Arc::new(Worker::new(Arc::clone(shared), alive));
    for listener in listeners.listeners {
        let acceptor = listener.into_tokio()?;
        tokio::spawn(Arc::clone(&worker).accept(acceptor));
    }
    drop(worker);
    shared.shutdown.signaled().await;
    let limits = &shared.snapshot.load().limits;
    let drain_timeout = limits.drain_timeout.max(limits.tunnel_drain_timeout);
    if timeout(drain_timeout, ended.recv()).await.is_err() {
        tracing::warn!("some connections did not end in time");
    }
    Ok(())
}

impl Worker {
    /// Creates a worker without listeners on the current runtime; it serves the streams that it is
    /// given.
    ///
    /// # Errors
    /// When the metrics cannot be registered.
    pub fn without_listeners(config: Config) -> io::Result<Arc<Self>> {
        let shared = Arc::new(Shared::new(config, Exporters::default())?);
        Ok(Arc::new(Self::new(shared, mpsc::channel(1).0)))
    }

    /// Serves HTTP over a stream to its end, as over an accepted connection without TLS.
    pub async fn serve<S: Stream>(self: &Arc<Self>, stream: S, peer: Option<IpAddr>) {
        let client = Client::new(peer, &self.shared.snapshot.load());
        connection::serve_cleartext(self, stream, client).await;
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const UNSIGNED: &[u8] = b"GET /voice HTTP/1.1\r\nHost: hooks.example.com\r\n\r\n";

    /// Sends `count` unsigned requests at once over a connection of their own.
    async fn ask(worker: &Arc<Worker>, count: usize) -> DuplexStream {
        let (mut ours, theirs) = duplex(64 * 1024);
        ours.write_all(&UNSIGNED.repeat(count)).await.unwrap();
        let worker = Arc::clone(worker);
        tokio::spawn(async move { worker.serve(theirs, None).await });
        ours
    }

    async fn answers(stream: &mut DuplexStream) -> usize {
        let mut received = vec![0; 64 * 1024];
        let length = stream.read(&mut received).await.unwrap();
        received[..length].windows(12).filter(|window| window == b"HTTP/1.1 418").count()
    }

    #[tokio::test]
    async fn a_client_with_many_pipelined_requests_does_not_delay_others() {
        let text = "public_url = \"https://hooks.example.com\"\n\
            upstream = \"http://127.0.0.1:1\"\nauth_tokens = [\"7d3c9f1e5a2b48060c1d9e8f7a6b5c40\"]";
        let config = crate::config::parse(text, "worker", Path::new(".")).unwrap();
        let worker = Worker::without_listeners(config).unwrap();
        let mut greedy = ask(&worker, 16).await;
        let mut modest = ask(&worker, 1).await;
        assert_eq!(answers(&mut modest).await, 1);
        let before = answers(&mut greedy).await;
        assert!((1..=3).contains(&before), "{before} answers before another's only one");
    }
}
