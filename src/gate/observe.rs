//! Observation instead of refusal, on routes with `enforce = false`.

use super::Refusal;
use crate::routes::Route;

/// The reason for which an unproven request would have been refused, on a route that does not
/// enforce its proofs. Only this module makes one, and for no other route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unenforced {
    reason: Refusal,
}

impl Unenforced {
    /// Takes a refusal for an observation.
    ///
    /// # Errors
    /// The same refusal, where the route enforces its proofs or the reason is no lack of a proof.
    pub(super) const fn observe(route: &Route, reason: Refusal) -> Result<Self, Refusal> {
        let is_observed = route.is_unenforced() && is_lack_of_proof(reason);
        if is_observed { Ok(Self { reason }) } else { Err(reason) }
    }

    /// Returns the reason that would have refused the request.
    #[must_use]
    pub const fn reason(self) -> Refusal {
        self.reason
    }
}

/// Whether a request is refused for its proof alone. What protects other routes (an ambiguous path),
/// what the owner excluded (a method) and what has no complete body is refused all the same.
const fn is_lack_of_proof(reason: Refusal) -> bool {
    match reason {
        Refusal::MissingSignature
        | Refusal::MalformedSignature
        | Refusal::UnknownHost
        | Refusal::NoFormParams
        | Refusal::BodyNotCovered
        | Refusal::SignatureMismatch
        | Refusal::AccountMismatch
        | Refusal::UnknownKey
        | Refusal::UnknownAccount
        | Refusal::Replayed
        | Refusal::Stale => true,
        Refusal::UnknownRoute
        | Refusal::MethodNotAllowed
        | Refusal::UnsafePath
        | Refusal::BodyTooLarge
        | Refusal::BodyTimeout
        | Refusal::BodyIncomplete
        | Refusal::Overloaded => false,
    }
}
