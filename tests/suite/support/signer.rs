//! An independent, naive implementation of Twilio's scheme, written from its documentation. Shares
//! no code with the gate: another HMAC, decoder and sort.

use ring::{digest, hmac};

/// A decoded name and its decoded value.
pub(crate) type Pair = (Vec<u8>, Vec<u8>);

/// The two MACs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mac {
    Sha1,
    Sha256,
}

/// The `X-Twilio-Signature` of a request for `url` with these parameters.
pub(crate) fn sign(mac: Mac, token: &str, url: &[u8], pairs: &[Pair]) -> String {
    sign_text(mac, token, &signed_text(url, pairs))
}

/// The same for a given text.
pub(crate) fn sign_text(mac: Mac, token: &str, text: &[u8]) -> String {
    let algorithm = match mac {
        Mac::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        Mac::Sha256 => hmac::HMAC_SHA256,
    };
    let key = hmac::Key::new(algorithm, token.as_bytes());
    base64(hmac::sign(&key, text).as_ref())
}

/// The URL, then each name with each of its values, sorted, repeats once.
pub(crate) fn signed_text(url: &[u8], pairs: &[Pair]) -> Vec<u8> {
    let mut names: Vec<&Vec<u8>> = pairs.iter().map(|(name, _)| name).collect();
    names.sort();
    names.dedup();
    let mut text = url.to_vec();
    for name in names {
        let own = pairs.iter().filter(|(other, _)| other == name);
        let mut values: Vec<&Vec<u8>> = own.map(|(_, value)| value).collect();
        values.sort();
        values.dedup();
        for value in values {
            text.extend_from_slice(name);
            text.extend_from_slice(value);
        }
    }
    text
}

/// The decoded pairs of a form or a query, in order, with repeats.
pub(crate) fn pairs_of(encoded: &[u8]) -> Vec<Pair> {
    let segments = encoded.split(|&byte| byte == b'&').filter(|segment| !segment.is_empty());
    segments
        .map(|segment| {
            let end = segment.iter().position(|&byte| byte == b'=').unwrap_or(segment.len());
            let value = segment.get(end + 1..).unwrap_or_default();
            (decoded(&segment[..end]), decoded(value))
        })
        .collect()
}

fn decoded(encoded: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut at = 0;
    while at < encoded.len() {
        let escape = encoded.get(at + 1..at + 3).filter(|_| encoded[at] == b'%');
        match escape.and_then(byte_of_hex) {
            Some(byte) => {
                bytes.push(byte);
                at += 3;
            }
            None => {
                bytes.push(if encoded[at] == b'+' { b' ' } else { encoded[at] });
                at += 1;
            }
        }
    }
    bytes
}

fn byte_of_hex(digits: &[u8]) -> Option<u8> {
    let all_hex = digits.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(digits).ok().filter(|_| all_hex)?;
    u8::from_str_radix(text, 16).ok()
}

/// The SHA-256 of a body, as `bodySHA256` has it.
pub(crate) fn sha256_hex(body: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, body);
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut padded = [0; 4];
        padded[1..=chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes(padded);
        for place in 0..=chunk.len() {
            let index = usize::try_from(bits >> (18 - 6 * place) & 63).unwrap();
            text.push(char::from(ALPHABET[index]));
        }
        text.push_str(&"=="[chunk.len() - 1..]);
    }
    text
}

/// The bytes that base64 stands for; anything outside its alphabet is skipped.
pub(crate) fn bytes_of_base64(text: &str) -> Vec<u8> {
    let value = |character: char| match character {
        'A'..='Z' => Some(u32::from(character) - u32::from('A')),
        'a'..='z' => Some(u32::from(character) - u32::from('a') + 26),
        '0'..='9' => Some(u32::from(character) - u32::from('0') + 52),
        '+' => Some(62),
        '/' => Some(63),
        _ => None,
    };
    let sixes: Vec<u32> = text.chars().filter_map(value).collect();
    let quanta = sixes.chunks(4).flat_map(|quantum| {
        let bits = (0..4).fold(0, |bits, at| bits << 6 | quantum.get(at).copied().unwrap_or(0));
        bits.to_be_bytes()[1..quantum.len()].to_vec()
    });
    quanta.collect()
}

#[test]
fn signer_reproduces_twilios_documented_signatures() {
    let form = b"CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212";
    let url = b"https://mycompany.com/myapp.php?foo=1&bar=2";
    let signature = sign(Mac::Sha1, "12345", url, &pairs_of(form));
    assert_eq!(signature, "RSOYDt4T1cUTdK1PDd93/VVr8B8=");
}

#[test]
fn signer_base64_matches_rfc_4648() {
    // RFC 4648, section 10
    for (bytes, text) in
        [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
    {
        assert_eq!(base64(bytes.as_bytes()), text);
        assert_eq!(bytes_of_base64(text), bytes.as_bytes());
    }
    assert_eq!(
        sha256_hex(b"hi"),
        "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4"
    );
}

/// What must not be shown of a request: its signatures, and the values of its query and its body,
/// as they came and decoded. Values of up to three characters say nothing.
pub(crate) fn values_of(request: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(request);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let target = head.split(' ').nth(1).unwrap_or_default();
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let mut values: Vec<String> = head
        .lines()
        .filter(|line| line.to_ascii_lowercase().contains("signature"))
        .filter_map(|line| line.split_once(':').map(|(_, value)| value.trim().to_owned()))
        .collect();
    for encoded in [query, body] {
        values
            .extend(encoded.split('&').filter_map(|part| Some(part.split_once('=')?.1.to_owned())));
        let decoded = pairs_of(encoded.as_bytes()).into_iter();
        values.extend(decoded.map(|(_, value)| String::from_utf8_lossy(&value).into_owned()));
    }
    let account = |value: &str| value.starts_with("AC") && value.len() == 34;
    values.retain(|value| value.len() > 3 && !account(value));
    values
}
