//! A request before its judgement.

use std::{net::IpAddr, sync::Arc, time::Instant};

use bytes::Bytes;
use smallvec::{SmallVec, smallvec};

use super::{
    Admitted, Proven, Refusal, Refused, RefusedBody, ReplayCache, ReplayReservation, RequestBody,
    Unenforced, body, forwarded, forwarded::ForwardedOrigin,
};
use crate::http1::{FieldName, Fields, FramedHead, RequestHead, Version};
use crate::limits::{Limits, MemoryBudget, Reservation};
use crate::routes::{Access, Route, Table};
use crate::signature::{BodyKind, Keyring, Message, Origin, Selector, Signature, verify};

/// A request for a known route that claims to come from Twilio. `S` is the stage: only a
/// [`Complete`] claim can be judged.
#[derive(Debug)]
pub struct Claim<S> {
    head: Arc<RequestHead>,
    route: Arc<Route>,
    stage: S,
}

/// Stage: the body has not been read.
#[derive(Debug)]
pub struct Unread<B> {
    body: B,
    peer: Option<IpAddr>,
    credentials: Credentials,
}

/// Stage: the whole body has been read.
#[derive(Debug)]
pub struct Complete {
    body: Bytes,
    reservation: Reservation,
    credentials: Credentials,
}

/// Credentials in the head.
struct Credentials {
    /// `X-Twilio-Signature`; `None` on a public route, and where it is `observed` to be unusable.
    signature: Option<Signature>,
    /// The public origin that the request claims.
    origin: ClaimedOrigin,
    /// The first reason that the head would be refused for, on a route with `enforce = false`.
    observed: Option<Unenforced>,
}

/// The public origin that a request claims to be signed for.
#[derive(Debug)]
enum ClaimedOrigin {
    /// One that a trusted proxy states.
    Stated(Box<Origin>),
    /// One of the route's, by its number, that a trusted proxy states.
    Configured(usize),
    /// Those of the route that belong to `Host`.
    ByHost,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let signature = self.signature.as_ref().map(|_| "…");
        f.debug_struct("Credentials")
            .field("signature", &signature)
            .field("origin", &self.origin)
            .finish()
    }
}

impl<B: RequestBody> Claim<Unread<B>> {
    /// Judges the head alone; the body stays unread.
    ///
    /// On a route with `enforce = false` a lack of proof is remembered instead of refused.
    ///
    /// `peer` is the client's address; `None` over a Unix socket. A request without a signature gets
    /// the same response whether or not its route exists, so that a scanner cannot map the routes.
    ///
    /// # Errors
    /// [`Refused`], for every reason that needs no body.
    pub fn new(
        head: &FramedHead,
        body: B,
        peer: Option<IpAddr>,
        table: &Table,
    ) -> Result<Self, Refused> {
        let head = Arc::clone(head.head());
        let route = table.find(head.path()).cloned();
        let signed = head.fields.contains(FieldName::TwilioSignature);
        let refuse = |reason, route| Err(Refused::unread(reason, route));
        match route {
            Some(route) if signed || route.is_public() || route.is_unenforced() => {
                match examine(&head, &body, peer, &route, table) {
                    Ok(credentials) => {
                        Ok(Self { head, route, stage: Unread { body, peer, credentials } })
                    }
                    Err(reason) => refuse(reason, Some(route)),
                }
            }
            route if !signed => refuse(Refusal::MissingSignature, route),
            _ => refuse(Refusal::UnknownRoute, None),
        }
    }

    /// Reads the body, within `max_body_bytes`, `body_timeout` and the memory budget.
    ///
    /// # Errors
    /// [`Refused`]: too large, too slow, truncated, or out of memory budget.
    pub async fn read(
        self,
        limits: &Limits,
        budget: &Arc<MemoryBudget>,
    ) -> Result<Claim<Complete>, Refused> {
        let Self { head, route, stage: Unread { body, peer, credentials } } = self;
        let signed = credentials.signature.is_some();
        let exact_len = body.exact_len().unwrap_or(u64::MAX);
        let mut reservation = budget.reserve(limits.max_buffered_bytes, exact_len, signed, peer);
        let bounds = body::Bounds {
            max_bytes: route.max_body_bytes,
            timeout: limits.body_timeout,
            min_rate: limits.min_body_rate,
        };
        match body::read(body, &bounds, &mut reservation).await {
            Ok(body) => {
                Ok(Claim { head, route, stage: Complete { body, reservation, credentials } })
            }
            Err(reason) => Err(Refused::unread(reason, Some(route))),
        }
    }
}

