//! Sentences about a mistake. They hold no token, no signature and no value of query or body.

use super::{
    Mistake,
    facts::Facts,
    label::Label,
    search::Found,
    url::{Url, redacted_pairs},
};
use crate::signature::{BodyKind, TokenShape};

/// A longer text of the request is cut.
const MAX_SHOWN: usize = 200;

/// Fills in the facts of one case.
pub(super) struct Renderer<'r, 'a> {
    pub(super) facts: &'r Facts<'a>,
    pub(super) found: Option<&'r Found<'a>>,
}

impl Renderer<'_, '_> {
    pub(super) fn mistake(&self, label: Label, proven: bool) -> Mistake {
        let signed = self.found.filter(|_| proven).map(|found| self.signed(found));
        Mistake {
            label,
            proven,
            says: self.fill(label.says()),
            cure: self.fill(label.cure()),
            signed,
        }
    }

    /// Replaces each `{name}` of a sentence.
    fn fill(&self, sentence: &str) -> String {
        let mut filled = String::new();
        let mut rest = sentence;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, behind) = after.split_once('}').unwrap_or((after, ""));
            filled.push_str(before);
            filled.push_str(&shown(&self.fact(name)));
            rest = behind;
        }
        filled + rest
    }

    fn fact(&self, name: &str) -> String {
        let expected = &self.facts.expected;
        let signed = self.signed_url();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let port =
            |url: &Url| url.port.map_or_else(|| "no port".to_owned(), |port| port.to_string());
        match name {
            "signed_scheme" => signed.scheme.clone(),
            "expected_scheme" => expected.scheme.clone(),
            "signed_host" => signed.host.clone(),
            "expected_host" => expected.host.clone(),
            "signed_port" => port(signed),
            "expected_port" => port(expected),
            "signed_path" => text(&signed.path),
            "expected_path" => text(&expected.path),
            "path" => text(self.facts.case.head.path()),
            "host" => self.facts.host.to_owned(),
            "method" => self.facts.case.head.method().to_owned(),
            "key" | "bound" | "shape" => self.key_fact(name),
            "account" => self.facts.accounts().first().cloned().unwrap_or_default(),
            "detail" => self.detail().to_owned(),
            "told" => self.facts.stated.fault(),
            _ => String::new(),
        }
    }

    /// The signed URL; for a hint, the one on file or the expected one.
    fn signed_url(&self) -> &Url {
        self.found.map_or(&self.facts.expected, |found| &found.attempt.url)
    }

    fn key_fact(&self, name: &str) -> String {
        let own = || {
            self.facts.case.keys.iter().find(|key| self.facts.is_own(key) && key.shape().is_some())
        };
        let key = self.found.map(|found| found.trial.key).or_else(own);
        let Some(key) = key else { return String::new() };
        match name {
            "key" => key.name().to_owned(),
            "bound" => key.account().unwrap_or_default().to_owned(),
            _ => {
                let configured = self.facts.case.keys.iter().find(|own| own.name() == key.name());
                shape(configured.and_then(crate::signature::ProbeKey::shape)).to_owned()
            }
        }
    }

    fn detail(&self) -> &'static str {
        let Some(found) = self.found else { return "HMAC-SHA256 in place of HMAC-SHA1" };
        if !found.attempt.detail.is_empty() {
            return found.attempt.detail;
        }
        if found.signature.algorithm() != found.trial.key.algorithm() {
            return "another algorithm than the key's";
        }
        if found.detail.is_empty() { "another text" } else { found.detail }
    }

    /// The text that was signed, with `…` in place of each value.
    fn signed(&self, found: &Found<'_>) -> String {
        let url = found.attempt.url.redacted();
        let form = matches!(self.facts.kind, BodyKind::Form | BodyKind::Other | BodyKind::Opaque);
        let names =
            if form && !found.attempt.tail.is_empty() && is_like_a_form(self.facts.case.body) {
                format!(" {}", redacted_pairs(self.facts.case.body, " "))
            } else {
                String::new()
            };
        let whole = shown_up_to(&format!("{url}{names}"), MAX_SHOWN.saturating_mul(5));
        if found.attempt.text.is_some() { format!("{} ({whole})", self.detail()) } else { whole }
    }
}

fn is_like_a_form(body: &[u8]) -> bool {
    body.iter().all(u8::is_ascii_graphic) && body.contains(&b'=')
}

fn shape(shape: Option<TokenShape>) -> &'static str {
    shape.unwrap_or(TokenShape::Other).says()
}

fn shown(text: &str) -> String {
    shown_up_to(text, MAX_SHOWN)
}

/// Cuts a text, and replaces what a terminal would act on.
fn shown_up_to(text: &str, most: usize) -> String {
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut cut: String = text.chars().take(most).map(plain).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}
