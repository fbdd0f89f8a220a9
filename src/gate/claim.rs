//! A request on its way to a judgement.

use std::{net::IpAddr, sync::Arc, time::Instant};

use bytes::Bytes;

use super::{
    Admitted, Proven, Refusal, Refused, ReplayCache, ReplayReservation, RequestBody, body,
    forwarded, forwarded::ForwardedOrigin,
};
use crate::http1::{FieldName, Fields, FramedHead, RequestHead, Version};
use crate::limits::{Limits, MemoryBudget, Reservation};
use crate::routes::{Access, Route, Table};
use crate::signature::{BodyKind, Keyring, Message, Origin, Selector, Signature, verify};

/// A request that claims to come from Twilio, for a known route. `S` says whether its body has
/// been read; only then can it be judged.
#[derive(Debug)]
pub struct Claim<S> {
    head: Arc<RequestHead>,
    route: Arc<Route>,
    stage: S,
}

/// The body is still on the wire.
#[derive(Debug)]
pub struct Unread<B> {
    body: B,
    credentials: Credentials,
}

/// The body is here, whole.
#[derive(Debug)]
pub struct Complete {
    body: Bytes,
    held: Reservation,
    credentials: Credentials,
}

/// What the head presents.
struct Credentials {
    /// As proof; nothing, where the route asks for none.
    signature: Option<Signature>,
    /// The public origin, where a proxy told it that is believed.
    forwarded: Option<Box<Origin>>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let signature = self.signature.as_ref().map(|_| "…");
        f.debug_struct("Credentials")
            .field("signature", &signature)
            .field("forwarded", &self.forwarded)
            .finish()
    }
}

impl<B: RequestBody> Claim<Unread<B>> {
    /// Judges the head alone; the body stays unread.
    ///
    /// `peer` is who sent it; who calls over a Unix socket has no address. A request without a
    /// signature learns nothing else: not even whether its route exists.
    ///
    /// # Errors
    /// [`Refused`], with every reason that needs no body.
    pub fn new(
        head: &FramedHead,
        body: B,
        peer: Option<IpAddr>,
        table: &Table,
    ) -> Result<Self, Refused> {
        let head = Arc::clone(head.head());
        let route = table.find(head.path()).cloned();
        let signed = head.fields.contains(FieldName::TwilioSignature);
        let refuse = |reason, route| Err(Refused { reason, route });
        match route {
            Some(route) if signed || route.is_public() => {
                match examine(&head, &body, peer, &route, table) {
                    Ok(credentials) => {
                        Ok(Self { head, route, stage: Unread { body, credentials } })
                    }
                    Err(reason) => refuse(reason, Some(route)),
                }
            }
            route if !signed => refuse(Refusal::MissingSignature, route),
            _ => refuse(Refusal::UnknownRoute, None),
        }
    }

    /// Reads the body, within the route's bytes, the body deadline and the room that is left.
    ///
    /// # Errors
    /// [`Refused`]: too large, too late, broken off, or no room.
    pub async fn read(
        self,
        limits: &Limits,
        buffers: &Arc<MemoryBudget>,
    ) -> Result<Claim<Complete>, Refused> {
        let Self { head, route, stage: Unread { body, credentials } } = self;
        let signed = credentials.signature.is_some();
        let exact_len = body.exact_len().unwrap_or(u64::MAX);
        let mut held = buffers.open(limits.max_buffered_bytes, exact_len, signed);
        let bounds = body::Bounds {
            bytes: route.max_body_bytes,
            deadline: limits.body_timeout,
            rate: limits.min_body_rate,
        };
        match body::read(body, &bounds, &mut held).await {
            Ok(body) => Ok(Claim { head, route, stage: Complete { body, held, credentials } }),
            Err(reason) => Err(Refused { reason, route: Some(route) }),
        }
    }
}

impl Claim<Complete> {
    /// How many bytes its body has.
    #[must_use]
    pub fn body_length(&self) -> u64 {
        u64::try_from(self.stage.body.len()).unwrap_or(u64::MAX)
    }

    /// Decides, in constant time where it compares. Pure but for `seen`, which is asked only where
    /// the route wants nothing twice.
    ///
    /// # Errors
    /// [`Refused`]: not covered, not signed, not for this account, or passed already.
    pub fn judge(self, replay_cache: &ReplayCache) -> Result<Admitted, Refused> {
        let Self { head, route, stage: Complete { body, held, credentials } } = self;
        let Credentials { signature, forwarded } = credentials;
        let origin = forwarded.as_deref().or(route.origin.as_ref());
        let proven = match (&route.access, &signature, origin) {
            (Access::Public, _, _) => Ok((Proven::DeclaredPublic, None)),
            (Access::Twilio(keyring), Some(signature), Some(origin)) => {
                prove(&head, &body, &route, origin, keyring, signature)
                    .and_then(|proven| Ok((proven, reserve_pass(&route, signature, replay_cache)?)))
            }
            (Access::Twilio(_), None, _) => Err(Refusal::MissingSignature),
            (Access::Twilio(_), _, None) => Err(Refusal::UnknownHost),
        };
        match proven {
            Ok((proven, replay)) => {
                let handshake = is_handshake(&head);
                Ok(Admitted { head, body, held, replay, route, proven, handshake, forwarded })
            }
            Err(reason) => Err(Refused { reason, route: Some(route) }),
        }
    }
}

