//! An admitted request: the only type that the forwarder accepts.

use std::sync::Arc;

use bytes::Bytes;

use super::{Refusal, RefusedBody, ReplayReservation, Unenforced};
use crate::http1::RequestHead;
use crate::limits::Reservation;
use crate::routes::Route;
use crate::signature::{Origin, Proof, Scheme};

/// A request that may be forwarded, with the body that was judged. Only [`super::Claim::judge`]
/// creates one.
#[derive(Debug)]
#[must_use]
pub struct Admitted {
    pub(super) head: Arc<RequestHead>,
    pub(super) body: Bytes,
    pub(super) reservation: Reservation,
    pub(super) replay: Option<ReplayReservation>,
    pub(super) route: Arc<Route>,
    pub(super) proven: Proven,
    pub(super) handshake: bool,
    /// The scheme of the first public URL that `Host` belongs to.
    pub(super) scheme: Option<Scheme>,
    pub(super) forwarded: Option<Box<Origin>>,
}

/// Scheme and host of the URL that the client called (RFC 9110 §7.1), as far as they were judged.
#[derive(Clone, Debug)]
pub struct EffectiveOrigin {
    /// `http` or `https`.
    pub scheme: Option<&'static str>,
    /// Host and port from a trusted proxy; `None` when `Host` applies.
    pub host: Option<String>,
}

/// Reason for admission.
#[derive(Clone, Debug)]
pub enum Proven {
    /// A configured key signed exactly this URL and exactly this body; where the route's scheme signs
    /// no URL, exactly this body.
    Signed(Proof),
    /// The configuration declares the route public.
    DeclaredPublic,
    /// Not proven: the configuration says that the route does not enforce its proofs yet.
    Unenforced(Unenforced),
}

impl Proven {
    /// Returns the key and the string that it signed; `None` for an unproven request.
    #[must_use]
    pub const fn proof(&self) -> Option<&Proof> {
        match self {
            Self::Signed(proof) => Some(proof),
            Self::DeclaredPublic | Self::Unenforced(_) => None,
        }
    }

    /// Returns the reason that would have refused the request, on a route with `enforce = false`.
    #[must_use]
    pub const fn unenforced(&self) -> Option<Refusal> {
        match self {
            Self::Unenforced(unenforced) => Some(unenforced.reason()),
            Self::Signed(_) | Self::DeclaredPublic => None,
        }
    }
}

impl Admitted {
    /// Returns the reason for admission.
    #[must_use]
    pub const fn proven(&self) -> &Proven {
        &self.proven
    }

    /// Returns the body, to explain why the request is not proven.
    #[must_use]
    pub fn body_to_explain(&self) -> RefusedBody {
        RefusedBody::new(self.body.clone(), None)
    }

    /// Returns the matched route.
    #[must_use]
    pub const fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// Returns whether this is a WebSocket handshake, judged as one.
    #[must_use]
    pub const fn is_handshake(&self) -> bool {
        self.handshake
    }

    /// Returns the scheme and host that the client called.
    #[must_use]
    pub fn effective_origin(&self) -> EffectiveOrigin {
        let forwarded = self.forwarded.as_deref();
        let signed = self.proven.proof().and_then(|proof| proof.scheme);
        let scheme = signed.or(self.scheme).map(Scheme::name);
        EffectiveOrigin { scheme, host: forwarded.map(Origin::authority) }
    }

    /// Splits into head, body, the memory reserved for the body, and the signature's pass through the
    /// replay cache.
    pub fn into_parts(self) -> (Arc<RequestHead>, Bytes, Reservation, Option<ReplayReservation>) {
        (self.head, self.body, self.reservation, self.replay)
    }
}
