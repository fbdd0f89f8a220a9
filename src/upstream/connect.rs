//! Connecting to an upstream: TCP, a Unix socket, or TLS over TCP.

use std::{io, sync::Arc, time::Duration};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    net::{TcpStream, UnixStream},
    time::{Instant, sleep, timeout},
};
use tokio_rustls::{TlsConnector, TlsStream};

use super::{Failure, UpstreamError};
use crate::limits::Limits;
use crate::net::Socket;
use crate::routes::{Address, Upstream};

/// A failed attempt to connect.
#[derive(Debug, thiserror::Error)]
enum ConnectError {
    /// No connection. Another attempt may succeed, as while an app restarts.
    #[error("{0}")]
    Connect(io::Error),
    /// No connection within `connect_timeout`.
    #[error("no connection within connect_timeout")]
    Elapsed,
    /// No TLS session. Another attempt would fail alike: the certificate is not trusted, or HTTP/1.1
    /// is not offered.
    #[error("TLS: {0}")]
    Tls(io::Error),
}

/// Opens a socket, TLS included. While the upstream refuses, retries for `connect_retry`: an app
/// that restarts then costs latency and not a webhook. Nothing has been sent yet.
pub(super) async fn open(upstream: &Upstream, limits: &Limits) -> Result<Socket, UpstreamError> {
    let deadline = Instant::now().checked_add(limits.connect_retry);
    let mut pause = Duration::from_millis(20);
    loop {
        let connected = timeout(limits.connect_timeout, connect(upstream)).await;
        let error = match connected.unwrap_or(Err(ConnectError::Elapsed)) {
            Ok(socket) => return Ok(socket),
            Err(error) => error,
        };
        let is_over = Instant::now().checked_add(pause) >= deadline;
        if is_over || matches!(error, ConnectError::Tls(_)) {
            return Err(UpstreamError::new(Failure::Unreachable, error.to_string()));
        }
        tracing::debug!(%upstream, %error, "cannot connect");
        sleep(pause).await;
        pause = pause.saturating_mul(2);
    }
}

async fn connect(upstream: &Upstream) -> Result<Socket, ConnectError> {
    match upstream.address() {
        Address::Unix(path) => {
            UnixStream::connect(path).await.map(Socket::Unix).map_err(ConnectError::Connect)
        }
        Address::Host { host, port } => {
            let stream =
                TcpStream::connect((&**host, *port)).await.map_err(ConnectError::Connect)?;
            stream.set_nodelay(true).map_err(ConnectError::Connect)?;
            match (upstream.is_https(), upstream.tls()) {
                (false, _) => Ok(Socket::Tcp(stream)),
                (true, Some(tls)) => {
                    connect_tls(stream, host, tls.config()).await.map_err(ConnectError::Tls)
                }
                (true, None) => Err(ConnectError::Tls(io::ErrorKind::Unsupported.into())),
            }
        }
    }
}

/// Does the TLS handshake. The certificate must be for the host in `upstream`; the request's `Host`
/// is not considered.
async fn connect_tls(
    stream: TcpStream,
    host: &str,
    config: &Arc<ClientConfig>,
) -> io::Result<Socket> {
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let tls = TlsConnector::from(Arc::clone(config)).connect(name, Socket::Tcp(stream)).await?;
    let (wanted, chosen) = (config.alpn_protocols.first(), tls.get_ref().1.alpn_protocol());
    // A server without ALPN speaks HTTP/1.1.
    let chosen = chosen.unwrap_or(b"http/1.1");
    if wanted.is_none_or(|wanted| wanted == chosen) {
        Ok(Socket::Tls(Box::new(TlsStream::Client(tls))))
    } else {
        Err(io::Error::other("the upstream does not offer HTTP/1.1"))
    }
}
