//! Tunnels: after the app's 101, bytes of a WebSocket both ways.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split},
    sync::Notify,
    time::timeout,
};

use crate::net::Socket;

/// The app's side of an accepted WebSocket. Nothing that follows the client's head is forwarded
/// before the app's 101.
#[derive(Debug)]
pub struct Tunnel {
    pub(super) app: Socket,
    /// Bytes that the app sent behind its 101.
    pub(super) prefix: Bytes,
    pub(super) idle_timeout: Duration,
}

impl Tunnel {
    /// Copies both ways until both sides have ended, one has failed, or both are silent for longer
    /// than `tunnel_idle_timeout`. The end of one side is passed on, and the other may continue.
    /// `client_prefix` are bytes that the client has already sent.
    pub async fn run(self, client: impl AsyncRead + AsyncWrite, client_prefix: Bytes) {
        let Self { app, prefix, idle_timeout } = self;
        let (from_client, to_client) = split(client);
        let (from_app, to_app) = split(app);
        let alive = Arc::new(Notify::new());
        let both = async {
            tokio::try_join!(
                copy(client_prefix, from_client, to_app, &alive),
                copy(prefix, from_app, to_client, &alive)
            )
        };
        tokio::select! {
            _ = both => {}
            () = silence(&alive, idle_timeout) => {}
        }
    }
}

async fn copy(
    prefix: Bytes,
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    alive: &Notify,
) -> io::Result<()> {
    to.write_all(&prefix).await?;
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

/// Returns when neither side has sent anything for `idle_timeout`.
async fn silence(alive: &Notify, idle_timeout: Duration) {
    while timeout(idle_timeout, alive.notified()).await.is_ok() {}
}
