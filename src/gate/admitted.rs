//! The only thing that the forwarder takes.

use std::sync::Arc;

use bytes::Bytes;

use super::ReplayReservation;
use crate::http1::RequestHead;
use crate::limits::Reservation;
use crate::routes::Route;
use crate::signature::{Origin, Proof};

/// A request that may pass, with the body that was judged. Only [`super::Claim::judge`] makes one.
#[derive(Debug)]
#[must_use]
pub struct Admitted {
    pub(super) head: Arc<RequestHead>,
    pub(super) body: Bytes,
    pub(super) held: Reservation,
    pub(super) replay: Option<ReplayReservation>,
    pub(super) route: Arc<Route>,
    pub(super) proven: Proven,
    pub(super) handshake: bool,
    pub(super) forwarded: Option<Box<Origin>>,
}

/// How the sender called the app, as far as it was judged.
#[derive(Clone, Debug)]
pub struct EffectiveOrigin {
    /// `http` or `https`.
    pub scheme: Option<&'static str>,
    /// Host and port, where a proxy told them that is believed; else `Host` has them.
    pub host: Option<String>,
}

/// Why it may pass.
#[derive(Clone, Debug)]
pub enum Proven {
    /// A configured key signed exactly this URL and exactly this body.
    Signed(Proof),
    /// The route's owner asks for no proof.
    DeclaredPublic,
}

impl Proven {
    /// Which key signed which string, where one was asked for.
    #[must_use]
    pub const fn proof(&self) -> Option<&Proof> {
        match self {
            Self::Signed(proof) => Some(proof),
            Self::DeclaredPublic => None,
        }
    }
}

impl Admitted {
    /// Why it may pass.
    #[must_use]
    pub const fn proven(&self) -> &Proven {
        &self.proven
    }

    /// The route it passes by.
    #[must_use]
    pub const fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// Whether it is a WebSocket handshake, judged as one.
    #[must_use]
    pub const fn is_handshake(&self) -> bool {
        self.handshake
    }

    /// How the sender called the app.
    #[must_use]
    pub fn effective_origin(&self) -> EffectiveOrigin {
        let told = self.forwarded.as_deref();
        let scheme = told.or(self.route.origin.as_ref()).map(|origin| origin.scheme().name());
        EffectiveOrigin { scheme, host: told.map(Origin::authority) }
    }

    /// Returns head and body, once, with the memory that the body occupies and the signature's pass
    /// through the replay cache.
    pub fn into_parts(self) -> (Arc<RequestHead>, Bytes, Reservation, Option<ReplayReservation>) {
        (self.head, self.body, self.held, self.replay)
    }
}
