//! One thread, one runtime, and its share of the listeners.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use socket2::{Domain, Socket, Type};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, watch},
    time::{sleep, timeout},
};

use super::{Shared, connection};
use crate::config::Listen;
use crate::forward::Forwarder;

/// Connections that wait for `accept`.
const BACKLOG: i32 = 1024;
/// How long to rest when descriptors run out: some connection will end meanwhile.
const REST: Duration = Duration::from_millis(50);

/// The open listeners.
#[derive(Debug)]
pub struct Listening {
    listeners: Vec<TcpListener>,
}

impl Listening {
    pub(super) fn open(addresses: &[Listen]) -> io::Result<Self> {
        let listeners = addresses.iter().map(|address| {
            listen(address).map_err(|error| {
                io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
            })
        });
        Ok(Self { listeners: listeners.collect::<io::Result<_>>()? })
    }

    pub(super) fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.listeners.iter().map(TcpListener::local_addr).collect()
    }

    /// The same sockets again: whoever is idle accepts, and none is lost when a worker ends.
    pub(super) fn share(&self) -> io::Result<Self> {
        let listeners = self.listeners.iter().map(TcpListener::try_clone);
        Ok(Self { listeners: listeners.collect::<io::Result<_>>()? })
    }
}

fn listen(address: &Listen) -> io::Result<TcpListener> {
    let &Listen::Tcp(address) = address else { return Err(io::ErrorKind::Unsupported.into()) };
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Serves until told to stop and then until the last connection has ended.
pub(super) fn work(listening: Listening, shared: &Arc<Shared>, stopped: watch::Receiver<bool>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let served = runtime.and_then(|runtime| runtime.block_on(serve(listening, shared, stopped)));
    if let Err(error) = served {
        tracing::error!(%error, "a worker cannot work");
    }
}

async fn serve(
    listening: Listening,
    shared: &Arc<Shared>,
    mut stopped: watch::Receiver<bool>,
) -> io::Result<()> {
    let forwarder = Arc::new(Forwarder::default());
    let (alive, mut ended) = mpsc::channel::<()>(1);
    for listener in listening.listeners {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let worker = Worker {
            shared: Arc::clone(shared),
            forwarder: Arc::clone(&forwarder),
            stopped: stopped.clone(),
            _alive: alive.clone(),
        };
        tokio::spawn(worker.accept(listener));
    }
    drop(alive);
    told_to_stop(&mut stopped).await;
    let patience = shared.live.load().limits.drain_timeout;
    if timeout(patience, ended.recv()).await.is_err() {
        tracing::warn!("some connections did not end in time");
    }
    Ok(())
}

/// Returns once the gate is told to stop, or nobody is left to tell it.
pub(super) async fn told_to_stop(stopped: &mut watch::Receiver<bool>) {
    drop(stopped.wait_for(|stopped| *stopped).await);
}

/// What each connection of a worker is given.
#[derive(Clone)]
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) forwarder: Arc<Forwarder>,
    pub(super) stopped: watch::Receiver<bool>,
    /// Dropped with the last connection: then the worker may end.
    _alive: mpsc::Sender<()>,
}

impl Worker {
    async fn accept(self, listener: tokio::net::TcpListener) {
        let mut stopped = self.stopped.clone();
        loop {
            let next = tokio::select! {
                () = told_to_stop(&mut stopped) => return,
                next = self.next(&listener) => next,
            };
            match next {
                Ok((stream, peer, permit)) => {
                    tokio::spawn(connection::serve(self.clone(), stream, peer, permit));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept");
                    sleep(REST).await;
                }
            }
        }
    }

    /// The next connection, once there is room for one.
    async fn next(
        &self,
        listener: &tokio::net::TcpListener,
    ) -> io::Result<(tokio::net::TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let room = Arc::clone(&self.shared.connections).acquire_owned();
        let permit = room.await.map_err(io::Error::other)?;
        let (stream, peer) = listener.accept().await?;
        stream.set_nodelay(true)?;
        Ok((stream, peer, permit))
    }
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}
