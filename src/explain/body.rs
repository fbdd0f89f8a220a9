//! A body that the URL covers by its hash, or does not cover at all.

use serde_json::{Value, ser::PrettyFormatter};
use sha2::{Digest, Sha256};

use super::{
    codec::{hex_pair, pairs, replace},
    facts::Facts,
    label::Label,
};
use crate::signature::BodyKind;

/// Names what is wrong with the body where the URL alone was signed.
pub(super) fn label(facts: &Facts<'_>, query: &[u8]) -> Option<Label> {
    let body = facts.case.body;
    let declared = declared_hash(query);
    let fits = declared.is_some_and(|hash| is_hash(&hash, body));
    match (facts.kind, declared) {
        (BodyKind::Form, None) if body.is_empty() => Some(Label::Method),
        (BodyKind::Get | BodyKind::Handshake, Some(_)) | (_, None) if body.is_empty() => None,
        (BodyKind::Other, None) => Some(Label::JsonWithoutHash),
        (_, None) => Some(Label::BodyAltered),
        (BodyKind::Opaque, Some(_)) if fits => Some(Label::ContentTypeChanged),
        (BodyKind::Get | BodyKind::Handshake, Some(_)) if fits => Some(Label::Method),
        (_, Some(_)) if fits => None,
        (_, Some(_)) if body.is_empty() => Some(Label::BodyLost),
        (_, Some(hash)) => Some(changed(&hash, body)),
    }
}

/// The hash in the query, if it is one.
pub(super) fn declared_hash(query: &[u8]) -> Option<[u8; 32]> {
    let (_, value) = pairs(query).into_iter().find(|(name, _)| name == b"bodySHA256")?;
    let (digits, rest) = value.as_chunks::<2>();
    let bytes: Option<Vec<u8>> = digits.iter().map(|[high, low]| hex_pair(*high, *low)).collect();
    bytes?.try_into().ok().filter(|_| rest.is_empty())
}

pub(super) fn is_hash(hash: &[u8; 32], body: &[u8]) -> bool {
    Sha256::digest(body)[..] == hash[..]
}

/// Names how a body came to have another hash.
pub(super) fn changed(hash: &[u8; 32], body: &[u8]) -> Label {
    let is = |text: &[u8]| is_hash(hash, text);
    let ends: [&[u8]; 6] = [b"\n", b"\r\n", b" ", b"\n\n", b"\0", b"\t"];
    let (bare, bom) = (body.trim_ascii(), b"\xef\xbb\xbf");
    if ends.iter().any(|end| is(&[body, end].concat()) || is(&[bare, end].concat()))
        || is(bare)
        || is(&[bom, body].concat())
        || body.strip_prefix(bom).is_some_and(is)
    {
        return Label::BodyTrimmed;
    }
    let crlf = replace(&replace(body, b"\r\n", b"\n"), b"\n", b"\r\n");
    if is(&crlf) || is(&replace(body, b"\r\n", b"\n")) {
        return Label::BodyAltered;
    }
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return Label::BodyAltered };
    let texts = serialised(&value).into_iter().chain(respelled(body));
    let mut texts = texts.flat_map(|text| [text.clone(), [&text[..], b"\n"].concat()]);
    if texts.any(|text| is(&text)) || is_canonical(&value, body) {
        Label::JsonReserialised
    } else {
        Label::BodyAltered
    }
}

/// Whether a serialiser wrote this body: sorted, or with a serialiser's blanks.
fn is_canonical(value: &Value, body: &[u8]) -> bool {
    serialised(value).iter().any(|text| text == body.trim_ascii())
}

/// The JSON as it may have been before a serialiser wrote it anew; nothing for another body.
pub(super) fn rewritten(body: &[u8]) -> Vec<Vec<u8>> {
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return Vec::new() };
    let mut texts = respelled(body.trim_ascii());
    texts.extend(serialised(&value));
    texts
}

/// The value as the usual libraries write it.
fn serialised(value: &Value) -> Vec<Vec<u8>> {
    let compact = value.to_string().into_bytes();
    let mut texts = vec![spaced(&compact, b", ", b": "), spaced(&compact, b",", b": ")];
    for indent in [&b"  "[..], b"    ", b"\t", b" "] {
        let mut text = Vec::new();
        let mut writer =
            serde_json::Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(indent));
        if serde::Serialize::serialize(value, &mut writer).is_ok() {
            texts.push(replace(&text, b"\n", b"\r\n"));
            texts.push(text);
        }
    }
    texts.push(compact);
    let escaped: Vec<Vec<u8>> = texts.iter().map(|text| ascii_only(text)).collect();
    texts.extend(escaped);
    let slashes: Vec<Vec<u8>> = texts.iter().map(|text| replace(text, b"/", b"\\/")).collect();
    texts.extend(slashes);
    let html: Vec<Vec<u8>> = texts.iter().map(|text| html_safe(text)).collect();
    texts.extend(html);
    texts
}

