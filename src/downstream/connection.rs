//! One connection of a client, from its first byte to its last.
//!
//! It idles, then it carries HTTP, then it idles again, until one side ends it or it becomes a
//! tunnel. While it idles it holds a socket and a timer, and no HTTP buffers.

use std::{future::poll_fn, io, net::IpAddr, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use rustls::ServerConfig;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadBuf},
    time::{sleep, timeout},
};

use super::{
    client::Client,
    http1::{self, Disposition},
    http2,
    shutdown::LINGER,
    worker::Worker,
};
use crate::limits::ConnectionPermit;
use crate::net::{Protocol, Socket, Stream, accept_tls};
use crate::upstream::Tunnel;

/// Most bytes that are read and discarded after a last response: a body that was not wanted, so that
/// its sender reads the response.
const MAX_DISCARD: usize = 1024 * 1024;
/// Bytes to read at once when an idle connection becomes active.
const FIRST_READ: usize = 1024;
/// The preface of HTTP/2 (RFC 9113 §3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves a connection to its end.
pub(super) async fn serve(
    worker: Arc<Worker>,
    socket: Socket,
    peer: Option<IpAddr>,
    permit: ConnectionPermit,
) {
    let snapshot = worker.shared.snapshot.load_full();
    let client = Client::new(peer, &snapshot);
    let tls = snapshot.tls.as_ref().map(|tls| Arc::clone(&tls.server));
    drop(snapshot); // a connection outlives many of them
    match tls {
        None => serve_cleartext(&worker, socket, client).await,
        // Boxed: keeps the future of cleartext connections small.
        Some(tls) => Box::pin(serve_tls(&worker, &tls, socket, client)).await,
    }
    drop(permit);
}

/// Waits for the client, accepts TLS, and serves the protocol that ALPN chose.
async fn serve_tls(worker: &Arc<Worker>, tls: &Arc<ServerConfig>, socket: Socket, client: Client) {
    let shared = &worker.shared;
    let head_timeout = shared.snapshot.load().limits.head_timeout;
    // A silent client costs no handshake, and can be evicted.
    let is_readable = tokio::select! {
        biased;
        ready = socket.readable() => ready.is_ok(),
        () = shared.connection_limit.evicted() => false,
        () = shared.shutdown.signaled_for(LINGER) => false,
        () = sleep(head_timeout) => false,
    };
    if !is_readable {
        return;
    }
    match accept_tls(tls, socket, head_timeout).await {
        Ok((stream, Protocol::Http1)) => serve_http1(worker, stream, Bytes::new(), client).await,
        Ok((stream, Protocol::Http2)) => http2::serve(worker, stream, Bytes::new(), client).await,
        Err(error) => tracing::debug!(peer = ?client.peer, %error, "TLS handshake failed"),
    }
}

/// Serves HTTP/1.1, or HTTP/2 where `http2_cleartext` allows it and the connection begins with its
/// preface. Later it does not: after a first HTTP/1.1 request a preface is a malformed request.
pub(super) async fn serve_cleartext<S: Stream>(
    worker: &Arc<Worker>,
    mut stream: S,
    client: Client,
) {
    let head_timeout = worker.shared.snapshot.load().limits.head_timeout;
    let Some(mut first) = park(worker, &mut stream, head_timeout).await else {
        let _elapsed = timeout(LINGER, stream.shutdown()).await;
        return;
    };
    if worker.shared.snapshot.load().http2_cleartext {
        while first.len() < HTTP2_PREFACE.len() && HTTP2_PREFACE.starts_with(&first) {
            match park(worker, &mut stream, head_timeout).await {
                Some(more) => first = [first, more].concat().into(),
                None => return,
            }
        }
        if first.starts_with(HTTP2_PREFACE) {
            return Box::pin(http2::serve(worker, stream, first, client)).await;
        }
    }
    serve_http1(worker, stream, first, client).await;
}

/// Serves HTTP/1.1 and idles, in turn. `first` are bytes of a request that were read already.
async fn serve_http1<S: Stream>(
    worker: &Arc<Worker>,
    mut stream: S,
    mut first: Bytes,
    client: Client,
) {
    let mut idle_timeout = worker.shared.snapshot.load().limits.head_timeout; // before a first request
    loop {
        if first.is_empty() {
            match park(worker, &mut stream, idle_timeout).await {
                Some(bytes) => first = bytes,
                None => break,
            }
        }
        idle_timeout = worker.shared.snapshot.load().limits.idle_timeout;
        // Boxed: keeps the future of an idle connection small.
        let served = Box::pin(http1::serve(worker, stream, std::mem::take(&mut first), &client));
        stream = match served.await {
            Disposition::Idle(stream) => stream,
            Disposition::Upgraded(stream, prefix, tunnel) => {
                return Box::pin(run_tunnel(worker, stream, prefix, tunnel)).await;
            }
            Disposition::Close(stream) => {
                let _elapsed = timeout(LINGER, Box::pin(lingering_close(stream, b""))).await;
                return;
            }
            Disposition::Aborted => return,
        };
    }
    let _elapsed = timeout(LINGER, stream.shutdown()).await; // sends TLS's close_notify
}

/// Waits for the first bytes of a request. Returns `None` when the client closes, idles for too long
/// or is evicted, or the process shuts down.
async fn park<S: Stream>(worker: &Worker, stream: &mut S, idle_timeout: Duration) -> Option<Bytes> {
    let shared = &worker.shared;
    tokio::select! {
        biased;
        read = first_bytes(stream) => read.ok().filter(|bytes| !bytes.is_empty()),
        () = shared.connection_limit.evicted() => None,
        () = shared.shutdown.signaled_for(LINGER) => None,
        () = sleep(idle_timeout) => None,
    }
}

/// Reads into a buffer that is on the stack only while there is something to read.
async fn first_bytes<S: Stream>(stream: &mut S) -> io::Result<Bytes> {
    poll_fn(|cx| {
        let mut space = [0; FIRST_READ];
        let mut buffer = ReadBuf::new(&mut space);
        let read = Pin::new(&mut *stream).poll_read(cx, &mut buffer);
        read.map_ok(|()| Bytes::copy_from_slice(buffer.filled()))
    })
    .await
}

/// Runs a tunnel to its end, or for `tunnel_drain_timeout` once the process shuts down.
async fn run_tunnel<S: Stream>(worker: &Worker, stream: S, prefix: Bytes, tunnel: Tunnel) {
    let shared = &worker.shared;
    let drain_timeout = shared.snapshot.load().limits.tunnel_drain_timeout;
    shared.observer.metrics.gauges.tunnels.inc();
    tokio::select! {
        () = tunnel.run(stream, prefix) => {}
        () = shared.shutdown.signaled_for(drain_timeout) => {}
    }
    shared.observer.metrics.gauges.tunnels.dec();
}

/// Sends `text`, ends this side, and reads for a moment what the client still sends: closing a
/// socket with unread bytes resets the connection and with it what was sent last (RFC 9112 §9.6).
pub(super) async fn lingering_close<S: Stream>(mut stream: S, text: &[u8]) {
    let sent = async {
        stream.write_all(text).await?;
        stream.shutdown().await
    };
    if sent.await.is_err() {
        return;
    }
    let mut discarded = vec![0; FIRST_READ];
    let mut left = MAX_DISCARD;
    while let Ok(length @ 1..) = stream.read(&mut discarded).await
        && let Some(less) = left.checked_sub(length)
    {
        left = less;
    }
}
