//! Where the gate listens.

use crate::net::Listen;
use crate::routes::{SocketFault, socket_path};

/// Why a text is nothing to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListenFault {
    /// Neither an address with a port nor one of the other two.
    #[error("no address to listen on")]
    Address,
    /// No path that a socket can have.
    #[error("{0}")]
    Socket(#[from] SocketFault),
    /// systemd's sockets are for requests.
    #[error("the admin listener has an address of its own")]
    AdminSystemd,
}

/// Reads `address:port`, `unix:/path` or `systemd`.
///
/// # Errors
/// [`ListenFault`].
pub fn parse_listen(text: &str) -> Result<Listen, ListenFault> {
    if text == "systemd" {
        return Ok(Listen::Systemd);
    }
    if let Some(path) = text.strip_prefix("unix:") {
        return Ok(Listen::Unix(socket_path(path)?));
    }
    text.parse().map(Listen::Tcp).map_err(|_| ListenFault::Address)
}
