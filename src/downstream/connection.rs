//! One connection from outside, from its first byte to its last.
//!
//! It idles, then it speaks HTTP, then it idles again, until one side ends it or it becomes a
//! tunnel. While it idles it holds a socket and a timer, and nothing of HTTP.

use std::{future::poll_fn, io, net::IpAddr, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use rustls::ServerConfig;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadBuf},
    time::{sleep, timeout},
};

use super::{http1, http2, worker::Worker};
use crate::limits::ConnectionPermit;
use crate::net::{Protocol, Socket, Stream, accept_tls};
use crate::upstream::Tunnel;

/// How long a side that has ended is listened to, and one that idles when the gate stops.
pub(super) const LINGER: Duration = Duration::from_secs(1);
/// How much of what follows a last answer is read and thrown away: the rest of a body that is some
/// times as long as one may be, so that its sender reads the answer.
const MAX_DISCARD: usize = 1024 * 1024;
/// How much is read at once of what ends an idle time.
const FIRST_READ: usize = 1024;

/// How a stretch of HTTP ended.
pub(super) enum Disposition<S> {
    /// All is said and nothing has come since.
    Idle(S),
    /// The app has accepted a WebSocket; the client may have said something already.
    Tunnel(S, Bytes, Tunnel),
    /// One side is done.
    Over(S),
    /// There is nobody to say anything to.
    Gone,
}

/// Serves it to its end.
pub(super) async fn serve(
    worker: Arc<Worker>,
    socket: Socket,
    peer: Option<IpAddr>,
    place: ConnectionPermit,
) {
    let tls = worker.shared.snapshot.load().tls.clone();
    match tls {
        None => serve_connection(&worker, socket, peer).await,
        Some(tls) => Box::pin(serve_tls(&worker, &tls, socket, peer)).await,
    }
    drop(place);
}

/// Waits for the client, shakes hands, and speaks what was agreed.
async fn serve_tls(
    worker: &Arc<Worker>,
    tls: &Arc<ServerConfig>,
    socket: Socket,
    peer: Option<IpAddr>,
) {
    let shared = &worker.shared;
    let patience = shared.snapshot.load().limits.head_timeout;
    // A client that says nothing costs no handshake, and makes room where it is needed.
    let spoken = tokio::select! {
        biased;
        ready = socket.readable() => ready.is_ok(),
        () = shared.connection_limit.evicted() => false,
        () = shared.shutdown.signaled_for(LINGER) => false,
        () = sleep(patience) => false,
    };
    if !spoken {
        return;
    }
    match accept_tls(tls, socket, patience).await {
        Ok((stream, Protocol::Http1)) => serve_connection(worker, stream, peer).await,
        Ok((stream, Protocol::Http2)) => http2::serve(worker, stream, Bytes::new(), peer).await,
        Err(error) => tracing::debug!(?peer, %error, "no TLS"),
    }
}

/// Idles and speaks in turn.
pub(super) async fn serve_connection<S: Stream>(
    worker: &Arc<Worker>,
    mut stream: S,
    peer: Option<IpAddr>,
) {
    let mut patience = worker.shared.snapshot.load().limits.head_timeout; // who connects has something to say
    while let Some(first) = park(worker, &mut stream, patience).await {
        patience = worker.shared.snapshot.load().limits.idle_timeout;
        let is_http2 = first.starts_with(b"PRI ") && worker.shared.snapshot.load().http2_cleartext;
        let left = if is_http2 {
            Box::pin(http2::serve(worker, stream, first, peer)).await;
            return;
        } else {
            Box::pin(http1::serve(worker, stream, first, peer)).await
        };
        stream = match left {
            Disposition::Idle(stream) => stream,
            Disposition::Tunnel(stream, heard, tunnel) => {
                return Box::pin(run_tunnel(worker, stream, heard, tunnel)).await;
            }
            Disposition::Over(stream) => {
                let _too_late = timeout(LINGER, Box::pin(lingering_close(stream, b""))).await;
                return;
            }
            Disposition::Gone => return,
        };
    }
    let _too_late = timeout(LINGER, stream.shutdown()).await; // TLS says goodbye
}

/// Waits for the first bytes of a request; none when the client ends, idles for too long, has to
/// make room, or the gate stops.
async fn park<S: Stream>(worker: &Worker, stream: &mut S, patience: Duration) -> Option<Bytes> {
    let shared = &worker.shared;
    tokio::select! {
        biased;
        read = first_bytes(stream) => read.ok().filter(|bytes| !bytes.is_empty()),
        () = shared.connection_limit.evicted() => None,
        () = shared.shutdown.signaled_for(LINGER) => None,
        () = sleep(patience) => None,
    }
}

/// The buffer is on the stack only while there is something to read.
async fn first_bytes<S: Stream>(stream: &mut S) -> io::Result<Bytes> {
    poll_fn(|cx| {
        let mut space = [0; FIRST_READ];
        let mut buffer = ReadBuf::new(&mut space);
        let read = Pin::new(&mut *stream).poll_read(cx, &mut buffer);
        read.map_ok(|()| Bytes::copy_from_slice(buffer.filled()))
    })
    .await
}

/// Runs it to its end, or for a while longer once the gate is told to stop.
async fn run_tunnel<S: Stream>(worker: &Worker, stream: S, heard: Bytes, tunnel: Tunnel) {
    let shared = &worker.shared;
    let patience = shared.snapshot.load().limits.tunnel_drain_timeout;
    shared.observer.metrics.gauges.tunnels.inc();
    tokio::select! {
        () = tunnel.run(stream, heard) => {}
        () = shared.shutdown.signaled_for(patience) => {}
    }
    shared.observer.metrics.gauges.tunnels.dec();
}

/// Says a last thing, ends this side, and listens for a moment: a socket that is closed with
/// unread bytes takes back what was said last (RFC 9112 §9.6).
pub(super) async fn lingering_close<S: Stream>(mut stream: S, text: &[u8]) {
    let said = async {
        stream.write_all(text).await?;
        stream.shutdown().await
    };
    if said.await.is_err() {
        return;
    }
    let mut ignored = vec![0; FIRST_READ];
    let mut left = MAX_DISCARD;
    while let Ok(length @ 1..) = stream.read(&mut ignored).await
        && let Some(less) = left.checked_sub(length)
    {
        left = less;
    }
}