/// The body's own text with blanks between its tokens changed: the order of its names stays.
fn respelled(body: &[u8]) -> Vec<Vec<u8>> {
    let compact = spaced(body, b",", b":");
    let mut texts = vec![
        spaced(body, b", ", b": "),
        spaced(body, b",", b": "),
        replace(body, b"\\/", b"/"),
        replace(&compact, b"\\/", b"/"),
        replace(&compact, b"/", b"\\/"),
        ascii_only(&compact),
        unicode(&compact),
        unicode(body),
        html_safe(&compact),
    ];
    texts.extend([&b"  "[..], b"    ", b"\t"].into_iter().map(|indent| indented(&compact, indent)));
    texts.push(compact);
    texts
}

/// Walks over the tokens of JSON: `each` gets each byte outside of strings and each opening quote;
/// the rest of a string is copied.
fn tokens(json: &[u8], mut each: impl FnMut(u8, &mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len());
    let (mut quoted, mut escaped) = (false, false);
    for &byte in json {
        if quoted {
            out.push(byte);
            (quoted, escaped) = match byte {
                _ if escaped => (true, false),
                b'\\' => (true, true),
                b'"' => (false, false),
                _ => (true, false),
            };
        } else {
            quoted = byte == b'"';
            each(byte, &mut out);
        }
    }
    out
}

fn spaced(json: &[u8], comma: &[u8], colon: &[u8]) -> Vec<u8> {
    tokens(json, |byte, out| match byte {
        b',' => out.extend_from_slice(comma),
        b':' => out.extend_from_slice(colon),
        _ if byte.is_ascii_whitespace() => {}
        _ => out.push(byte),
    })
}

fn indented(compact: &[u8], indent: &[u8]) -> Vec<u8> {
    let mut depth = 0_usize;
    let mut opened = false;
    tokens(compact, |byte, out| {
        let line = |depth: usize, out: &mut Vec<u8>| {
            out.push(b'\n');
            out.extend_from_slice(&indent.repeat(depth.min(32)));
        };
        let closes = matches!(byte, b'}' | b']');
        if closes {
            depth = depth.saturating_sub(1);
        }
        if opened != closes && (opened || closes) {
            line(depth, out);
        }
        opened = matches!(byte, b'{' | b'[');
        depth = depth.saturating_add(usize::from(opened));
        out.push(byte);
        match byte {
            b',' => line(depth, out),
            b':' => out.push(b' '),
            _ => {}
        }
    })
}

/// Characters beyond ASCII as `\uXXXX`.
fn ascii_only(json: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(json);
    let mut out = String::with_capacity(json.len());
    for character in text.chars() {
        if character.is_ascii() {
            out.push(character);
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out.into_bytes()
}

/// `\uXXXX` as characters.
fn unicode(json: &[u8]) -> Vec<u8> {
    serde_json::from_slice::<Value>(json).map_or_else(
        |_| json.to_vec(),
        |_| {
            let text = String::from_utf8_lossy(json);
            let mut parts = text.split("\\u");
            let mut units: Vec<u16> = Vec::new();
            let mut out = parts.next().unwrap_or_default().to_owned();
            for part in parts {
                let (digits, rest) = part.split_at_checked(4).unwrap_or((part, ""));
                units.extend(u16::from_str_radix(digits, 16).ok());
                if !rest.is_empty() || units.len() > 1 {
                    out.push_str(&String::from_utf16_lossy(&units));
                    units.clear();
                }
                out.push_str(rest);
            }
            out.push_str(&String::from_utf16_lossy(&units));
            out.into_bytes()
        },
    )
}

/// As Go writes JSON for HTML.
fn html_safe(json: &[u8]) -> Vec<u8> {
    let text = replace(&replace(json, b"<", b"\\u003c"), b">", b"\\u003e");
    replace(&text, b"&", b"\\u0026")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label_of(signed: &str, arrived: &str) -> Label {
        let hash = Sha256::digest(signed.as_bytes()).into();
        changed(&hash, arrived.as_bytes())
    }

    #[test]
    fn a_serialiser_or_a_trimmer_is_recognised() {
        for (signed, arrived, label) in [
            ("{\"b\": 1, \"a\": [2, 3]}", "{\"b\":1,\"a\":[2,3]}", Label::JsonReserialised),
            ("{\"b\":1,\"a\":[2,3]}", "{\"b\": 1, \"a\": [2, 3]}", Label::JsonReserialised),
            ("{\"b\":\"x/y\"}", "{\"b\":\"x\\/y\"}", Label::JsonReserialised),
            (
                "{\n  \"b\": {},\n  \"a\": [\n    1\n  ]\n}",
                "{\"b\":{},\"a\":[1]}",
                Label::JsonReserialised,
            ),
            ("{\"a\":1}\n", "{\"a\":1}", Label::BodyTrimmed),
            ("{\"b\":1,\"a\":2.0}", "{\"b\":1,  \"a\":3}", Label::BodyAltered),
        ] {
            assert_eq!(label_of(signed, arrived), label, "{signed}");
        }
    }
}
