//! Failures after the proof.

use std::borrow::Cow;

use crate::routes::Upstream;

/// The reason why there is no response from the app. Only for proven requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Failure {
    /// No connection: no byte of the request was sent.
    #[error("the upstream cannot be reached")]
    Unreachable,
    /// The connection broke, or the response was not HTTP/1.1.
    #[error("the upstream failed")]
    Failed,
    /// No response within `response_timeout`.
    #[error("the upstream did not answer in time")]
    Timeout,
    /// `max_in_flight` requests are in flight.
    #[error("too many requests are in flight")]
    Overloaded,
    /// The client closed its connection while the gate waited for one to the app. Nothing was sent.
    #[error("the client is gone")]
    ClientGone,
}

impl Failure {
    /// Every failure of an app, in the order of the documentation.
    pub const ALL: [Self; 4] = [Self::Unreachable, Self::Failed, Self::Timeout, Self::Overloaded];

    /// Returns its name in logs and metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unreachable => "upstream_unreachable",
            Self::Failed => "upstream_failed",
            Self::Timeout => "upstream_timeout",
            Self::Overloaded => "overloaded",
            Self::ClientGone => "client_gone",
        }
    }
}

/// A failure with its cause in words, for the log.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{failure} ({upstream}): {cause}")]
pub struct UpstreamError {
    /// The failure.
    pub failure: Failure,
    /// The address of the app.
    pub upstream: String,
    /// The cause: the system's error, or the fault of the response. Nothing that a client sent.
    pub cause: Cow<'static, str>,
}

impl UpstreamError {
    pub(super) fn new(failure: Failure, cause: impl Into<Cow<'static, str>>) -> Self {
        Self { failure, upstream: String::new(), cause: cause.into() }
    }

    pub(super) fn at(self, upstream: &Upstream) -> Self {
        Self { upstream: upstream.to_string(), ..self }
    }
}
