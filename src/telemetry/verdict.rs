//! The result of an exchange, as logs and counters show it.

use crate::gate::{Proven, Refusal};
use crate::upstream::Failure;

/// The result of an exchange.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Admitted, and the app responded; or observed only, on a route with `enforce = false`.
    Admitted(Proven),
    /// Refused by the gate.
    Refused(Refusal),
    /// Admitted, but the app's response is missing or incomplete.
    Failed(Proven, Failure),
    /// Not valid HTTP; carries the reason's label.
    Malformed(&'static str),
    /// The client disconnected before a response.
    Abandoned,
    /// A nonce of `gatekeeper doctor`, answered by the gate itself.
    Doctor,
}

impl Verdict {
    /// Returns the label used in logs and counters.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Admitted(Proven::Unenforced(_)) => "observed",
            Self::Admitted(_) => "admitted",
            Self::Refused(_) => "refused",
            Self::Failed(..) => "failed",
            Self::Malformed(_) => "malformed",
            Self::Abandoned => "abandoned",
            Self::Doctor => "doctor",
        }
    }

    /// Returns the reason's label, if the exchange was refused, failed or malformed, or would
    /// have been refused.
    #[must_use]
    pub const fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Admitted(Proven::Unenforced(observed)) => Some(observed.reason().label()),
            Self::Admitted(_) | Self::Abandoned | Self::Doctor => None,
            Self::Refused(reason) => Some(reason.label()),
            Self::Failed(_, failure) => Some(failure.label()),
            Self::Malformed(reason) => Some(reason),
        }
    }

    pub(super) const fn proven(&self) -> Option<&Proven> {
        match self {
            Self::Admitted(proven) | Self::Failed(proven, _) => Some(proven),
            Self::Refused(_) | Self::Malformed(_) | Self::Abandoned | Self::Doctor => None,
        }
    }
}
