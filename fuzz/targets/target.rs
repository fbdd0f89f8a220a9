//! A signature for one target is accepted for another only if both decode alike.
#![no_main]

use gatekeeper::signature::{
    Algorithm, Key, Keyring, Message, Origin, Selector, BodyKind, Signature, verify,
};
use libfuzzer_sys::fuzz_target;

#[path = "../../tests/suite/support/signer.rs"]
#[allow(dead_code, reason = "the signer serves all targets")]
mod signer;

const TOKEN: &str = "7d3c9f1e5a2b48060c1d9e8f7a6b5c40";
const ORIGIN: &str = "https://hooks.example.com";

// The input has two lines: the signed target and the received one.
fuzz_target!(|lines: &[u8]| {
    let mut lines = lines.splitn(2, |&byte| byte == b'\n');
    let (Some(signed), Some(sent)) = (lines.next(), lines.next()) else { return };
    if !signed.starts_with(b"/") || !sent.starts_with(b"/") {
        return;
    }
    let signature =
        signer::sign_text(signer::Mac::Sha1, TOKEN, &[ORIGIN.as_bytes(), signed].concat());
    // The hash of another body than the empty one is refused, whoever signed it.
    assert!(is_accepted(signed, &signature) || !is_bound(signed), "a signed target is refused");
    if is_accepted(sent, &signature) {
        assert_eq!(meaning(signed), meaning(sent), "accepted with another meaning");
    }
});

/// The path, and the decoded query with a repeated body hash once.
fn meaning(target: &[u8]) -> (Vec<u8>, Vec<signer::Pair>) {
    let mut halves = target.splitn(2, |&byte| byte == b'?');
    let path = halves.next().unwrap_or_default().to_vec();
    let mut pairs: Vec<signer::Pair> = Vec::new();
    for pair in signer::pairs_of(halves.next().unwrap_or_default()) {
        if pair.0 != b"bodySHA256" || !pairs.contains(&pair) {
            pairs.push(pair);
        }
    }
    (path, pairs)
}

fn is_bound(target: &[u8]) -> bool {
    Message::bind(BodyKind::Get, target, b"").is_ok()
}

fn is_accepted(target: &[u8], signature: &str) -> bool {
    let key = Key::new("key", TOKEN.as_bytes(), Algorithm::HmacSha1).unwrap();
    let keyring = Keyring::new(vec![key], None);
    let origin = Origin::parse(ORIGIN).unwrap();
    let Ok(message) = Message::bind(BodyKind::Get, target, b"") else { return false };
    let signature = Signature::parse(signature.as_bytes()).unwrap();
    verify(&message, &[&origin], &keyring, Selector::AuthToken, &signature).is_ok()
}
