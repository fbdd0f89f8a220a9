//! Why a request is turned away.

use std::sync::Arc;

use crate::routes::Route;
use crate::signature::{NotCovered, Unproven};

/// Every reason there is. The sender learns a status and one constant line; this goes to the log
/// and the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// No `X-Twilio-Signature`.
    MissingSignature,
    /// No route has this path.
    UnknownRoute,
    /// `Host` names another host.
    UnknownHost,
    /// The route does not take this method.
    MethodNotAllowed,
    /// An app might take the path for another route's.
    UnsafePath,
    /// The signature header is repeated, or no canonical base64 of a MAC.
    MalformedSignature,
    /// More body than the route takes.
    BodyTooLarge,
    /// The body did not arrive in time.
    BodyTimeout,
    /// The body broke off or was no valid chunked coding.
    BodyIncomplete,
    /// A form without a parameter.
    NoFormParams,
    /// A body that the signature does not bind.
    BodyNotCovered,
    /// No key signed this.
    SignatureMismatch,
    /// A key signed it that may not speak for this account.
    AccountMismatch,
    /// The key that the request names, or the account it speaks for, has no key here.
    UnknownKey,
    /// It was let through before, on a route that wants nothing twice.
    Replayed,
    /// No room for its body at this moment.
    Overloaded,
}

impl Refusal {
    /// Every reason, in the order of the documentation.
    pub const ALL: [Self; 16] = [
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
        Self::Overloaded,
    ];

    /// Its name in logs and counters.
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
        }
    }
}

/// A refusal and where it happened.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Why.
    pub reason: Refusal,
    /// The route, where one was found.
    pub route: Option<Arc<Route>>,
}
