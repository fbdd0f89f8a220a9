//! The request counters of one route.

use prometheus::{IntCounter, IntCounterVec};

use super::verdict::Verdict;
use crate::gate::{Proven, Refusal};
use crate::upstream::Failure;

/// The request counters of one route.
///
/// Resolved when the configuration loads, so that a request needs no look-up by label.
#[derive(Debug)]
pub struct RouteCounters {
    path: Box<str>,
    admitted: IntCounter,
    abandoned: IntCounter,
    refused: Vec<IntCounter>,
    failed: Vec<IntCounter>,
}

impl RouteCounters {
    pub(super) fn new(requests: &IntCounterVec, path: &str) -> Self {
        let counter = |verdict, reason| requests.with_label_values(&[path, verdict, reason]);
        Self {
            path: path.into(),
            admitted: counter("admitted", ""),
            abandoned: counter("abandoned", ""),
            refused: Refusal::ALL.iter().map(|reason| counter("refused", reason.label())).collect(),
            failed: Failure::ALL.iter().map(|cause| counter("failed", cause.label())).collect(),
        }
    }

    /// Returns the route's path as configured; empty for requests without a route.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the counter for this verdict; `None` for a malformed request, whose labels vary, for an
    /// observed one, of which few routes have any, and for a nonce of `gatekeeper doctor`.
    pub(super) fn get(&self, verdict: &Verdict) -> Option<&IntCounter> {
        match verdict {
            Verdict::Admitted(Proven::Signed(_) | Proven::DeclaredPublic) => Some(&self.admitted),
            Verdict::Refused(reason) => self.refused.get(*reason as usize),
            Verdict::Failed(_, failure) => self.failed.get(*failure as usize),
            Verdict::Abandoned => Some(&self.abandoned),
            Verdict::Admitted(Proven::Unenforced(_)) | Verdict::Malformed(_) | Verdict::Doctor => {
                None
            }
        }
    }
}
