//! A request on its way to a judgement.

use std::{error::Error, sync::Arc};

use bytes::Bytes;
use hyper::{
    Method, Request, Version,
    body::Body,
    header::{self, HeaderMap, HeaderName},
    http::request::Parts,
};

use super::{Admitted, Buffers, Held, Proven, Refusal, Refused, body};
use crate::routes::{Access, Limits, Route, Table};
use crate::signature::{Keyring, Message, Selector, Shape, Signature, verify};

/// The header that carries the signature.
const SIGNATURE: HeaderName = HeaderName::from_static("x-twilio-signature");
/// Names the SharedKey (Webhooks configuration API, public beta 2026).
const SETTINGS: HeaderName = HeaderName::from_static("x-twilio-webhooks-signature-settings");
/// Names the key in the earlier private beta.
const KEY_SID: HeaderName = HeaderName::from_static("x-twilio-signature-key-sid");

/// A request that claims to come from Twilio, for a known route. `S` says whether its body has
/// been read; only then can it be judged.
#[derive(Debug)]
pub struct Claim<S> {
    head: Parts,
    route: Arc<Route>,
    stage: S,
}

/// The body is still on the wire.
#[derive(Debug)]
pub struct Unread<B> {
    body: B,
    presented: Presented,
}

/// The body is here, whole.
#[derive(Debug)]
pub struct Complete {
    body: Bytes,
    held: Held,
    presented: Presented,
}

/// What the head presents as proof.
enum Presented {
    Signature(Signature),
    /// The route asks for none.
    Nothing,
}

impl std::fmt::Debug for Presented {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Signature(_) => "Signature(…)",
            Self::Nothing => "Nothing",
        })
    }
}

impl<B> Claim<Unread<B>>
where
    B: Body<Data = Bytes>,
    B::Error: Error + 'static,
{
    /// Judges the head alone; the body stays unread.
    ///
    /// A request without a signature learns nothing else: not even whether its route exists.
    ///
    /// # Errors
    /// [`Refused`], with every reason that needs no body.
    pub fn new(request: Request<B>, table: &Table) -> Result<Self, Refused> {
        let (head, body) = request.into_parts();
        let route = table.find(head.uri.path().as_bytes()).cloned();
        let signed = head.headers.contains_key(SIGNATURE);
        let refuse = |reason, route| Err(Refused { reason, route });
        match route {
            Some(route) if signed || route.is_public() => {
                match examine(&head, &body, &route, table) {
                    Ok(presented) => Ok(Self { head, route, stage: Unread { body, presented } }),
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
        buffers: &Arc<Buffers>,
    ) -> Result<Claim<Complete>, Refused> {
        let Self { head, route, stage: Unread { body, presented } } = self;
        let signed = matches!(presented, Presented::Signature(_));
        let announced = body.size_hint().upper().unwrap_or(u64::MAX);
        let mut held = buffers.open(limits.max_buffered_bytes, announced, signed);
        let bounds = body::Bounds {
            bytes: route.max_body_bytes,
            deadline: limits.body_timeout,
            rate: limits.min_body_rate,
        };
        match body::read(body, &bounds, &mut held).await {
            Ok(body) => Ok(Claim { head, route, stage: Complete { body, held, presented } }),
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

    /// Decides. Pure, and in constant time where it compares.
    ///
    /// # Errors
    /// [`Refused`]: not covered, not signed, or not for this account.
    pub fn judge(self) -> Result<Admitted, Refused> {
        let Self { head, route, stage: Complete { body, held, presented } } = self;
        let proven = match (&route.access, &presented) {
            (Access::Public, _) => Ok(Proven::DeclaredPublic),
            (Access::Twilio(keyring), Presented::Signature(signature)) => {
                prove(&head, &body, &route, keyring, signature)
            }
            (Access::Twilio(_), Presented::Nothing) => Err(Refusal::MissingSignature),
        };
        match proven {
            Ok(proven) => {
                let handshake = is_handshake(&head);
                Ok(Admitted { head, body, held, route, proven, handshake })
            }
            Err(reason) => Err(Refused { reason, route: Some(route) }),
        }
    }
}

/// Everything that the head alone decides, for a request that presents a signature or needs none.
fn examine(
    head: &Parts,
    body: &impl Body,
    route: &Route,
    table: &Table,
) -> Result<Presented, Refusal> {
    if !route.hosts.allows(host(head)) {
        return Err(Refusal::UnknownHost);
    }
    if table.is_ambiguous(head.uri.path().as_bytes(), route) {
        return Err(Refusal::UnsafePath);
    }
    if !route.takes(head.method.as_str()) {
        return Err(Refusal::MethodNotAllowed);
    }
    let presented = match &route.access {
        Access::Public => Presented::Nothing,
        Access::Twilio(keyring) => {
            let signature = signature(&head.headers).ok_or(Refusal::MalformedSignature)?;
            if !keyring.knows(selector(&head.headers)) {
                return Err(Refusal::UnknownKey);
            }
            Presented::Signature(signature)
        }
    };
    if body::announces_more_than(route.max_body_bytes, body) {
        return Err(Refusal::BodyTooLarge);
    }
    Ok(presented)
}

/// Whether a key signed exactly this URL and exactly this body.
fn prove(
    head: &Parts,
    body: &[u8],
    route: &Route,
    keyring: &Keyring,
    signature: &Signature,
) -> Result<Proven, Refusal> {
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let message = Message::bind(shape(head), target.as_bytes(), body)?;
    if message.is_empty_form() && !route.allow_empty_form {
        return Err(Refusal::NoFormParams);
    }
    let selector = selector(&head.headers);
    let proof = verify(&message, &route.origin, keyring, selector, signature)?;
    Ok(Proven::Signed(proof))
}

/// The `Host` field (HTTP/1) or the authority (HTTP/2).
fn host(head: &Parts) -> &str {
    let field = head.headers.get(header::HOST).and_then(|value| value.to_str().ok());
    field.or_else(|| head.uri.authority().map(|authority| authority.as_str())).unwrap_or_default()
}

/// The one signature, if it is one.
fn signature(headers: &HeaderMap) -> Option<Signature> {
    let mut values = headers.get_all(SIGNATURE).iter();
    let only = values.next().filter(|_| values.next().is_none())?;
    Signature::parse(only.as_bytes()).ok()
}

fn selector(headers: &HeaderMap) -> Selector<'_> {
    Selector::parse(
        headers.get_all(SETTINGS).iter().map(|value| value.as_bytes()),
        headers.get_all(KEY_SID).iter().map(|value| value.as_bytes()),
    )
}

fn shape(head: &Parts) -> Shape {
    if is_handshake(head) {
        return Shape::Handshake;
    }
    let types = head.headers.get_all(header::CONTENT_TYPE).iter().map(|value| value.as_bytes());
    Shape::of(head.method.as_str(), types, head.headers.contains_key(header::CONTENT_ENCODING))
}

/// RFC 6455 §4.1: a GET over HTTP/1.1 that asks to upgrade the connection to `websocket`, and to
/// nothing else. Any other `Upgrade` is judged as the plain request it is, and dropped.
fn is_handshake(head: &Parts) -> bool {
    let mut upgrades = head.headers.get_all(header::UPGRADE).iter();
    let websocket =
        upgrades.next().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    websocket
        && upgrades.next().is_none()
        && head.method == Method::GET
        && head.version == Version::HTTP_11
        && head.headers.get_all(header::CONNECTION).iter().any(|value| {
            let mut tokens = value.as_bytes().split(|&byte| byte == b',');
            tokens.any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
        })
}
