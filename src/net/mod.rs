//! Generic I/O: listeners, sockets, TLS accept, buffered streams and timers.

mod io_pair;
mod listener;
mod prefixed;
mod stream;
mod timer;
mod tls_accept;
mod transport;

use std::{fmt, net::SocketAddr, path::PathBuf};

pub use io_pair::IoPair;
pub use listener::{Acceptor, Listener, Listeners, unlink};
pub use prefixed::PrefixedIo;
pub use stream::{Socket, Stream};
pub use timer::{CoarseTimer, Elapsed};
pub use tls_accept::{Protocol, accept_tls};
pub use transport::{BufferedStream, MAX_READ, READ_SIZE, ReadError, Transport};

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A TCP address and port.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
    /// The sockets that systemd passes (sd_listen_fds(3)).
    Systemd,
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
