//! The key of the connection pool.

use std::sync::Arc;

use crate::routes::{Route, Upstream};

/// The connections that a request may use. By value, so that a reload keeps the connections of
/// upstreams that have not changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PoolKey {
    pub(super) upstream: Arc<Upstream>,
    /// Public and guarded requests never share a connection: an app that confuses its responses
    /// must not hand one to a client that proved nothing.
    pub(super) is_public: bool,
}

impl PoolKey {
    pub(super) fn new(route: &Route) -> Self {
        Self { upstream: Arc::clone(&route.upstream), is_public: route.is_public() }
    }
}
