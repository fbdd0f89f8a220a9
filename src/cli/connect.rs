//! Connects to the gate for `send`, with or without TLS.

use std::{
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs},
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
    pub(super) fn connect(&self) -> io::Result<Box<dyn ReadWrite>> {
        let socket = connect(&self.address)?;
        let Some((name, config)) = &self.tls else { return Ok(Box::new(socket)) };
        let client = ClientConnection::new(Arc::clone(config), name.clone());
        let client = client.map_err(io::Error::other)?;
        Ok(Box::new(StreamOwned::new(client, socket)))
    }
}

/// Opens a TCP connection with timeouts.
pub(super) fn connect(address: &str) -> io::Result<TcpStream> {
    let resolved = address.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
    let stream = TcpStream::connect_timeout(&resolved, IO_TIMEOUT)?;
    stream.set_read_timeout(Some(IO_TIMEOUT))?;
    Ok(stream)
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
