//! The key of the connection pool.

use std::sync::Arc;

use crate::gate::Admitted;
use crate::routes::Upstream;

/// The connections that a request may use. By value, so that a reload keeps the connections of
/// upstreams that have not changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PoolKey {
    pub(super) upstream: Arc<Upstream>,
    /// Proven and unproven requests never share a connection: an app that confuses its responses
    /// must not hand one to a client that proved nothing.
    pub(super) is_proven: bool,
}

impl PoolKey {
    pub(super) fn new(admitted: &Admitted) -> Self {
        let is_proven = admitted.proven().proof().is_some();
        Self { upstream: Arc::clone(&admitted.route().upstream), is_proven }
    }
}
