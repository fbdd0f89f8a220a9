//! The TLS configuration for `https://` upstreams.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use rustls::ClientConfig;

/// Roots and client certificate of one configuration. Equal only to itself: a connection opened
/// under another one is not used again.
#[derive(Clone)]
pub struct ClientTls(Arc<ClientConfig>);

impl ClientTls {
    /// Offers exactly HTTP/1.1 by ALPN, whatever `config` offers.
    #[must_use]
    pub fn new(mut config: ClientConfig) -> Self {
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self(Arc::new(config))
    }

    /// The configuration of one handshake.
    #[must_use]
    pub const fn config(&self) -> &Arc<ClientConfig> {
        &self.0
    }
}

impl PartialEq for ClientTls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ClientTls {}

impl Hash for ClientTls {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientTls(…)")
    }
}