impl Claim<Complete> {
    /// Returns the length of the body in bytes.
    #[must_use]
    pub fn body_length(&self) -> u64 {
        u64::try_from(self.stage.body.len()).unwrap_or(u64::MAX)
    }

    /// Judges the request. MACs are compared in constant time. `replays` is used only on a route with a
    /// `replay_window`.
    ///
    /// # Errors
    /// [`Refused`]: not covered, not signed, not for this account, or replayed.
    pub fn judge(self, replays: &ReplayCache) -> Result<Admitted, Refused> {
        let Self { head, route, stage: Complete { body, reservation, credentials } } = self;
        let origins = credentials.origin.of(&route, host(&head));
        let scheme = origins.first().map(|origin| origin.scheme());
        let proven = decide(&head, &body, &route, &origins, &credentials, replays);
        drop(origins);
        let proven = proven
            .or_else(|reason| Ok((Proven::Unenforced(Unenforced::observe(&route, reason)?), None)));
        let forwarded = credentials.origin.into_stated();
        match proven {
            Ok((proven, replay)) => {
                let handshake = is_handshake(&head);
                Ok(Admitted {
                    head,
                    body,
                    reservation,
                    replay,
                    route,
                    proven,
                    handshake,
                    scheme,
                    forwarded,
                })
            }
            Err(reason) => {
                let account = unknown_account(reason, &head, &body);
                let body = Some(RefusedBody::new(body, Some(reservation)));
                Err(Refused { reason, route: Some(route), account, body })
            }
        }
    }
}

/// Checks everything that depends on the head alone. The route is public or the request has a signature.
fn examine(
    head: &RequestHead,
    body: &impl RequestBody,
    peer: Option<IpAddr>,
    route: &Route,
    table: &Table,
) -> Result<Credentials, Refusal> {
    let mut observed = None;
    let mut observe = |reason| -> Result<(), Refusal> {
        observed.get_or_insert(Unenforced::observe(route, reason)?);
        Ok(())
    };
    // A request without a signature is refused for that, whatever else is wrong.
    if !route.is_public() && !head.fields.contains(FieldName::TwilioSignature) {
        observe(Refusal::MissingSignature)?;
    }
    let origin = match public_origin(head, peer, route, table) {
        Ok(origin) => origin,
        Err(reason) => {
            observe(reason)?;
            ClaimedOrigin::ByHost
        }
    };
    if table.is_ambiguous(head.path(), route) {
        return Err(Refusal::UnsafePath);
    }
    if !route.accepts(head.method()) {
        return Err(Refusal::MethodNotAllowed);
    }
    let signature = match &route.access {
        Access::Public => None,
        Access::Twilio(keyring) => match usable_signature(head, keyring) {
            Ok(signature) => Some(signature),
            Err(reason) => {
                observe(reason)?;
                None
            }
        },
    };
    if body::announces_more_than(route.max_body_bytes, body) {
        return Err(Refusal::BodyTooLarge);
    }
    Ok(Credentials { signature, origin, observed })
}

/// Returns the signature, if a key of the route could have made it.
fn usable_signature(head: &RequestHead, keyring: &Keyring) -> Result<Signature, Refusal> {
    let signature = signature(&head.fields).ok_or(Refusal::MalformedSignature)?;
    if keyring.knows(selector(&head.fields)) { Ok(signature) } else { Err(Refusal::UnknownKey) }
}

impl ClaimedOrigin {
    /// The origins that the signature is compared with.
    fn of<'o>(&'o self, route: &'o Route, host: &str) -> SmallVec<[&'o Origin; 1]> {
        match self {
            Self::Stated(origin) => smallvec![&**origin],
            Self::Configured(number) => route.origins.get(*number).into_iter().collect(),
            Self::ByHost => route.origins_for(host),
        }
    }

    fn into_stated(self) -> Option<Box<Origin>> {
        match self {
            Self::Stated(origin) => Some(origin),
            Self::Configured(_) | Self::ByHost => None,
        }
    }
}

