//! A request before its judgement.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Instant, SystemTime},
};

use bytes::{Buf, Bytes};
use smallvec::{SmallVec, smallvec};

use super::{
    Admitted, Proven, Refusal, Refused, RefusedBody, ReplayCache, ReplayReservation, RequestBody,
    Unenforced, body, forwarded, forwarded::ForwardedOrigin,
};
use crate::http1::{FieldName, Fields, FramedHead, RequestHead, Version};
use crate::limits::{Limits, MemoryBudget, Reservation};
use crate::routes::{Access, Route, Table};
use crate::signature::{
    BodyKind, BodyScheme, BodySignature, Keyring, Message, Origin, Selector, Signature,
    signature_fields, verify,
};

/// A request for a known route that is not judged yet. `S` is the stage: only a [`Complete`] claim can
/// be judged.
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
    /// The body, after the text of [`Evidence::prefix`].
    text: Bytes,
    reservation: Reservation,
    credentials: Credentials,
}

/// Credentials in the head.
struct Credentials {
    /// The signature.
    evidence: Evidence,
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

/// The signature in the head, by the route's scheme.
enum Evidence {
    /// No usable one: the route is public, or has `enforce = false`.
    None,
    /// `X-Twilio-Signature`.
    Twilio(Signature),
    /// That of a scheme that signs the body.
    Body(Box<BodySignature>),
}

impl Evidence {
    const fn is_some(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// The text that is signed before the body. The body is read behind it, so that both are
    /// verified as one text without a copy.
    fn prefix(&self) -> &[u8] {
        match self {
            Self::None | Self::Twilio(_) => b"",
            Self::Body(signature) => signature.prefix(),
        }
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("is_signed", &self.evidence.is_some())
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
        let signed = is_signed(&head.fields, route.as_deref());
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
        let signed = credentials.evidence.is_some();
        let exact_len = body.exact_len().unwrap_or(u64::MAX);
        let mut reservation = budget.reserve(limits.max_buffered_bytes, exact_len, signed, peer);
        let bounds = body::Bounds {
            max_bytes: route.max_body_bytes,
            timeout: limits.body_timeout,
            min_rate: limits.min_body_rate,
        };
        let prefix = credentials.evidence.prefix();
        match body::read(body, prefix, &bounds, &mut reservation).await {
            Ok(text) => {
                Ok(Claim { head, route, stage: Complete { text, reservation, credentials } })
            }
            Err(reason) => Err(Refused::unread(reason, Some(route))),
        }
    }
}

impl Claim<Complete> {
    /// Returns the length of the body in bytes.
    #[must_use]
    pub fn body_length(&self) -> u64 {
        let prefix = self.stage.credentials.evidence.prefix().len();
        let length = self.stage.text.len().saturating_sub(prefix);
        u64::try_from(length).unwrap_or(u64::MAX)
    }

    /// Returns whether to judge it costs as much as dozens of ordinary requests.
    #[must_use]
    pub fn is_costly(&self) -> bool {
        matches!(&self.route.access, Access::Body(scheme) if scheme.is_costly())
    }

