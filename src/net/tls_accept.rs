//! The TLS handshake of a listener.

use std::{io, sync::Arc, time::Duration};

use rustls::ServerConfig;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsStream};

use super::Socket;

/// The application protocol that a handshake chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// Accepts TLS within `deadline` and returns the protocol that ALPN chose; HTTP/1.1 where the client
/// offers none. Anything that is not TLS, as a cleartext request, gets no response.
///
/// # Errors
/// When the handshake fails or takes too long.
pub async fn accept_tls(
    config: &Arc<ServerConfig>,
    socket: Socket,
    deadline: Duration,
) -> io::Result<(Socket, Protocol)> {
    let handshake = TlsAcceptor::from(Arc::clone(config)).accept(socket);
    let stream = timeout(deadline, handshake).await.map_err(io::Error::from)??;
    let chosen = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Protocol::Http2,
        _ => Protocol::Http1,
    };
    Ok((Socket::Tls(Box::new(TlsStream::Server(stream))), chosen))
}
