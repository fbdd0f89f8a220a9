//! Requests to a route whose sender signs the body and no URL: what became of the body, of the
//! header fields or of the key.

use std::collections::HashSet;

use smallvec::SmallVec;

use super::{
    Explanation, Mistake, body, codec::replace, facts::Facts, label::Label, search::MAX_HASHED,
};
use crate::http1::FieldName;
use crate::routes::Access;
use crate::signature::{BodyKey, BodyScheme, BodySignature};

/// Most verifications of one search. One of ECDSA takes some 100 microseconds.
const MAX_VERIFICATIONS: usize = 200;

/// Explains a request to a route of `scheme`.
pub(super) fn explain(facts: &Facts<'_>, scheme: &BodyScheme) -> Explanation {
    let mut trial = Trial { facts, scheme, verifications: 0, hashed: 0 };
    let mistakes = match scheme.read(&|name| facts.case.head.fields.named(name).collect()) {
        Err(_) => vec![trial.mistake(trial.unreadable(), false, "")],
        Ok(signature) => trial.of_signed(&signature),
    };
    let route = facts.route.map(|route| route.number);
    Explanation { mistakes, macs: trial.verifications, hashed: trial.hashed, route }
}

struct Trial<'t, 'a> {
    facts: &'t Facts<'a>,
    scheme: &'t BodyScheme,
    verifications: usize,
    hashed: usize,
}

impl<'t> Trial<'t, '_> {
    /// Names the mistakes of a request with a readable signature.
    fn of_signed(&mut self, signature: &BodySignature) -> Vec<Mistake> {
        let body = self.facts.case.body;
        if self.signer(self.scheme, signature, body).is_some() {
            let labels = self.of_proven();
            return labels.map(|label| self.mistake(label, true, "")).collect();
        }
        if let Some(key) = self.foreign_signer(signature) {
            let name = key.name.to_string();
            return vec![self.mistake(Label::OtherToken, true, &name)];
        }
        let changed = changes(body)
            .into_iter()
            .find_map(|(label, text)| self.signer(self.scheme, signature, &text).map(|_| label));
        if let Some(label) = changed {
            return vec![self.mistake(label, true, "")];
        }
        self.hints().into_iter().map(|label| self.mistake(label, false, "")).collect()
    }

    /// The mistake with a signature that is right.
    fn of_proven(&self) -> impl Iterator<Item = Label> + use<> {
        let head = self.facts.case.head;
        let accepts = self.facts.route.is_none_or(|route| route.accepts(head.method()));
        let coded = head.fields.contains(FieldName::ContentEncoding);
        let typed_twice = head.fields.all(FieldName::ContentType).nth(1).is_some();
        let found = [
            (!self.facts.host_is_allowed()).then_some(Label::HostRewritten),
            (!accepts).then_some(Label::Method),
            coded.then_some(Label::BodyReencoded),
            typed_twice.then_some(Label::ContentTypeChanged),
        ];
        found.into_iter().flatten()
    }

    /// The reason for which the fields cannot be read.
    fn unreadable(&self) -> Label {
        let fields = &self.facts.case.head.fields;
        let values = |name: &&str| fields.named(name).collect::<SmallVec<[&[u8]; 1]>>();
        let names = self.scheme.fields();
        let all: Vec<_> = names.iter().map(values).collect();
        if all.iter().any(|values| values.iter().all(|value| value.is_empty())) {
            return Label::SignatureHeaderLost;
        }
        let is_mac =
            all.first().and_then(|values| values.first()).is_some_and(|v| looks_like_mac(v));
        if is_mac { Label::SignedWrongly } else { Label::SignatureHeaderAltered }
    }

    /// The likeliest mistakes where no key signed anything near.
    fn hints(&self) -> Vec<Label> {
        let body = self.facts.case.body;
        let mut labels = Vec::new();
        if body.is_empty() {
            labels.push(Label::BodyLost);
        } else if self.scheme.name() == "sendgrid" && is_json(body) {
            if !body.ends_with(b"\r\n") {
                labels.push(Label::BodyTrimmed);
            }
            labels.push(Label::JsonReserialised);
        }
        labels.push(Label::WrongToken);
        labels
    }

    /// The key of another route of the same scheme that signed the body.
    fn foreign_signer(&mut self, signature: &BodySignature) -> Option<&'t BodyKey> {
        let body = self.facts.case.body;
        let routes = self.facts.case.table.routes();
        routes.iter().find_map(|route| match &route.access {
            Access::Body(other) if other.name() == self.scheme.name() => {
                self.signer(other, signature, body)
            }
            _ => None,
        })
    }

    /// The key that signed this body, unless the budget is used up.
    fn signer<'s>(
        &mut self,
        scheme: &'s BodyScheme,
        signature: &BodySignature,
        body: &[u8],
    ) -> Option<&'s BodyKey> {
        let cost = scheme.keys().len();
        let length = body.len().saturating_mul(cost);
        let (verifications, hashed) =
            (self.verifications.saturating_add(cost), self.hashed.saturating_add(length));
        if verifications > MAX_VERIFICATIONS || hashed > MAX_HASHED {
            return None;
        }
        (self.verifications, self.hashed) = (verifications, hashed);
        scheme.signer(signature, &[signature.prefix(), body].concat())
    }

    fn mistake(&self, label: Label, proven: bool, key: &str) -> Mistake {
        let (says, cure) = sentences(label, self.scheme, key);
        let filled = |text: String| text.replace("{host}", self.facts.host);
        Mistake { label, proven, says: filled(says), cure: filled(cure), signed: None }
    }
}

