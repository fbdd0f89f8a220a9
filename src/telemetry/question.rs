//! Requests that are to be explained.

use std::{net::IpAddr, sync::Arc};

use crate::config::Lines;
use crate::gate::RefusedBody;
use crate::routes::Table;
use crate::signature::ProbeKey;

/// The part of a configuration that explanations need. It can admit nothing.
#[derive(Debug)]
pub struct Knowledge {
    /// The routes.
    pub table: Arc<Table>,
    /// The keys.
    pub keys: Vec<ProbeKey>,
    /// The lines where settings stand.
    pub lines: Lines,
    /// The ports of the gate's own listeners.
    pub listen_ports: Vec<u16>,
}

/// A refused request that is to be explained.
#[derive(Debug)]
pub struct Question {
    /// The configuration that refused it.
    pub knowledge: Arc<Knowledge>,
    /// Its body; `None` if it was not read.
    pub body: Option<RefusedBody>,
    /// The address of the client.
    pub peer: Option<IpAddr>,
}
