//! The client of a connection.

use std::{net::IpAddr, sync::Arc};

use rustls::pki_types::TrustAnchor;

use super::Snapshot;

/// A client, as it was accepted.
#[derive(Clone, Debug)]
pub(super) struct Client {
    /// Its address; `None` over a Unix socket.
    pub(super) peer: Option<IpAddr>,
    /// The CAs by which it was authenticated; none if no certificate was asked for.
    client_ca: Arc<[TrustAnchor<'static>]>,
}

impl Client {
    /// A client that connects while `snapshot` is in force.
    pub(super) fn new(peer: Option<IpAddr>, snapshot: &Snapshot) -> Self {
        let client_ca = snapshot.tls.as_ref().map(|tls| Arc::clone(&tls.client_ca));
        Self { peer, client_ca: client_ca.unwrap_or_default() }
    }

    /// Returns whether the client would be authenticated the same way today. A reload that changes
    /// `client_ca` ends its connection after the request in flight.
    pub(super) fn is_current(&self, snapshot: &Snapshot) -> bool {
        let current = snapshot.tls.as_ref().map(|tls| &tls.client_ca[..]);
        current.unwrap_or_default() == &self.client_ca[..]
    }
}
