//! Listeners: on addresses, on sockets in the file system, and those that systemd passes.

use std::{
    fs, io,
    net::{IpAddr, SocketAddr, TcpListener},
    os::unix::{
        fs::FileTypeExt,
        net::{UnixListener, UnixStream},
    },
    path::Path,
};

use listenfd::ListenFd;
use socket2::{Domain, Socket as RawSocket, Type};

use super::{Listen, Socket};

/// Connections that wait for `accept`.
const BACKLOG: i32 = 4096;
/// Bytes of answers that the kernel keeps for a client before the network wants them. Without a
/// bound it takes megabytes, and with them the requests of one that asks and never reads.
#[cfg(target_os = "linux")]
const MAX_UNSENT: u32 = 128 * 1024;

/// The open listeners.
#[derive(Debug)]
pub struct Listeners {
    /// One for each configured address.
    pub listeners: Vec<Listener>,
}

/// One open listener.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

/// A listener on a runtime.
#[derive(Debug)]
pub enum Acceptor {
    /// TCP.
    Tcp(tokio::net::TcpListener),
    /// A Unix socket.
    Unix(tokio::net::UnixListener),
}

impl Listeners {
    /// Opens all of them, or none.
    pub fn open(wanted: &[Listen]) -> io::Result<Self> {
        let mut listeners = Vec::new();
        for listen in wanted {
            let opened = match listen {
                Listen::Tcp(address) => tcp(*address).map(|tcp| vec![Listener::Tcp(tcp)]),
                Listen::Unix(path) => unix(path).map(|unix| vec![Listener::Unix(unix)]),
                Listen::Systemd => from_systemd(),
            };
            let opened =
                opened.and_then(|all| all.iter().try_for_each(Listener::bound).map(|()| all));
            listeners.extend(opened.map_err(|error| {
                io::Error::new(error.kind(), format!("cannot listen on {listen}: {error}"))
            })?);
        }
        Ok(Self { listeners })
    }

    /// Returns their addresses, ports resolved.
    pub fn addresses(&self) -> io::Result<Vec<Listen>> {
        self.listeners.iter().map(Listener::address).collect()
    }

    /// The same sockets again: whoever is idle accepts, and none is lost when a worker ends.
    pub fn share(&self) -> io::Result<Self> {
        let shared = self.listeners.iter().map(|listener| match listener {
            Listener::Tcp(tcp) => tcp.try_clone().map(Listener::Tcp),
            Listener::Unix(unix) => unix.try_clone().map(Listener::Unix),
        });
        Ok(Self { listeners: shared.collect::<io::Result<_>>()? })
    }
}

impl Listener {
    fn address(&self) -> io::Result<Listen> {
        match self {
            Self::Tcp(tcp) => tcp.local_addr().map(Listen::Tcp),
            Self::Unix(unix) => {
                let address = unix.local_addr()?;
                Ok(Listen::Unix(address.as_pathname().unwrap_or(Path::new("")).to_owned()))
            }
        }
    }

    /// Bounds what waits to be sent on each of its connections; a Unix socket has a bound already.
    fn bound(&self) -> io::Result<()> {
        match self {
            // socket2 has the option for Linux only; elsewhere the system's send buffer is the bound.
            #[cfg(target_os = "linux")]
            Self::Tcp(tcp) => socket2::SockRef::from(tcp).set_tcp_notsent_lowat(MAX_UNSENT),
            _ => Ok(()),
        }
    }

    /// Puts it on this thread's runtime.
    pub fn into_tokio(self) -> io::Result<Acceptor> {
        match self {
            Self::Tcp(tcp) => tokio::net::TcpListener::from_std(tcp).map(Acceptor::Tcp),
            Self::Unix(unix) => tokio::net::UnixListener::from_std(unix).map(Acceptor::Unix),
        }
    }
}

impl Acceptor {
    /// The next connection, and the address of who made it.
    pub async fn accept(&self) -> io::Result<(Socket, Option<IpAddr>)> {
        match self {
            Self::Tcp(tcp) => {
                let (stream, peer) = tcp.accept().await?;
                stream.set_nodelay(true)?;
                Ok((Socket::Tcp(stream), Some(peer.ip().to_canonical())))
            }
            Self::Unix(unix) => {
                let (stream, _) = unix.accept().await?;
                Ok((Socket::Unix(stream), None))
            }
        }
    }
}

fn tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A socket that a dead process left behind is taken over; one that is in use is not.
fn unix(path: &Path) -> io::Result<UnixListener> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if is_socket && UnixStream::connect(path).is_err() {
        fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Removes the file of a socket that is no longer listened on.
pub fn unlink(listen: &Listen) {
    if let Listen::Unix(path) = listen
        && let Err(error) = fs::remove_file(path)
    {
        tracing::debug!(%error, "cannot remove {}", path.display());
    }
}

/// All sockets that systemd from_systemd (sd_listen_fds(3)).
fn from_systemd() -> io::Result<Vec<Listener>> {
    let mut from_systemd = ListenFd::from_env();
    let mut listeners = Vec::new();
    for index in 0..from_systemd.len() {
        let listener = match from_systemd.take_tcp_listener(index) {
            Ok(tcp) => tcp.map(Listener::Tcp),
            Err(_) => from_systemd.take_unix_listener(index)?.map(Listener::Unix),
        };
        match &listener {
            Some(Listener::Tcp(tcp)) => tcp.set_nonblocking(true)?,
            Some(Listener::Unix(unix)) => unix.set_nonblocking(true)?,
            None => {}
        }
        listeners.extend(listener);
    }
    if listeners.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "systemd has passed no socket"));
    }
    Ok(listeners)
}
