//! Which files TLS is made from.

use std::path::PathBuf;

/// `[tls]`: TLS on the listeners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The gate's own certificate.
    pub identity: Identity,
    /// Roots of client certificates; where given, every client needs one.
    pub client_ca: Option<PathBuf>,
}

/// `[upstream_tls]`: TLS towards https upstreams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamTls {
    /// Roots that upstreams are trusted by; none: the system's.
    pub ca: Option<PathBuf>,
    /// The client certificate to show, if any.
    pub identity: Option<Identity>,
}

/// A certificate and its private key, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The certificate, followed by those that lead to its root.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}
