//! The result of loading.

use std::path::PathBuf;

use super::{
    lines::Lines,
    tls::{Tls, Validity},
    warning::Warning,
};
use crate::limits::Limits;
use crate::net::Listen;
use crate::routes::Table;
use crate::signature::ProbeKey;

/// A valid configuration: everything that the gate runs on.
#[derive(Debug)]
pub struct Config {
    /// Addresses to listen on.
    pub listen: Vec<Listen>,
    /// Address of the admin listener (health and metrics), if any.
    pub admin: Option<Listen>,
    /// TLS on the listeners, if configured.
    pub tls: Option<Tls>,
    /// Validity of the client certificate for https upstreams, if any.
    pub client_certificate: Option<Validity>,
    /// Whether HTTP/2 is accepted without TLS (h2c, prior knowledge).
    pub http2_cleartext: bool,
    /// The routes.
    pub table: Table,
    /// Whether refusals are explained in the log.
    pub explain: bool,
    /// The keys once more, to explain refusals with; they can admit nothing.
    pub probes: Vec<ProbeKey>,
    /// The lines where settings stand.
    pub lines: Lines,
    /// The `[limits]` table with its defaults.
    pub limits: Limits,
    /// Every file that was read; a change to any of them triggers a reload.
    pub watched: Vec<PathBuf>,
    /// Valid but risky settings.
    pub warnings: Vec<Warning>,
}

impl Config {
    /// Returns the ports of the listeners, as far as the configuration names them.
    #[must_use]
    pub fn listen_ports(&self) -> Vec<u16> {
        let port = |listen: &Listen| match listen {
            Listen::Tcp(address) => Some(address.port()),
            Listen::Unix(_) | Listen::Systemd => None,
        };
        self.listen.iter().filter_map(port).filter(|port| *port > 0).collect()
    }
}
