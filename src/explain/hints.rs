//! The likeliest mistakes where no MAC matched: hints, never proofs.

use super::{
    Mistake, body,
    codec::{pairs, segments},
    difference,
    facts::Facts,
    label::Label,
    render::Renderer,
    search::{Rank, Search},
    url::Url,
    verdict::{is_nothing_told, is_strange_account, is_unlisted},
};
use crate::http1::FieldName;
use crate::signature::{Algorithm, BodyKind, Selector, split_port};

/// Most hints for one request.
const MAX_HINTS: usize = 3;

/// The likeliest first.
pub(super) fn mistakes(facts: &Facts<'_>, search: &Search<'_>) -> Vec<Mistake> {
    let mut labels: Vec<Label> = Vec::new();
    labels.extend(header(facts, search));
    labels.extend(origin(facts));
    labels.extend(route(facts));
    labels.extend(told(facts));
    labels.extend(upgrade(facts));
    labels.extend(covered(facts));
    labels.extend(lost(facts));
    labels.extend(key(facts, search));
    if labels.is_empty() {
        labels.push(Label::WrongToken);
    }
    let mut distinct: Vec<Label> = Vec::new();
    for label in labels {
        if !distinct.contains(&label) && distinct.len() < MAX_HINTS {
            distinct.push(label);
        }
    }
    let renderer = Renderer { facts, found: None };
    distinct.into_iter().map(|label| renderer.mistake(label, false)).collect()
}

fn header(facts: &Facts<'_>, search: &Search<'_>) -> Option<Label> {
    let mut values = facts.case.head.fields.all(FieldName::TwilioSignature);
    if search.signatures.is_empty() {
        let is_empty = values.all(|value| value.trim_ascii().is_empty());
        return Some(if is_empty {
            Label::SignatureHeaderLost
        } else {
            Label::SignatureHeaderAltered
        });
    }
    search.signatures.iter().find_map(|read| read.label)
}

fn origin(facts: &Facts<'_>) -> Option<Label> {
    if is_nothing_told(facts) {
        return Some(Label::NothingTold);
    }
    if facts.trusted && !facts.stated.is_absent() {
        let http = facts.stated.says_http().then_some(Label::ForwardedProtoHttp);
        return http.or_else(|| is_unlisted(facts).then_some(Label::WrongHost));
    }
    if facts.host_is_allowed() {
        return None;
    }
    let told = facts.case.told.and_then(Url::parse);
    if told.is_some_and(|told| told.host != facts.expected.host) {
        return Some(Label::WrongHost);
    }
    Some(if is_internal(facts) { Label::HostRewritten } else { Label::WrongHost })
}

/// Whether `Host` is a name that no public DNS has, or the public one in another spelling.
fn is_internal(facts: &Facts<'_>) -> bool {
    let Ok((host, _)) = split_port(facts.host) else { return true };
    let bare = host.trim_end_matches('.');
    let address = bare.starts_with('[') || bare.parse::<std::net::Ipv4Addr>().is_ok();
    let local = [".local", ".internal", ".localhost", ".svc", ".lan"];
    address
        || !bare.contains('.')
        || local.iter().any(|end| bare.ends_with(end))
        || bare.eq_ignore_ascii_case(&facts.expected.host)
}

fn route(facts: &Facts<'_>) -> Option<Label> {
    match facts.route {
        None => Some(Label::WrongPath),
        Some(route) => (!route.accepts(facts.case.head.method())).then_some(Label::Method),
    }
}

/// The differences between the URL on file and the one that arrived.
fn told(facts: &Facts<'_>) -> Vec<Label> {
    let told = facts.case.told.and_then(Url::parse);
    told.map(|told| difference::labels(facts, &told)).unwrap_or_default()
}

fn upgrade(facts: &Facts<'_>) -> Option<Label> {
    let key = facts.field("Sec-WebSocket-Key").is_some();
    (key && !facts.handshake).then_some(Label::UpgradeLost)
}

/// Names a body that no signature could cover.
fn covered(facts: &Facts<'_>) -> Option<Label> {
    let body = facts.case.body;
    let query = facts.expected.query.as_deref().unwrap_or_default();
    match (facts.kind, body::declared_hash(query)) {
        (BodyKind::Form, Some(hash)) if body::is_hash(&hash, body) => None,
        (BodyKind::Form | BodyKind::Get | BodyKind::Handshake, _) => None,
        (_, Some(hash)) if body::is_hash(&hash, body) => None,
        (_, Some(_)) if body.is_empty() => Some(Label::BodyLost),
        (_, Some(hash)) => Some(body::changed(&hash, body)),
        (_, None) if body.is_empty() => None,
        (_, None) if is_form(body) => Some(Label::ContentTypeChanged),
        (_, None) => Some(Label::JsonWithoutHash),
    }
}

/// Whether a body reads as a form that Twilio sends.
fn is_form(body: &[u8]) -> bool {
    let parts = segments(body);
    let plain = |byte: &u8| byte.is_ascii_graphic();
    let typical: [&[u8]; 4] = [b"AccountSid", b"From", b"ApiVersion", b"To"];
    body.iter().all(plain)
        && parts.iter().all(|part| part.contains(&b'='))
        && pairs(body).iter().any(|(name, _)| typical.contains(&&name[..]))
}

fn lost(facts: &Facts<'_>) -> Option<Label> {
    let typed = facts.case.head.fields.contains(FieldName::ContentType);
    let query = facts.expected.query.as_deref().unwrap_or_default();
    let empty = facts.case.body.is_empty();
    match facts.kind {
        BodyKind::Form | BodyKind::Opaque if empty => Some(Label::BodyLost),
        BodyKind::Get if empty && typed => Some(Label::BodyLost),
        // Twilio puts parameters into the query of every GET but a handshake.
        BodyKind::Get if query.is_empty() && facts.field("Sec-WebSocket-Key").is_none() => {
            Some(Label::Method)
        }
        BodyKind::Get if !empty => Some(Label::BodyAltered),
        _ => None,
    }
}

fn key(facts: &Facts<'_>, search: &Search<'_>) -> Vec<Label> {
    let shaped = |key: &&crate::signature::ProbeKey| facts.is_own(key) && key.shape().is_some();
    let mut labels = Vec::new();
    if search.signatures.is_empty() {
        return labels;
    }
    if facts.case.keys.iter().any(|key| shaped(&key)) {
        labels.push(Label::TokenShape);
    }
    if is_strange_account(facts) {
        labels.push(Label::SubaccountToken);
    } else if search.keys.iter().all(|trial| trial.rank != Rank::Own) && facts.accounts().is_empty()
    {
        labels.push(Label::NoAccountNamed);
    }
    let long = |read: &super::search::Read| read.signature.algorithm() == Algorithm::HmacSha256;
    if search.signatures.iter().all(long) && facts.selector() == Selector::AuthToken {
        labels.push(Label::SignedWrongly);
    }
    labels.push(Label::WrongToken);
    labels
}
