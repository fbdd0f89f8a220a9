//! Where `send` connects to: plainly, or over TLS.

use std::{
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    path::Path,
    sync::Arc,
};

use rustls::{ClientConfig, ClientConnection, StreamOwned, pki_types::ServerName};

use super::{CliError, send::IO_TIMEOUT};
use crate::{
    config,
    signature::{OriginFault, split_port},
};

/// Another end to talk to.
pub(super) struct Destination {
    address: String,
    tls: Option<(ServerName<'static>, Arc<ClientConfig>)>,
}

/// Bytes out and in.
pub(super) trait ReadWrite: Read + Write {}
impl<L: Read + Write> ReadWrite for L {}

impl Destination {
    /// The URL's host, or the one in `to`. Over TLS it has to be whom the URL names, wherever it is.
    pub(super) fn of(url: &str, to: Option<&str>, roots: Option<&Path>) -> Result<Self, CliError> {
        let (is_secure, host, port) = end(to.unwrap_or(url))?;
        let address = format!("{host}:{port}");
        if !is_secure {
            return Ok(Self { address, tls: None });
        }
        let (_, name, _) = end(url)?;
        let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let name = ServerName::try_from(bare.unwrap_or(name).to_owned());
        let name =
            name.map_err(|_| CliError::Usage("no certificate can be for this URL's host"))?;
        let config = config::client_config(roots).map_err(io::Error::other)?;
        Ok(Self { address, tls: Some((name, config)) })
    }

    pub(super) fn connect(&self) -> io::Result<Box<dyn ReadWrite>> {
        let socket = connect(&self.address)?;
        let Some((name, config)) = &self.tls else { return Ok(Box::new(socket)) };
        let client = ClientConnection::new(Arc::clone(config), name.clone());
        let client = client.map_err(io::Error::other)?;
        Ok(Box::new(StreamOwned::new(client, socket)))
    }
}

/// A socket with patience on it.
pub(super) fn connect(address: &str) -> io::Result<TcpStream> {
    let resolved = address.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
    let stream = TcpStream::connect_timeout(&resolved, IO_TIMEOUT)?;
    stream.set_read_timeout(Some(IO_TIMEOUT))?;
    Ok(stream)
}

/// Whether over TLS, and host and port.
fn end(url: &str) -> Result<(bool, &str, u16), CliError> {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let is_secure = match scheme {
        "https" | "wss" => true,
        "http" | "ws" => false,
        _ => return Err(CliError::Usage("a URL begins with http:// or https://")),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let no_host = |_: OriginFault| CliError::Usage("this URL has no host");
    let (host, port) = split_port(authority).map_err(no_host)?;
    Ok((is_secure, host, port.unwrap_or(if is_secure { 443 } else { 80 })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_an_end() {
        for (url, expected) in [
            ("http://h", (false, "h", 80)),
            ("https://user:p@h.example:8443/a@b?c", (true, "h.example", 8443)),
            ("wss://[::1]/media", (true, "[::1]", 443)),
        ] {
            assert_eq!(end(url).ok(), Some(expected), "{url}");
        }
        assert!(end("h.example/voice").is_err());
        assert!(end("https:///voice").is_err());
    }
}
