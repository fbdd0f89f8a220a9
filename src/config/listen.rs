//! Parses addresses to listen on.

use super::raw::Location;
use crate::net::Listen;
use crate::routes::{SocketFault, socket_path};

/// A text that is not an address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListenFault {
    /// Not `address:port`, `unix:/path` or `systemd`; with the port, if one is written.
    #[error("no address to listen on")]
    Address(Option<u16>),
    /// A name in place of an address.
    #[error("a name is no address to listen on")]
    Localhost(Option<u16>),
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
    text.parse().map(Listen::Tcp).map_err(|_| fault_of(text))
}

fn fault_of(text: &str) -> ListenFault {
    let text = text.rsplit_once("://").map_or(text, |(_, address)| address);
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    let port = port.trim_end_matches('/').parse().ok();
    if host.eq_ignore_ascii_case("localhost") || text.eq_ignore_ascii_case("localhost") {
        ListenFault::Localhost(port)
    } else {
        ListenFault::Address(port)
    }
}

impl ListenFault {
    /// Returns how to write an address for this key or flag. An address that only this machine
    /// reaches comes first.
    pub(super) fn help(self, key: &str, location: &Location) -> String {
        let is_admin = key == "admin.listen";
        let write = |address: &str| match location {
            Location::Flag(flag) => format!("{flag} {address}"),
            Location::File(_) | Location::Nowhere => format!("listen = \"{address}\""),
        };
        let at = |ip: &str, port: Option<u16>| {
            write(&format!("{ip}:{}", port.unwrap_or(if is_admin { 9090 } else { 8080 })))
        };
        match self {
            Self::Localhost(port) => format!("write {}", at("127.0.0.1", port)),
            Self::Address(port) if is_admin => {
                format!("write {}, or a socket: {}", at("127.0.0.1", port), write("unix:/path"))
            }
            Self::Address(port) => format!(
                "write {} for this machine only, or {} for every address; or unix:/path, or systemd",
                at("127.0.0.1", port),
                at("0.0.0.0", port)
            ),
            Self::Socket(_) => "write unix: and an absolute path".to_owned(),
            Self::AdminSystemd => format!("write {}", at("127.0.0.1", None)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_answered_with_the_loopback_address_and_its_port() {
        let help = |text: &str, key: &str, location: &Location| {
            parse_listen(text).unwrap_err().help(key, location)
        };
        let flag = Location::Flag("--listen");
        assert_eq!(help("localhost:8000", "listen", &flag), "write --listen 127.0.0.1:8000");
        assert_eq!(
            help("http://localhost:9/", "listen", &Location::Nowhere),
            "write listen = \"127.0.0.1:9\""
        );
        for text in [":8000", "8000", "*:8000", "example.com:8000"] {
            let help = help(text, "listen", &flag);
            let start = "write --listen 127.0.0.1:8000 for this machine only, ";
            assert!(help.starts_with(start), "{text} {help}");
            assert!(help.contains("--listen 0.0.0.0:8000"), "{text} {help}");
        }
        let admin = help("localhost", "admin.listen", &Location::Nowhere);
        assert_eq!(admin, "write listen = \"127.0.0.1:9090\"");
    }
}
