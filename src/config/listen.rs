//! Where the gate listens.

use std::{fmt, net::SocketAddr, path::PathBuf};

use crate::routes::{SocketFault, socket_path};

/// One thing to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
    /// All sockets that systemd passes (sd_listen_fds(3)).
    Systemd,
}

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

impl Listen {
    /// Reads `address:port`, `unix:/path` or `systemd`.
    ///
    /// # Errors
    /// [`ListenFault`].
    pub fn parse(text: &str) -> Result<Self, ListenFault> {
        if text == "systemd" {
            return Ok(Self::Systemd);
        }
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::Unix(socket_path(path)?));
        }
        text.parse().map(Self::Tcp).map_err(|_| ListenFault::Address)
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Systemd => f.write_str("systemd"),
        }
    }
}
