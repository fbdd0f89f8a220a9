//! The signature header: lost, changed on the way, or written in another way.

use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{
        DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig,
        general_purpose::STANDARD as CANONICAL,
    },
};

use super::{codec::hex_pair, facts::Facts, label::Label, search::Read};
use crate::http1::FieldName;
use crate::signature::Signature;

/// Most signatures that are read from the fields of one request.
const MAX_SIGNATURES: usize = 6;

/// Every signature that the request may carry, with how it was altered.
pub(super) fn signatures(facts: &Facts<'_>) -> Vec<Read> {
    let fields = &facts.case.head.fields;
    let values: Vec<&[u8]> = fields.all(FieldName::TwilioSignature).collect();
    let mut found: Vec<Read> = Vec::new();
    for value in &values {
        let repeated = (values.len() > 1).then_some(Label::SignatureHeaderAltered);
        read(value, repeated, &mut found);
    }
    if found.is_empty() && values.iter().all(|value| value.trim_ascii().is_empty()) {
        for field in fields.iter().filter(|field| is_renamed(field.raw_name)) {
            read(field.value, Some(Label::SignatureHeaderLost), &mut found);
            found.iter_mut().for_each(|read| read.label = Some(Label::SignatureHeaderLost));
        }
    }
    found.truncate(MAX_SIGNATURES);
    found
}

/// A proxy may write the name with underscores, or keep the original under a longer one.
fn is_renamed(name: &[u8]) -> bool {
    let name = name.to_ascii_lowercase();
    let name: Vec<u8> = name.into_iter().filter(u8::is_ascii_alphanumeric).collect();
    name.ends_with(b"twiliosignature")
}

fn read(value: &[u8], label: Option<Label>, found: &mut Vec<Read>) {
    let add = |found: &mut Vec<Read>, text: &[u8], label, detail| {
        let Ok(signature) = Signature::parse(text) else { return false };
        if found.iter().all(|known| known.signature.mac() != signature.mac()) {
            found.push(Read { signature, label, detail });
        }
        true
    };
    if add(found, value, label, "") {
        return;
    }
    for part in value.split(|byte| b", ;\"'\t<>".contains(byte)).filter(|part| !part.is_empty()) {
        let bare = part.strip_prefix(b"sha1=").or(part.strip_prefix(b"sha256=")).unwrap_or(part);
        if let Some(text) = from_hex(bare) {
            add(found, text.as_bytes(), Some(Label::SignedWrongly), "the signature is in hex");
        } else if let Some(text) = from_loose_base64(bare) {
            add(found, text.as_bytes(), Some(Label::SignatureHeaderAltered), "");
        }
    }
}

/// The canonical text of a MAC written in hex, or in base64 of hex.
fn from_hex(text: &[u8]) -> Option<String> {
    let inner = CANONICAL.decode(text).ok().filter(|inner| inner.iter().all(u8::is_ascii_hexdigit));
    let text = inner.as_deref().unwrap_or(text);
    let (pairs, rest) = text.as_chunks::<2>();
    if !matches!(pairs.len(), 20 | 32) || !rest.is_empty() {
        return None;
    }
    let mac: Option<Vec<u8>> = pairs.iter().map(|[high, low]| hex_pair(*high, *low)).collect();
    mac.map(|mac| CANONICAL.encode(mac))
}

/// The canonical text of a MAC in base64 without padding, URL-safe or percent-encoded.
fn from_loose_base64(text: &[u8]) -> Option<String> {
    let text = super::codec::unescape(text, |_| true);
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let trimmed: Vec<u8> = text.into_iter().filter(|&byte| byte != b'=').collect();
    let engines = [&STANDARD, &URL_SAFE].map(|alphabet| GeneralPurpose::new(alphabet, config));
    let mac = engines.iter().find_map(|engine| engine.decode(&trimmed).ok())?;
    matches!(mac.len(), 20 | 32).then(|| CANONICAL.encode(mac))
}
