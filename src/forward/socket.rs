//! The socket to an upstream: TCP, Unix, or TLS over TCP.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
    time::{Instant, sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::Failure;
use crate::routes::{Address, Limits, Upstream};

/// An open connection, whatever it runs over.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

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
                (true, Some(tls)) => secure(stream, host, tls.config()).await.map_err(Refused::Tls),
                (true, None) => Err(Refused::Tls(io::ErrorKind::Unsupported.into())),
            }
        }
    }
}

/// Shakes hands with whom the upstream's own name promises; the request's `Host` plays no part.
async fn secure(stream: TcpStream, host: &str, config: &Arc<ClientConfig>) -> io::Result<Socket> {
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let tls = TlsConnector::from(Arc::clone(config)).connect(name, stream).await?;
    let (wanted, chosen) = (config.alpn_protocols.first(), tls.get_ref().1.alpn_protocol());
    // A server without ALPN speaks HTTP/1.1.
    let chosen = chosen.unwrap_or(b"http/1.1");
    if wanted.is_none_or(|wanted| wanted == chosen) {
        Ok(Socket::Tls(Box::new(tls)))
    } else {
        Err(io::Error::other("the upstream does not offer HTTP/1.1"))
    }
}

impl Socket {
    /// Whether what is written may wait in a buffer.
    pub(super) const fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
