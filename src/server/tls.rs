//! TLS on a listener: the handshake, and what it chose.

use std::{io, sync::Arc, time::Duration};

use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// Shakes hands, within a deadline, and says which protocol ALPN chose; HTTP/1.1 where the client
/// named none. What is no TLS, as a request in cleartext, is not answered: the connection ends.
pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    config: &Arc<ServerConfig>,
    stream: S,
    deadline: Duration,
) -> io::Result<(TlsStream<S>, Protocol)> {
    let handshake = TlsAcceptor::from(Arc::clone(config)).accept(stream);
    let stream = timeout(deadline, handshake).await.map_err(io::Error::from)??;
    let chosen = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Protocol::Http2,
        _ => Protocol::Http1,
    };
    Ok((stream, chosen))
}
