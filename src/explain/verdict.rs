//! Names the mistakes of a hypothesis under which a key signed the request.

use super::{
    Mistake, body, difference,
    facts::Facts,
    label::Label,
    path,
    render::Renderer,
    search::{Found, Rank},
};
use crate::routes::Pattern;
use crate::signature::ProbeKey;

/// Every mistake, in the order in which they are to be cured.
pub(super) fn mistakes(facts: &Facts<'_>, found: &Found<'_>) -> Vec<Mistake> {
    let mut labels: Vec<Label> = Vec::new();
    labels.extend(found.label);
    let url = url_labels(facts, found);
    labels.extend(host_labels(facts, &url));
    labels.extend(url);
    labels.extend(found.attempt.labels.iter().copied());
    labels.extend(body_label(facts, found, &labels));
    labels.extend(route_labels(facts, &labels));
    labels.extend(key_label(facts, found));
    if found.signature.algorithm() != found.trial.key.algorithm() {
        labels.push(Label::SignedWrongly);
    }
    let mut distinct: Vec<Label> = Vec::new();
    for label in labels {
        if !distinct.contains(&label) {
            distinct.push(label);
        }
    }
    let renderer = Renderer { facts, found: Some(found) };
    distinct.into_iter().map(|label| renderer.mistake(label, true)).collect()
}

/// Whether a trusted proxy decides the origin and fails to state it.
pub(super) fn is_nothing_told(facts: &Facts<'_>) -> bool {
    let silent = facts.stated.is_absent() && facts.origin().is_none();
    facts.trusted && (silent || facts.stated.contradicts_itself())
}

fn url_labels(facts: &Facts<'_>, found: &Found<'_>) -> Vec<Label> {
    if found.attempt.text.is_some() {
        return Vec::new();
    }
    let mut labels = difference::labels(facts, &found.attempt.url);
    if !found.attempt.url.target().iter().all(u8::is_ascii_graphic) {
        // No URL has blanks or controls: whoever signed it decoded it before.
        return vec![Label::SignedWrongly];
    }
    if found.attempt.labels.contains(&Label::QueryAsParameters) {
        labels.retain(|label| *label != Label::QueryAdded);
    }
    let secure = matches!(found.attempt.url.scheme.as_str(), "https" | "wss");
    if is_nothing_told(facts) {
        let by_proxy = [Label::WrongHost, Label::WrongPort, Label::WrongScheme];
        labels.retain(|label| !by_proxy.contains(label));
        labels.insert(0, Label::NothingTold);
    } else if facts.trusted && facts.stated.says_http() && secure {
        labels.retain(|label| !matches!(label, Label::WrongScheme | Label::WrongPort));
        labels.insert(0, Label::ForwardedProtoHttp);
    }
    labels
}

/// `Host` is not part of what is signed, but the gate answers to listed ones only.
fn host_labels(facts: &Facts<'_>, url: &[Label]) -> Option<Label> {
    let explained = [Label::WrongHost, Label::NothingTold, Label::ForwardedProtoHttp];
    let by_proxy = facts.trusted && !facts.stated.is_absent();
    if url.iter().any(|label| explained.contains(label)) {
        return None;
    }
    if by_proxy {
        return is_unlisted(facts).then_some(Label::WrongHost);
    }
    (!facts.host_is_allowed()).then_some(Label::HostRewritten)
}

/// Whether the proxy states a host that `[trust]` does not list.
pub(super) fn is_unlisted(facts: &Facts<'_>) -> bool {
    let own = facts.route.map_or(&[][..], |route| &route.origins);
    let is_own = |host: &str| own.iter().any(|origin| origin.host().eq_ignore_ascii_case(host));
    let trust = facts.case.table.trust();
    let unlisted = |host: &String| !is_own(host) && trust.is_some_and(|trust| !trust.lists(host));
    facts.trusted && facts.stated.hosts.iter().any(unlisted)
}

fn body_label(facts: &Facts<'_>, found: &Found<'_>, labels: &[Label]) -> Option<Label> {
    let attempt = &found.attempt;
    if attempt.text.is_some() || !attempt.tail.is_empty() || !attempt.labels.is_empty() {
        return None;
    }
    let query = attempt.url.query.as_deref().unwrap_or_default();
    let label = body::label(facts, query)?;
    // The URL itself came changed: a lost upgrade or a dropped hash explains the rest.
    let explained = labels.contains(&Label::UpgradeLost) && facts.case.body.is_empty();
    (!explained).then_some(label)
}

fn route_labels(facts: &Facts<'_>, labels: &[Label]) -> Option<Label> {
    let head = facts.case.head;
    let Some(route) = facts.route else {
        let by_path = [
            Label::PrefixStripped,
            Label::PrefixAdded,
            Label::PathInPublicUrl,
            Label::TrailingSlash,
            Label::PathNormalised,
            Label::DoubleEncoded,
            Label::WrongPath,
        ];
        if labels.iter().any(|label| by_path.contains(label)) {
            return None;
        }
        let toggled = path::toggled(head.path());
        let near = facts.case.table.find(&toggled);
        let exact = near.is_some_and(|route| matches!(route.path, Pattern::Exact(_)));
        return Some(if exact { Label::TrailingSlash } else { Label::WrongPath });
    };
    if !route.accepts(head.method()) {
        return Some(Label::Method);
    }
    let unsafe_path = facts.case.table.is_ambiguous(head.path(), route);
    (unsafe_path && labels.is_empty()).then_some(Label::WrongPath)
}

fn key_label(facts: &Facts<'_>, found: &Found<'_>) -> Option<Label> {
    let named = facts.accounts();
    let key = found.trial.key;
    let speaks = |key: &ProbeKey| match key.account() {
        None => true,
        Some(sid) => !named.is_empty() && named.iter().all(|account| account == sid),
    };
    match found.trial.rank {
        Rank::Own if speaks(key) => None,
        Rank::Own | Rank::Elsewhere if key.account().is_some() && named.is_empty() => {
            Some(Label::NoAccountNamed)
        }
        Rank::Own => Some(Label::AccountBinding),
        Rank::Elsewhere if !speaks(key) => Some(Label::AccountBinding),
        Rank::Elsewhere => Some(Label::OtherToken),
        Rank::Repaired => Some(Label::TokenShape),
        Rank::Given if is_strange_account(facts) => Some(Label::SubaccountToken),
        Rank::Given => Some(Label::WrongToken),
    }
}

/// Whether the request speaks for an account for which no key is configured, while every key that
/// the gate tries is bound to an account.
pub(super) fn is_strange_account(facts: &Facts<'_>) -> bool {
    let named = facts.accounts();
    let Some(first) = named.first() else { return false };
    let keys = facts.case.keys;
    let mut own = keys.iter().filter(|key| facts.is_own(key)).peekable();
    let bound = own.peek().is_none() || own.all(|key| key.account().is_some());
    bound && keys.iter().all(|key| key.account() != Some(first.as_str()))
}
