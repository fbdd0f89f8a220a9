//! Accepts only the canonical base64 of a MAC. A selector in a request is never ignored.
#![no_main]

use gatekeeper::signature::{Algorithm, BodyScheme, PublicKey, Selector, Signature, Values};
use libfuzzer_sys::fuzz_target;

#[path = "../../tests/suite/support/signer.rs"]
#[allow(dead_code, reason = "the signer serves all targets")]
mod signer;

fuzz_target!(|value: &[u8]| {
    if let Ok(signature) = Signature::parse(value) {
        let text = std::str::from_utf8(value).expect("base64 is ASCII");
        let mac = signer::bytes_of_base64(text);
        let length = match signature.algorithm() {
            Algorithm::HmacSha1 => 20,
            Algorithm::HmacSha256 => 32,
        };
        assert_eq!(mac.len(), length);
        assert_eq!(base64(&mac), text, "another text of the same MAC");
    }
    if let Ok(Ok(key)) = std::str::from_utf8(value).map(PublicKey::parse) {
        assert_eq!(PublicKey::parse(&key.to_base64()), Ok(key), "another spelling, another key");
    }
    for scheme in [BodyScheme::sendgrid(Vec::new(), None), BodyScheme::segment(Vec::new())] {
        let values = |_: &str| value.split(|&byte| byte == b'\n').collect::<Values<'_>>();
        if let Ok(signature) = scheme.read(&values) {
            assert!(scheme.signer(&signature, value).is_none(), "no key signed it");
        }
    }
    let lines = || value.split(|&byte| byte == b'\n');
    for selector in [
        Selector::parse(lines(), std::iter::empty()),
        Selector::parse(std::iter::empty(), lines()),
        Selector::parse(lines(), lines()),
    ] {
        match selector {
            Selector::SharedKey(id) => assert!(!id.is_empty(), "a key without a name"),
            Selector::AuthToken => panic!("a selector in the request is ignored"),
            Selector::Unreadable => {}
        }
    }
});

/// Encodes bit by bit (RFC 4648 section 4).
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: Vec<u8> =
        bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)).collect();
    let mut text: String = bits
        .chunks(6)
        .map(|six| (0..6).fold(0, |value, at| value << 1 | six.get(at).copied().unwrap_or(0)))
        .map(|value| char::from(ALPHABET[usize::from(value)]))
        .collect();
    while text.len() % 4 != 0 {
        text.push('=');
    }
    text
}
