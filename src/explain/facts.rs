//! The facts of a case that need no MAC.

use super::{
    case::Case,
    codec::{pairs, tail},
    trust::{self, Stated},
    url::Url,
};
use crate::http1::{FieldName, RequestHead, Version};
use crate::routes::{Access, Route};
use crate::signature::{BodyKind, Origin, ProbeKey, Selector};

/// The facts of a case that are known before the first MAC.
pub(super) struct Facts<'a> {
    pub(super) case: Case<'a>,
    pub(super) route: Option<&'a Route>,
    pub(super) handshake: bool,
    pub(super) kind: BodyKind,
    pub(super) host: &'a str,
    pub(super) stated: Stated,
    pub(super) trusted: bool,
    /// The URL that the gate judges; where none is configured, the likeliest one.
    pub(super) expected: Url,
    /// The tail that the gate judges.
    pub(super) tail: Vec<u8>,
}

impl<'a> Facts<'a> {
    pub(super) fn new(case: Case<'a>) -> Self {
        let route = case.table.find(case.head.path()).map(|route| &**route);
        let handshake = is_handshake(case.head);
        let kind = body_kind(case.head, handshake);
        let host = text(case.head.fields.get(FieldName::Host));
        let stated = Stated::of(&case.head.fields);
        let trusted = trust::decides(&case);
        let tail = if kind == BodyKind::Form { tail(&pairs(case.body)) } else { Vec::new() };
        let expected = expected(&case, route, handshake, host, &stated, trusted);
        Self { case, route, handshake, kind, host, stated, trusted, expected, tail }
    }

    /// The public URL that the gate judges; the first one where several may be meant.
    pub(super) fn origin(&self) -> Option<&'a Origin> {
        self.route.and_then(|route| route.origins_for(self.host).first().copied())
    }

    /// The prefix that the gate puts before the target.
    pub(super) fn prefix(&self) -> &'a str {
        self.origin().map_or("", Origin::prefix)
    }

    /// Whether `Host` is one that the route answers to.
    pub(super) fn host_is_allowed(&self) -> bool {
        self.route.is_none_or(|route| route.hosts.allows(self.host))
    }

    /// The values of a field that the gate itself does not inspect.
    pub(super) fn field(&self, name: &str) -> Option<&'a str> {
        let own = |raw: &[u8]| raw.eq_ignore_ascii_case(name.as_bytes());
        let value = self.case.head.fields.iter().find(|field| own(field.raw_name));
        value.and_then(|field| std::str::from_utf8(field.value).ok())
    }

    /// The accounts that the request names, in its query and its form.
    pub(super) fn accounts(&self) -> Vec<String> {
        let query = self.expected.query.as_deref().unwrap_or_default();
        let mut named: Vec<Vec<u8>> = Vec::new();
        let form = if self.kind == BodyKind::Form { self.case.body } else { &[] };
        for (name, value) in pairs(query).into_iter().chain(pairs(form)) {
            if name == b"AccountSid" && !named.contains(&value) {
                named.push(value);
            }
        }
        let is_sid =
            |text: &String| text.len() <= 40 && text.bytes().all(|b| b.is_ascii_alphanumeric());
        named.into_iter().filter_map(|sid| String::from_utf8(sid).ok()).filter(is_sid).collect()
    }

    pub(super) fn selector(&self) -> Selector<'a> {
        let fields = &self.case.head.fields;
        Selector::parse(fields.all(FieldName::SignatureSettings), fields.all(FieldName::KeySid))
    }

    /// Whether this key belongs to the route, so that the gate tries it for this request.
    pub(super) fn is_own(&self, key: &ProbeKey) -> bool {
        let Some(route) = self.route else { return true };
        let Access::Twilio(keyring) = &route.access else { return false };
        let selected = match self.selector() {
            Selector::AuthToken => key.id().is_none(),
            Selector::SharedKey(id) => key.id().is_some_and(|own| own.as_bytes() == id),
            Selector::Unreadable => false,
        };
        selected && keyring.keys().iter().any(|own| key.is_of(own))
    }
}

fn expected(
    case: &Case<'_>,
    route: Option<&Route>,
    handshake: bool,
    host: &str,
    stated: &Stated,
    trusted: bool,
) -> Url {
    let origin = route.and_then(|route| route.origins_for(host).first().copied());
    let any = || case.table.routes().iter().find_map(|route| route.origins.first());
    let target = case.head.target();
    if let Some(origin) = origin.or_else(any) {
        return Url::of_origin(origin, handshake, target);
    }
    let believed = trusted && !stated.contradicts_itself();
    let stated_host = stated.hosts.first().filter(|_| believed).cloned();
    let (own_host, own_port) = crate::signature::split_port(host).unwrap_or((host, None));
    let scheme = match (believed && stated.says_http(), handshake) {
        (true, true) => "ws",
        (true, false) => "http",
        (false, true) => "wss",
        (false, false) => "https",
    };
    let port = if believed { stated.ports.first().copied() } else { own_port };
    let default = if scheme == "http" || scheme == "ws" { 80 } else { 443 };
    let port = port.filter(|&port| port != default);
    Url::new(scheme, stated_host.as_deref().unwrap_or(own_host), port, target)
}

/// RFC 6455 §4.1.
fn is_handshake(head: &RequestHead) -> bool {
    let websocket = |value: &[u8]| value.eq_ignore_ascii_case(b"websocket");
    head.method() == "GET"
        && head.version() == Version::Http11
        && head.fields.all(FieldName::Upgrade).any(websocket)
        && head.fields.lists(FieldName::Connection, "upgrade")
}

fn body_kind(head: &RequestHead, handshake: bool) -> BodyKind {
    if handshake {
        return BodyKind::Handshake;
    }
    let types = head.fields.all(FieldName::ContentType);
    BodyKind::from_head(head.method(), types, head.fields.contains(FieldName::ContentEncoding))
}

fn text(value: Option<&[u8]>) -> &str {
    value.and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default()
}
