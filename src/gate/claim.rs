//! A request before its judgement.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Instant, SystemTime},
};

use bytes::{Buf, Bytes};

use super::{
    Admitted, Proven, Refusal, Refused, ReplayCache, ReplayReservation, RequestBody, body,
    forwarded, forwarded::ForwardedOrigin,
};
use crate::http1::{FieldName, Fields, FramedHead, RequestHead, Version};
use crate::limits::{Limits, MemoryBudget, Reservation};
use crate::routes::{Access, Route, Table};
use crate::signature::{
    BodyKind, BodyScheme, BodySignature, Keyring, Message, Origin, Selector, Signature,
    signature_fields, verify,
};

/// A request for a known route that claims to come from the sender of that route. `S` is the stage: only a
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
    /// The body, after the text of [`Evidence::prefix`].
    text: Bytes,
    reservation: Reservation,
    credentials: Credentials,
}

/// Credentials in the head.
struct Credentials {
    evidence: Evidence,
    /// The public origin from a trusted proxy.
    forwarded: Option<Box<Origin>>,
}

/// The signature in the head, by the route's scheme.
enum Evidence {
    /// None: the route is public.
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
            .field("forwarded", &self.forwarded)
            .finish()
    }
}

impl<B: RequestBody> Claim<Unread<B>> {
    /// Judges the head alone; the body stays unread.
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
        let refuse = |reason, route| Err(Refused { reason, route });
        match route {
            Some(route) if signed || route.is_public() => {
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
            Err(reason) => Err(Refused { reason, route: Some(route) }),
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
        let Credentials { evidence, forwarded } = credentials;
        let origin = forwarded.as_deref().or(route.origin.as_ref());
        let proven = match (&route.access, &evidence, origin) {
            (Access::Public, _, _) => Ok((Proven::DeclaredPublic, None)),
            (Access::Twilio(keyring), Evidence::Twilio(signature), Some(origin)) => {
                prove(&head, &text, &route, origin, keyring, signature).and_then(|proven| {
                    Ok((proven, reserve_pass(&route, || signature.mac(), replays)?))
                })
            }
            (Access::Body(scheme), Evidence::Body(signature), _) => {
                prove_body(&head, &text, &route, scheme, signature, replays)
            }
            (Access::Twilio(_), Evidence::Twilio(_), None) => Err(Refusal::UnknownHost),
            (Access::Twilio(_) | Access::Body(_), _, _) => Err(Refusal::MissingSignature),
        };
        let mut body = text;
        body.advance(evidence.prefix().len().min(body.len()));
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
                    forwarded,
                })
            }
            Err(reason) => Err(Refused { reason, route: Some(route) }),
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
    let forwarded = public_origin(head, peer, route, table)?;
    if table.is_ambiguous(head.path(), route) {
        return Err(Refusal::UnsafePath);
    }
    if !route.accepts(head.method()) {
        return Err(Refusal::MethodNotAllowed);
    }
    let evidence = match &route.access {
        Access::Public => Evidence::None,
        Access::Twilio(keyring) => {
            let signature = signature(&head.fields).ok_or(Refusal::MalformedSignature)?;
            if !keyring.knows(selector(&head.fields)) {
                return Err(Refusal::UnknownKey);
            }
            Evidence::Twilio(signature)
        }
        Access::Body(scheme) => {
            let signature = scheme.read(&|name| head.fields.named(name).collect());
            Evidence::Body(Box::new(signature.map_err(|_| Refusal::MalformedSignature)?))
        }
    };
    if body::announces_more_than(route.max_body_bytes, body) {
        return Err(Refusal::BodyTooLarge);
    }
    Ok(Credentials { evidence, forwarded })
}

/// Returns the origin from a trusted proxy. Without one, `Host` must be one of the route's hosts.
fn public_origin(
    head: &RequestHead,
    peer: Option<IpAddr>,
    route: &Route,
    table: &Table,
) -> Result<Option<Box<Origin>>, Refusal> {
    let host = host(head);
    if let Some(trust) = table.trust().filter(|trust| trust.trusts(peer)) {
        match forwarded::origin(&head.fields, host, route.origin.as_ref(), trust)? {
            ForwardedOrigin::Other(origin) => return Ok(Some(origin)),
            ForwardedOrigin::Configured => return Ok(None),
            ForwardedOrigin::Absent => {}
        }
    }
    let known = route.origin.is_some() || route.is_public();
    if known && route.hosts.allows(host) { Ok(None) } else { Err(Refusal::UnknownHost) }
}

/// Proves that a configured key signed exactly this URL and exactly this body.
fn prove(
    head: &RequestHead,
    body: &[u8],
    route: &Route,
    origin: &Origin,
    keyring: &Keyring,
    signature: &Signature,
) -> Result<Proven, Refusal> {
    let message = Message::bind(body_kind(head), head.target(), body)?;
    if message.is_empty_form() && !route.allow_empty_form {
        return Err(Refusal::NoFormParams);
    }
    let selector = selector(&head.fields);
    let proof = verify(&message, origin, keyring, selector, signature)?;
    Ok(Proven::Signed(proof))
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