/// Returns the origin that the request claims. Without one from a trusted proxy, `Host` must be one of the route's hosts.
fn public_origin(
    head: &RequestHead,
    peer: Option<IpAddr>,
    route: &Route,
    table: &Table,
) -> Result<ClaimedOrigin, Refusal> {
    let host = host(head);
    if let Some(trust) = table.trust().filter(|trust| trust.trusts(peer)) {
        match forwarded::origin(&head.fields, host, &route.origins, trust)? {
            ForwardedOrigin::Other(origin) => return Ok(ClaimedOrigin::Stated(origin)),
            ForwardedOrigin::Configured(number) => return Ok(ClaimedOrigin::Configured(number)),
            ForwardedOrigin::Absent => {}
        }
    }
    let known = !route.origins.is_empty() || route.is_public();
    if known && route.hosts.allows(host) {
        Ok(ClaimedOrigin::ByHost)
    } else {
        Err(Refusal::UnknownHost)
    }
}

/// Decides with the whole request at hand.
fn decide(
    head: &RequestHead,
    body: &[u8],
    route: &Route,
    origins: &[&Origin],
    credentials: &Credentials,
    replays: &ReplayCache,
) -> Result<(Proven, Option<ReplayReservation>), Refusal> {
    if let Some(observed) = credentials.observed {
        return Ok((Proven::Unenforced(observed), None));
    }
    let keyring = match &route.access {
        Access::Public => return Ok((Proven::DeclaredPublic, None)),
        Access::Twilio(keyring) => keyring,
    };
    let Some(signature) = &credentials.signature else { return Err(Refusal::MissingSignature) };
    if origins.is_empty() {
        return Err(Refusal::UnknownHost);
    }
    let proven = prove(head, body, route, origins, keyring, signature)?;
    Ok((proven, reserve_pass(route, signature, replays)?))
}

/// Proves that a configured key signed exactly this URL and exactly this body.
fn prove(
    head: &RequestHead,
    body: &[u8],
    route: &Route,
    origins: &[&Origin],
    keyring: &Keyring,
    signature: &Signature,
) -> Result<Proven, Refusal> {
    let message = Message::bind(body_kind(head), head.target(), body)?;
    let message = message.with_query_order(route.query_order);
    if message.is_empty_form() && !route.allow_empty_form {
        return Err(Refusal::NoFormParams);
    }
    let selector = selector(&head.fields);
    let proof = verify(&message, origins, keyring, selector, signature)?;
    Ok(Proven::Signed(proof))
}

/// Returns the account that no token is configured for, to be logged.
fn unknown_account(reason: Refusal, head: &RequestHead, body: &[u8]) -> Option<Box<str>> {
    if reason != Refusal::UnknownAccount {
        return None;
    }
    let message = Message::bind(body_kind(head), head.target(), body).ok()?;
    message.named_account().map(Into::into)
}

/// Reserves a pass for this signature on a route with a `replay_window`.
fn reserve_pass(
    route: &Route,
    signature: &Signature,
    replays: &ReplayCache,
) -> Result<Option<ReplayReservation>, Refusal> {
    let reserve = |rule| replays.reserve(signature, rule, Instant::now());
    route.replay.map(|rule| reserve(rule).ok_or(Refusal::Replayed)).transpose()
}

/// Returns `Host`, or an empty string when it is absent or not UTF-8.
fn host(head: &RequestHead) -> &str {
    let field = head.fields.get(FieldName::Host).and_then(|value| std::str::from_utf8(value).ok());
    field.unwrap_or_default()
}

/// Returns the signature; `None` when the field is repeated or malformed.
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

fn body_kind(head: &RequestHead) -> BodyKind {
    if is_handshake(head) {
        return BodyKind::Handshake;
    }
    let types = head.fields.all(FieldName::ContentType);
    BodyKind::from_head(head.method(), types, head.fields.contains(FieldName::ContentEncoding))
}

/// Returns whether this is a WebSocket handshake (RFC 6455 §4.1): a GET over HTTP/1.1 with the single
/// upgrade `websocket`. Any other `Upgrade` is dropped, and the request is judged as a plain one.
fn is_handshake(head: &RequestHead) -> bool {
    if head.method() != "GET" || head.version() != Version::Http11 {
        return false;
    }
    let mut upgrades = head.fields.all(FieldName::Upgrade);
    let websocket = upgrades.next().is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"));
    websocket && upgrades.next().is_none() && head.fields.lists(FieldName::Connection, "upgrade")
}
