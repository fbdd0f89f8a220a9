//! The refused request and the configuration that refused it.

use std::net::IpAddr;

use crate::http1::RequestHead;
use crate::routes::Table;
use crate::signature::ProbeKey;

/// A refused request, and everything that may explain it.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The request's head.
    pub head: &'a RequestHead,
    /// The request's body.
    pub body: &'a [u8],
    /// The address of the client; `None` for a Unix socket.
    pub peer: Option<IpAddr>,
    /// The configured routes.
    pub table: &'a Table,
    /// The configured keys.
    pub keys: &'a [ProbeKey],
    /// More keys to try.
    pub given: &'a [ProbeKey],
    /// The URL that Twilio has on file, if known.
    pub told: Option<&'a str>,
    /// The ports of the gate's own listeners.
    pub listen_ports: &'a [u16],
}
