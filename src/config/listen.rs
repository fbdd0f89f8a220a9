//! Parses addresses to listen on.

use crate::net::Listen;
use crate::routes::{SocketFault, socket_path};

/// A text that is not an address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListenFault {
    /// Not `address:port`, `unix:/path` or `systemd`.
    #[error("no address to listen on")]
    Address,
    /// Not a valid path of a Unix socket.
    #[error("{0}")]
    Socket(#[from] SocketFault),
    /// `systemd` for the admin listener: passed sockets serve requests only.
    #[error("the admin listener has an address of its own")]
    AdminSystemd,
}

/// Parses `address:port`, `unix:/path` or `systemd`.
///
/// # Errors
/// [`ListenFault`] when the text is none of these.
pub fn parse_listen(text: &str) -> Result<Listen, ListenFault> {
    if text == "systemd" {
        return Ok(Listen::Systemd);
    }
    if let Some(path) = text.strip_prefix("unix:") {
        return Ok(Listen::Unix(socket_path(path)?));
    }
    text.parse().map(Listen::Tcp).map_err(|_| ListenFault::Address)
}
