//! Failures after the proof.

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
}

impl Failure {
    /// Every failure, in the order of the documentation.
    pub const ALL: [Self; 4] = [Self::Unreachable, Self::Failed, Self::Timeout, Self::Overloaded];

    /// Returns its name in logs and metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unreachable => "upstream_unreachable",
            Self::Failed => "upstream_failed",
            Self::Timeout => "upstream_timeout",
            Self::Overloaded => "overloaded",
        }
    }
}
