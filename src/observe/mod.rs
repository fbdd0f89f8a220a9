//! What happened, said once.

use std::{net::IpAddr, time::Duration};

use hyper::{Method, Uri};

use crate::forward::Failure;
use crate::gate::{Proven, Refusal};

/// One exchange, at its end.
#[derive(Debug)]
pub struct Outcome<'a> {
    /// Who connected.
    pub peer: IpAddr,
    /// The request's method.
    pub method: &'a Method,
    /// The request's target; only its path is told, never the query.
    pub target: &'a Uri,
    /// The route's path, where one was found.
    pub route: Option<String>,
    /// What became of it.
    pub verdict: Verdict,
    /// What the sender was told.
    pub status: u16,
    /// From the end of the head to the answer's beginning.
    pub duration: Duration,
}

/// What became of a request.
#[derive(Debug)]
pub enum Verdict {
    /// The app answered.
    Admitted(Proven),
    /// It was turned away.
    Refused(Refusal),
    /// It was proven, but there is no answer.
    Failed(Proven, Failure),
    /// It was no proper HTTP.
    Malformed(&'static str),
}

impl Verdict {
    /// Its name in logs.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Admitted(_) => "admitted",
            Self::Refused(_) => "refused",
            Self::Failed(..) => "failed",
            Self::Malformed(_) => "malformed",
        }
    }

    /// Why, where it was not admitted.
    #[must_use]
    pub const fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Admitted(_) => None,
            Self::Refused(reason) => Some(reason.label()),
            Self::Failed(_, failure) => Some(failure.label()),
            Self::Malformed(what) => Some(what),
        }
    }

    const fn proven(&self) -> Option<&Proven> {
        match self {
            Self::Admitted(proven) | Self::Failed(proven, _) => Some(proven),
            Self::Refused(_) | Self::Malformed(_) => None,
        }
    }
}

/// Whether anybody reads the lines; if not, none is made.
#[must_use]
pub fn is_heard() -> bool {
    tracing::enabled!(tracing::Level::INFO)
}

/// One line. Never a token, a signature, a query value or a body.
pub fn record(outcome: &Outcome<'_>) {
    let proof = outcome.verdict.proven().and_then(|proven| match proven {
        Proven::Signed(proof) => Some(proof),
        Proven::DeclaredPublic => None,
    });
    tracing::info!(
        peer = %outcome.peer,
        method = %outcome.method,
        path = outcome.target.path(),
        route = outcome.route,
        verdict = outcome.verdict.label(),
        reason = outcome.verdict.reason(),
        key = proof.map(|proof| &*proof.key),
        candidate = proof.map(|proof| tracing::field::display(proof.candidate)),
        status = outcome.status,
        micros = u64::try_from(outcome.duration.as_micros()).unwrap_or(u64::MAX),
        "request"
    );
}
