//! Connects to a gate for `send` and `doctor`, with or without TLS.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    path::Path,
    sync::Arc,
    time::Duration,
};

use rustls::{ClientConfig, ClientConnection, StreamOwned, pki_types::ServerName};

use super::error::CliError;
use crate::{
    config,
    signature::{OriginFault, split_port},
};

/// Timeout to connect and for each read: as long as Twilio waits for a webhook's response.
const IO_TIMEOUT: Duration = Duration::from_secs(15);

/// An address to connect to, and its TLS.
pub(super) struct Destination {
    address: String,
    tls: Option<(ServerName<'static>, Arc<ClientConfig>)>,
}

/// A stream, plain or TLS.
pub(super) trait ReadWrite: Read + Write {}
impl<L: Read + Write> ReadWrite for L {}

impl Destination {
    /// Parses the endpoint of `url`, or of `to` if given. Over TLS the server's certificate must be for
    /// the host of `url` in both cases.
    pub(super) fn parse(
        url: &str,
        to: Option<&str>,
        roots: Option<&Path>,
    ) -> Result<Self, CliError> {
        let (is_secure, host, port) = parse_endpoint(to.unwrap_or(url))?;
        let address = format!("{host}:{port}");
        if !is_secure {
            return Ok(Self { address, tls: None });
        }
        let (_, name, _) = parse_endpoint(url)?;
        let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let name = ServerName::try_from(bare.unwrap_or(name).to_owned());
        let name =
            name.map_err(|_| CliError::Usage("this URL's host cannot be in a certificate"))?;
        let config = config::client_config(roots).map_err(io::Error::other)?;
        Ok(Self { address, tls: Some((name, config)) })
    }

    /// Opens a connection.
    pub(super) fn connect(&self) -> Result<Box<dyn ReadWrite>, CliError> {
        let socket = connect(&self.address)
            .map_err(|error| CliError::Unreachable { address: self.address.clone(), error })?;
        let Some((name, config)) = &self.tls else { return Ok(Box::new(socket)) };
        let client = ClientConnection::new(Arc::clone(config), name.clone());
        let client = client.map_err(io::Error::other)?;
        Ok(Box::new(StreamOwned::new(client, socket)))
    }
}

/// Opens a TCP connection with timeouts.
pub(super) fn connect(address: &str) -> io::Result<TcpStream> {
    connect_to_any(&address.to_socket_addrs()?.collect::<Vec<_>>(), IO_TIMEOUT)
}

/// Opens a connection to the first of these addresses that accepts one: `localhost` is often two, and
/// a gate listens on one of them.
pub(super) fn connect_to_any(addresses: &[SocketAddr], timeout: Duration) -> io::Result<TcpStream> {
    let mut failed = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        match TcpStream::connect_timeout(address, timeout) {
            Ok(stream) => {
                stream.set_read_timeout(Some(IO_TIMEOUT))?;
                return Ok(stream);
            }
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Parses a URL into whether it uses TLS, host and port.
fn parse_endpoint(url: &str) -> Result<(bool, &str, u16), CliError> {
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
    fn url_is_parsed_into_tls_host_and_port() {
        for (url, expected) in [
            ("http://h", (false, "h", 80)),
            ("https://user:p@h.example:8443/a@b?c", (true, "h.example", 8443)),
            ("wss://[::1]/media", (true, "[::1]", 443)),
        ] {
            assert_eq!(parse_endpoint(url).ok(), Some(expected), "{url}");
        }
        assert!(parse_endpoint("h.example/voice").is_err());
        assert!(parse_endpoint("https:///voice").is_err());
    }
}
