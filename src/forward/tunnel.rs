//! WebSockets: after the app's 101, bytes both ways.

use std::{io, sync::Arc, time::Duration};

use hyper::{
    Request, Response, StatusCode,
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split},
    sync::Notify,
    time::timeout,
};

use super::{
    Failure, Relayed,
    connection::{Outgoing, builder},
    socket::{self, Protocol},
};
use crate::routes::{Limits, Upstream};

/// Sends a judged handshake over a connection of its own. If the app accepts, the tunnel runs until
/// both sides have ended or both are silent; if not, its answer passes through.
///
/// Nothing that follows the client's head is forwarded before the app's 101: hyper gives the
/// connection up only with the answer.
pub(super) async fn open_tunnel(
    request: Request<Outgoing>,
    client: OnUpgrade,
    upstream: &Upstream,
    limits: &Limits,
) -> Result<Response<Relayed>, Failure> {
    let stream = socket::open(upstream, Protocol::Http1, limits).await?;
    let (mut sender, driver) =
        builder().handshake(TokioIo::new(stream)).await.map_err(|_| Failure::Failed)?;
    tokio::spawn(driver.with_upgrades());
    let mut response = sender.send_request(request).await.map_err(|_| Failure::Failed)?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(response.map(Relayed::detached));
    }
    let app = hyper::upgrade::on(&mut response);
    let idle = limits.tunnel_idle_timeout;
    tokio::spawn(async move {
        if let (Ok(client), Ok(app)) = tokio::join!(client, app) {
            relay(client, app, idle).await;
        }
    });
    Ok(response.map(|_| Relayed::empty()))
}

/// Copies both ways until both have ended. One side's end is passed on and the other may go on;
/// one side's failure ends both.
async fn relay(client: Upgraded, app: Upgraded, idle: Duration) {
    let (from_client, to_client) = split(TokioIo::new(client));
    let (from_app, to_app) = split(TokioIo::new(app));
    let heard = Arc::new(Notify::new());
    let both = async {
        tokio::try_join!(copy(from_client, to_app, &heard), copy(from_app, to_client, &heard))
    };
    tokio::select! {
        _ = both => {}
        () = silence(&heard, idle) => {}
    }
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    heard: &Notify,
) -> io::Result<()> {
    let mut buffer = vec![0; 8192];
    loop {
        let length = from.read(&mut buffer).await?;
        heard.notify_one();
        let Some(read @ [_, ..]) = buffer.get(..length) else { break };
        to.write_all(read).await?;
        to.flush().await?;
    }
    to.shutdown().await
}

/// Ends when neither side has been heard for `idle`.
async fn silence(heard: &Notify, idle: Duration) {
    while timeout(idle, heard.notified()).await.is_ok() {}
}
