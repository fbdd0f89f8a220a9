//! What can go wrong after the proof.

/// Why there is no answer from the app. Only ever for proven requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Failure {
    /// No connection: nothing of the request left.
    #[error("the upstream cannot be reached")]
    Unreachable,
    /// The connection broke, or the answer was no HTTP.
    #[error("the upstream failed")]
    Failed,
    /// No answer in time.
    #[error("the upstream did not answer in time")]
    Timeout,
    /// More requests are with the apps than the gate may have there at once.
    #[error("too many requests are in flight")]
    Overloaded,
}

impl Failure {
    /// Every failure.
    pub const ALL: [Self; 4] = [Self::Unreachable, Self::Failed, Self::Timeout, Self::Overloaded];

    /// Its name in logs and counters.
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
