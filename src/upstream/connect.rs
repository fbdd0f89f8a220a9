//! The socket to an upstream: TCP, Unix, or TLS over TCP.

use std::{io, sync::Arc, time::Duration};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    net::{TcpStream, UnixStream},
    time::{Instant, sleep, timeout},
};
use tokio_rustls::{TlsConnector, TlsStream};

use super::Failure;
use crate::limits::Limits;
use crate::net::Socket;
use crate::routes::{Address, Upstream};

/// Why there is none.
#[derive(Debug, thiserror::Error)]
enum Refused {
    /// Another try may help, as while an app restarts.
    #[error("{0}")]
    Connect(io::Error),
    /// Another try would end alike: the certificate is not trusted, or HTTP/1.1 is not offered.
    #[error("TLS: {0}")]
    Tls(io::Error),
}

/// Opens a socket, TLS included. Once more while the upstream refuses and the moment allowed for it
/// lasts: an app that restarts costs latency and not a webhook. Nothing has been sent yet.
pub(super) async fn open(upstream: &Upstream, limits: &Limits) -> Result<Socket, Failure> {
    let patience = Instant::now().checked_add(limits.connect_retry);
    let mut pause = Duration::from_millis(20);
    loop {
        let dialled = timeout(limits.connect_timeout, dial(upstream)).await;
        match dialled.unwrap_or_else(|late| Err(Refused::Connect(late.into()))) {
            Ok(socket) => return Ok(socket),
            Err(Refused::Connect(error)) => tracing::debug!(%upstream, %error, "cannot connect"),
            Err(refused @ Refused::Tls(_)) => {
                tracing::warn!(%upstream, error = %refused, "cannot connect");
                return Err(Failure::Unreachable);
            }
        }
        if Instant::now().checked_add(pause) >= patience {
            return Err(Failure::Unreachable);
        }
        sleep(pause).await;
        pause = pause.saturating_mul(2);
    }
}

async fn dial(upstream: &Upstream) -> Result<Socket, Refused> {
    match upstream.address() {
        Address::Unix(path) => {
            UnixStream::connect(path).await.map(Socket::Unix).map_err(Refused::Connect)
        }
        Address::Host { host, port } => {
            let stream = TcpStream::connect((&**host, *port)).await.map_err(Refused::Connect)?;
            stream.set_nodelay(true).map_err(Refused::Connect)?;
            match (upstream.is_https(), upstream.tls()) {
                (false, _) => Ok(Socket::Tcp(stream)),
                (true, Some(tls)) => {
                    connect_tls(stream, host, tls.config()).await.map_err(Refused::Tls)
                }
                (true, None) => Err(Refused::Tls(io::ErrorKind::Unsupported.into())),
            }
        }
    }
}

/// Shakes hands with whom the upstream's own name promises; the request's `Host` plays no part.
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
