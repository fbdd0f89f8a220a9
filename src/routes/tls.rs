//! How an https:// upstream is shaken hands with.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use rustls::ClientConfig;

/// Roots and client certificate of one configuration. Equal only to itself: a connection opened
/// under another one is not used again.
#[derive(Clone)]
pub struct ClientTls {
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
}

impl ClientTls {
    /// Offers exactly one protocol by ALPN, whatever the configuration offered.
    #[must_use]
    pub fn new(config: ClientConfig) -> Self {
        let (mut http1, mut http2) = (config.clone(), config);
        http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        http2.alpn_protocols = vec![b"h2".to_vec()];
        Self { http1: Arc::new(http1), http2: Arc::new(http2) }
    }

    /// For a connection that speaks HTTP/1.1.
    #[must_use]
    pub const fn http1(&self) -> &Arc<ClientConfig> {
        &self.http1
    }

    /// For a connection that speaks HTTP/2.
    #[must_use]
    pub const fn http2(&self) -> &Arc<ClientConfig> {
        &self.http2
    }
}

impl PartialEq for ClientTls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.http1, &other.http1)
    }
}

impl Eq for ClientTls {}

impl Hash for ClientTls {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.http1).hash(state);
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientTls(…)")
    }
}
