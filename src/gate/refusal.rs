//! Reasons for refusing a request.

use std::sync::Arc;

use crate::routes::Route;
use crate::signature::{NotCovered, Unproven};

/// Reason for refusing a request. Logs and counters show it; the client gets only a status and one
/// constant line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// No signature field of the route's scheme, such as `X-Twilio-Signature`.
    MissingSignature,
    /// No route has this path.
    UnknownRoute,
    /// `Host` names another host.
    UnknownHost,
    /// The route does not allow this method.
    MethodNotAllowed,
    /// An app could resolve the path to another route.
    UnsafePath,
    /// The signature header is repeated or is not the canonical base64 of a MAC.
    MalformedSignature,
    /// The body exceeds the route's `max_body_bytes`.
    BodyTooLarge,
    /// The body arrived too slowly.
    BodyTimeout,
    /// The body was truncated or its chunked coding is invalid.
    BodyIncomplete,
    /// The form has no parameters.
    NoFormParams,
    /// The signature does not cover the body.
    BodyNotCovered,
    /// No configured key made the signature.
    SignatureMismatch,
    /// The signing key belongs to another account.
    AccountMismatch,
    /// No key is configured for the key SID or account in the request.
    UnknownKey,
    /// The signature was admitted before, within the route's `replay_window`.
    Replayed,
    /// The signed timestamp is further from now than the route's `max_age`.
    Stale,
    /// The memory budget for bodies is exhausted.
    Overloaded,
}

impl Refusal {
    /// All reasons, in the order of the variants: counters are indexed by `self as usize`.
    pub const ALL: [Self; 17] = [
        Self::MissingSignature,
        Self::UnknownRoute,
        Self::UnknownHost,
        Self::MethodNotAllowed,
        Self::UnsafePath,
        Self::MalformedSignature,
        Self::BodyTooLarge,
        Self::BodyTimeout,
        Self::BodyIncomplete,
        Self::NoFormParams,
        Self::BodyNotCovered,
        Self::SignatureMismatch,
        Self::AccountMismatch,
        Self::UnknownKey,
        Self::Replayed,
        Self::Stale,
        Self::Overloaded,
    ];

    /// Returns the label used in logs and counters.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::MissingSignature => "missing_signature",
            Self::UnknownRoute => "unknown_route",
            Self::UnknownHost => "unknown_host",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::UnsafePath => "unsafe_path",
            Self::MalformedSignature => "malformed_signature",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyTimeout => "body_timeout",
            Self::BodyIncomplete => "body_incomplete",
            Self::NoFormParams => "no_form_params",
            Self::BodyNotCovered => "body_not_covered",
            Self::SignatureMismatch => "signature_mismatch",
            Self::AccountMismatch => "account_mismatch",
            Self::UnknownKey => "unknown_key",
            Self::Replayed => "replayed",
            Self::Stale => "stale",
            Self::Overloaded => "overloaded",
        }
    }
}

impl From<NotCovered> for Refusal {
    fn from(_: NotCovered) -> Self {
        Self::BodyNotCovered
    }
}

impl From<Unproven> for Refusal {
    fn from(unproven: Unproven) -> Self {
        match unproven {
            Unproven::UnknownKey => Self::UnknownKey,
            Unproven::Mismatch => Self::SignatureMismatch,
            Unproven::OtherAccount => Self::AccountMismatch,
            Unproven::Stale => Self::Stale,
        }
    }
}

/// A refusal and its route.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The reason.
    pub reason: Refusal,
    /// The route, if one was found.
    pub route: Option<Arc<Route>>,
}
