//! Reasons for refusing a request.

use std::sync::Arc;

use bytes::Bytes;

use crate::limits::Reservation;
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
    /// No key is configured for the key SID in the request, or it names no account.
    UnknownKey,
    /// `accounts_file` does not have the account that the request names.
    UnknownAccount,
    /// The signature was admitted before, within the route's `replay_window`.
    Replayed,
    /// The signed timestamp is further from now than the route's `max_age`.
    Stale,
    /// The memory budget for bodies is exhausted.
    Overloaded,
}

impl Refusal {
    /// All reasons, in the order of the variants: counters are indexed by `self as usize`.
    pub const ALL: [Self; 18] = [
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
        Self::UnknownAccount,
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
            Self::UnknownAccount => "unknown_account",
            Self::Replayed => "replayed",
            Self::Stale => "stale",
            Self::Overloaded => "overloaded",
        }
    }
}

impl Refusal {
    /// Returns whether a mistake of the sender, a proxy or the configuration may have caused it, which
    /// can be looked for. Not so for limits; and a request without a signature can come from anybody.
    #[must_use]
    pub const fn is_explainable(self) -> bool {
        match self {
            Self::UnknownRoute
            | Self::UnknownHost
            | Self::MethodNotAllowed
            | Self::MalformedSignature
            | Self::NoFormParams
            | Self::BodyNotCovered
            | Self::SignatureMismatch
            | Self::AccountMismatch
            | Self::UnknownKey
            | Self::UnknownAccount => true,
            Self::MissingSignature
            | Self::UnsafePath
            | Self::BodyTooLarge
            | Self::BodyTimeout
            | Self::BodyIncomplete
            | Self::Replayed
            | Self::Stale
            | Self::Overloaded => false,
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
            Unproven::UnknownAccount => Self::UnknownAccount,
            Unproven::Mismatch => Self::SignatureMismatch,
            Unproven::OtherAccount => Self::AccountMismatch,
            Unproven::Stale => Self::Stale,
        }
    }
}

/// A refusal, and what may explain it.
#[derive(Debug)]
pub struct Refused {
    /// The reason.
    pub reason: Refusal,
    /// The route, if one was found.
    pub route: Option<Arc<Route>>,
    /// The account that the request names, where no token is configured for it.
    pub account: Option<Box<str>>,
    /// The body, if it was read.
    pub body: Option<RefusedBody>,
}

/// The body of a request that is not proven, and the memory that it occupies.
#[derive(Debug)]
pub struct RefusedBody {
    /// The body.
    pub bytes: Bytes,
    _reservation: Option<Reservation>,
}

impl RefusedBody {
    /// The body of a request that has none.
    #[must_use]
    pub const fn empty() -> Self {
        Self { bytes: Bytes::new(), _reservation: None }
    }

    pub(super) const fn new(bytes: Bytes, reservation: Option<Reservation>) -> Self {
        Self { bytes, _reservation: reservation }
    }
}

impl Refused {
    /// A refusal before the body was read.
    #[must_use]
    pub const fn unread(reason: Refusal, route: Option<Arc<Route>>) -> Self {
        Self { reason, route, account: None, body: None }
    }
}