/// Everything that the head alone decides, for a request that presents a signature or needs none.
fn examine(
    head: &RequestHead,
    body: &impl RequestBody,
    peer: Option<IpAddr>,
    route: &Route,
    table: &Table,
) -> Result<Credentials, Refusal> {
    let forwarded = public_origin(head, peer, route, table)?;
    if table.is_ambiguous(head.path(), route) {
        return Err(Refusal::UnsafePath);
    }
    if !route.takes(head.method()) {
        return Err(Refusal::MethodNotAllowed);
    }
    let signature = match &route.access {
        Access::Public => None,
        Access::Twilio(keyring) => {
            let signature = signature(&head.fields).ok_or(Refusal::MalformedSignature)?;
            if !keyring.knows(selector(&head.fields)) {
                return Err(Refusal::UnknownKey);
            }
            Some(signature)
        }
    };
    if body::announces_more_than(route.max_body_bytes, body) {
        return Err(Refusal::BodyTooLarge);
    }
    Ok(Credentials { signature, forwarded })
}

/// The origin that a believed proxy tells, else none: then `Host` must be the route's own.
fn public_origin(
    head: &RequestHead,
    peer: Option<IpAddr>,
    route: &Route,
    table: &Table,
) -> Result<Option<Box<Origin>>, Refusal> {
    let host = host(head);
    if let Some(trust) = table.trust().filter(|trust| trust.believes(peer)) {
        match forwarded::origin(&head.fields, host, route.origin.as_ref(), trust)? {
            ForwardedOrigin::Other(origin) => return Ok(Some(origin)),
            ForwardedOrigin::Configured => return Ok(None),
            ForwardedOrigin::Absent => {}
        }
    }
    let known = route.origin.is_some() || route.is_public();
    if known && route.hosts.allows(host) { Ok(None) } else { Err(Refusal::UnknownHost) }
}

/// Whether a key signed exactly this URL and exactly this body.
fn prove(
    head: &RequestHead,
    body: &[u8],
    route: &Route,
    origin: &Origin,
    keyring: &Keyring,
    signature: &Signature,
) -> Result<Proven, Refusal> {
    let message = Message::bind(shape(head), head.target(), body)?;
    if message.is_empty_form() && !route.allow_empty_form {
        return Err(Refusal::NoFormParams);
    }
    let selector = selector(&head.fields);
    let proof = verify(&message, origin, keyring, selector, signature)?;
    Ok(Proven::Signed(proof))
}

/// Reserves a pass for this signature on a route with a `replay_window`.
fn reserve_pass(
    route: &Route,
    signature: &Signature,
    replay_cache: &ReplayCache,
) -> Result<Option<ReplayReservation>, Refusal> {
    let reserve = |rule| replay_cache.reserve(signature, rule, Instant::now());
    route.replay.map(|rule| reserve(rule).ok_or(Refusal::Replayed)).transpose()
}

/// The `Host` field.
fn host(head: &RequestHead) -> &str {
    let field = head.fields.get(FieldName::Host).and_then(|value| std::str::from_utf8(value).ok());
    field.unwrap_or_default()
}

/// The one signature, if it is one.
fn signature(fields: &Fields) -> Option<Signature> {
    let mut values = fields.all(FieldName::TwilioSignature);
    let only = values.next().filter(|_| values.next().is_none())?;
    Signature::parse(only).ok()
}

fn selector(fields: &Fields) -> Selector<'_> {
    if !fields.contains(FieldName::SignatureSettings) && !fields.contains(FieldName::KeySid) {
        return Selector::AuthToken;
    }
    Selector::parse(fields.all(FieldName::SignatureSettings), fields.all(FieldName::KeySid))
}

fn shape(head: &RequestHead) -> BodyKind {
    if is_handshake(head) {
        return BodyKind::Handshake;
    }
    let types = head.fields.all(FieldName::ContentType);
    BodyKind::of(head.method(), types, head.fields.contains(FieldName::ContentEncoding))
}

/// RFC 6455 §4.1: a GET over HTTP/1.1 that asks to upgrade the connection to `websocket`, and to
/// nothing else. Any other `Upgrade` is judged as the plain request it is, and dropped.
fn is_handshake(head: &RequestHead) -> bool {
    if head.method() != "GET" || head.version() != Version::Http11 {
        return false;
    }
    let mut upgrades = head.fields.all(FieldName::Upgrade);
    let websocket = upgrades.next().is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"));
    websocket && upgrades.next().is_none() && head.fields.lists(FieldName::Connection, "upgrade")
}