    /// Judges the request. MACs are compared in constant time. `replays` is used only on a route with a
    /// `replay_window`.
    ///
    /// # Errors
    /// [`Refused`]: not covered, not signed, not for this account, or replayed.
    pub fn judge(self, replays: &ReplayCache) -> Result<Admitted, Refused> {
        let Self { head, route, stage: Complete { text, reservation, credentials } } = self;
        let origins = credentials.origin.of(&route, host(&head));
        let scheme = origins.first().map(|origin| origin.scheme());
        let proven = decide(&head, &text, &route, &origins, &credentials, replays);
        drop(origins);
        let proven = proven
            .or_else(|reason| Ok((Proven::Unenforced(Unenforced::observe(&route, reason)?), None)));
        let mut body = text;
        body.advance(credentials.evidence.prefix().len().min(body.len()));
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

/// Checks everything that depends on the head alone. The route is public or has `enforce = false`, or the request
/// has the header of its scheme.
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
    if !route.is_public() && !is_signed(&head.fields, Some(route)) {
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
    let evidence = match evidence(head, route) {
        Ok(evidence) => evidence,
        Err(reason) => {
            observe(reason)?;
            Evidence::None
        }
    };
    if body::announces_more_than(route.max_body_bytes, body) {
        return Err(Refusal::BodyTooLarge);
    }
    Ok(Credentials { evidence, origin, observed })
}

/// Returns the signature by the route's scheme, if a key of the route could have made it.
fn evidence(head: &RequestHead, route: &Route) -> Result<Evidence, Refusal> {
    match &route.access {
        Access::Public => Ok(Evidence::None),
        Access::Twilio(keyring) => usable_signature(head, keyring).map(Evidence::Twilio),
        Access::Body(scheme) => {
            let signature = scheme.read(&|name| head.fields.named(name).collect());
            let signature = signature.map_err(|_| Refusal::MalformedSignature)?;
            Ok(Evidence::Body(Box::new(signature)))
        }
    }
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

/// Decides with the whole request at hand. `text` is the body, after [`Evidence::prefix`].
fn decide(
    head: &RequestHead,
    text: &[u8],
    route: &Route,
    origins: &[&Origin],
    credentials: &Credentials,
    replays: &ReplayCache,
) -> Result<(Proven, Option<ReplayReservation>), Refusal> {
    if let Some(observed) = credentials.observed {
        return Ok((Proven::Unenforced(observed), None));
    }
    match (&route.access, &credentials.evidence) {
        (Access::Public, _) => Ok((Proven::DeclaredPublic, None)),
        (Access::Twilio(_), Evidence::Twilio(_)) if origins.is_empty() => Err(Refusal::UnknownHost),
        (Access::Twilio(keyring), Evidence::Twilio(signature)) => {
            let proven = prove(head, text, route, origins, keyring, signature)?;
            Ok((proven, reserve_pass(route, || signature.mac(), replays)?))
        }
        (Access::Body(scheme), Evidence::Body(signature)) => {
            prove_body(head, text, route, scheme, signature, replays)
        }
        (Access::Twilio(_) | Access::Body(_), _) => Err(Refusal::MissingSignature),
    }
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

/// Proves that a configured key signed exactly this body, and reserves its pass. `text` is the
/// signed text: what the scheme signs before the body, and the body.
fn prove_body(
    head: &RequestHead,
    text: &[u8],
    route: &Route,
    scheme: &BodyScheme,
    signature: &BodySignature,
    replays: &ReplayCache,
) -> Result<(Proven, Option<ReplayReservation>), Refusal> {
    // An app would read other data than was signed: no scheme signs these fields.
    let is_ambiguous = head.fields.all(FieldName::ContentType).nth(1).is_some();
    if is_ambiguous || head.fields.contains(FieldName::ContentEncoding) {
        return Err(Refusal::BodyNotCovered);
    }
    let signed = scheme.verify(signature, text, SystemTime::now())?;
    let replay = reserve_pass(route, || signed.digest(), replays)?;
    Ok((Proven::Signed(signed.proof()), replay))
}

/// Reserves a pass for what was signed, by its digest, on a route with a `replay_window`.
fn reserve_pass(
    route: &Route,
    digest: impl FnOnce() -> [u8; 32],
    replays: &ReplayCache,
) -> Result<Option<ReplayReservation>, Refusal> {
    let reserve = |rule| replays.reserve(digest(), rule, Instant::now());
    route.replay.map(|rule| reserve(rule).ok_or(Refusal::Replayed)).transpose()
}

/// Returns whether the request has the signature field of its route. Without a route, that of any
/// scheme will do: the log then names the unknown path.
fn is_signed(fields: &Fields, route: Option<&Route>) -> bool {
    match route.map(|route| &route.access) {
        Some(Access::Twilio(_) | Access::Public) => fields.contains(FieldName::TwilioSignature),
        Some(Access::Body(scheme)) => fields.named(scheme.signature_field()).next().is_some(),
        None => {
            let has = |name: &&str| fields.named(name).next().is_some();
            fields.contains(FieldName::TwilioSignature) || signature_fields().iter().any(has)
        }
    }
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
