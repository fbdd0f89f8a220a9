//! WebSockets: after the app's 101, bytes both ways.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split},
    sync::Notify,
    time::timeout,
};

use crate::net::Socket;

/// The app's side of an accepted WebSocket. Nothing that follows the client's head is forwarded
/// before the app's 101: only then is there a tunnel.
#[derive(Debug)]
pub struct Tunnel {
    pub(super) app: Socket,
    /// What the app has already said.
    pub(super) said: Bytes,
    pub(super) idle: Duration,
}

impl Tunnel {
    /// Copies both ways until both sides have ended, one has failed, or both are silent for too
    /// long. One side's end is passed on and the other may go on. `heard` is what the client has
    /// already said.
    pub async fn run(self, client: impl AsyncRead + AsyncWrite, heard: Bytes) {
        let Self { app, said, idle } = self;
        let (from_client, to_client) = split(client);
        let (from_app, to_app) = split(app);
        let alive = Arc::new(Notify::new());
        let both = async {
            tokio::try_join!(
                copy(heard, from_client, to_app, &alive),
                copy(said, from_app, to_client, &alive)
            )
        };
        tokio::select! {
            _ = both => {}
            () = silence(&alive, idle) => {}
        }
    }
}

async fn copy(
    first: Bytes,
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    alive: &Notify,
) -> io::Result<()> {
    to.write_all(&first).await?;
    to.flush().await?;
    let mut buffer = vec![0; 8192];
    loop {
        let length = from.read(&mut buffer).await?;
        alive.notify_one();
        let Some(read @ [_, ..]) = buffer.get(..length) else { break };
        to.write_all(read).await?;
        to.flush().await?;
    }
    to.shutdown().await
}

/// Ends when neither side has been heard for `idle`.
async fn silence(alive: &Notify, idle: Duration) {
    while timeout(idle, alive.notified()).await.is_ok() {}
}