/// The mistake and its cure, in a sentence each.
fn sentences(label: Label, scheme: &BodyScheme, key: &str) -> (String, String) {
    let fields = scheme.fields().join(" and ");
    let keys = if scheme.name() == "segment" { "shared_secrets" } else { "verification_keys" };
    let row = ROWS.iter().find(|(known, ..)| *known == label);
    let (says, cure) = row.map_or((label.says(), label.cure()), |(_, says, cure)| (says, cure));
    let fill = |text: &str| {
        text.replace("{fields}", &fields).replace("{keys}", keys).replace("{key}", key)
    };
    (fill(says), fill(cure))
}

const UNTOUCHED: &str = "let nothing in front read and rewrite the body: every byte is signed";

/// The sentences that differ from those for Twilio's scheme.
const ROWS: [(Label, &str, &str); 9] = [
    (
        Label::BodyTrimmed,
        "the line end after the body, or a blank around it, is missing or was added: it is signed",
        UNTOUCHED,
    ),
    (
        Label::JsonReserialised,
        "the JSON was read and written anew on the way, and other bytes were signed",
        UNTOUCHED,
    ),
    (
        Label::OtherToken,
        "the key \"{key}\" signed it, which is configured for another route: it is another webhook's",
        "add that key to the {keys} of this route, or send that webhook to its own route",
    ),
    (
        Label::WrongToken,
        "no configured key signed this body: most likely the key is another webhook's, or the body was changed",
        "copy the key of this very webhook into {keys}; let nothing in front rewrite the body",
    ),
    (
        Label::SignatureHeaderLost,
        "of {fields}, one did not arrive, or arrived empty",
        "let the proxy in front pass {fields} unchanged; or the request is not from this sender",
    ),
    (
        Label::SignatureHeaderAltered,
        "of {fields}, one arrived changed: repeated, joined, quoted or cut",
        "let the proxy in front pass {fields} once and unchanged",
    ),
    (
        Label::SignedWrongly,
        "the signature has the length of a MAC: this sender signs in another way",
        "sign as this sender does: SendGrid with ECDSA on P-256 over timestamp and body, Segment with HMAC-SHA1 in small hex",
    ),
    (Label::Method, "the method does not fit: this sender sends POST", "send a POST"),
    (
        Label::BodyReencoded,
        "the body came with a Content-Encoding, which is not signed",
        "let the proxy in front send the body as it came",
    ),
];

/// Bodies that may have been signed in place of this one, the likeliest first.
fn changes(body: &[u8]) -> Vec<(Label, Vec<u8>)> {
    let bare = body.trim_ascii();
    let mut texts: Vec<(Label, Vec<u8>)> = Vec::new();
    for end in [&b"\r\n"[..], b"\n", b"", b"\r\n\r\n", b" "] {
        texts.push((Label::BodyTrimmed, [bare, end].concat()));
        texts.push((Label::BodyTrimmed, [body, end].concat()));
    }
    let feeds = replace(body, b"\r\n", b"\n");
    texts.push((Label::BodyAltered, replace(&feeds, b"\n", b"\r\n")));
    texts.push((Label::BodyAltered, feeds));
    for text in body::rewritten(body) {
        // SendGrid writes one event a line, and a line end behind the last.
        let lines = [replace(&text, b"},{", b"},\r\n{"), b"\r\n".to_vec()].concat();
        texts.push((Label::JsonReserialised, lines));
        texts.push((Label::JsonReserialised, [&text[..], b"\n"].concat()));
        texts.push((Label::JsonReserialised, text));
    }
    let mut seen = HashSet::from([body.to_vec()]);
    texts.retain(|(_, text)| seen.insert(text.clone()));
    texts
}

fn is_json(body: &[u8]) -> bool {
    matches!(body.trim_ascii(), [b'{' | b'[', .., b'}' | b']'])
}

/// Hex or base64 of 20 or 32 bytes.
fn looks_like_mac(value: &[u8]) -> bool {
    let hex = value.iter().all(u8::is_ascii_hexdigit) && matches!(value.len(), 40 | 64);
    let base64 = value.ends_with(b"=") && matches!(value.len(), 28 | 44);
    hex || base64
}
