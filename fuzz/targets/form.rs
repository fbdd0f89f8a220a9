//! Compares decoding and sorting with the tests' own signer, for signed and for changed forms.
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

// The input has two lines: the signed body and the received one.
fuzz_target!(|lines: &[u8]| {
    let mut lines = lines.splitn(2, |&byte| byte == b'\n');
    let (Some(signed), Some(sent)) = (lines.next(), lines.next()) else { return };
    let text = |body: &[u8]| {
        signer::signed_text(b"https://hooks.example.com/voice", &signer::pairs_of(body))
    };
    let signature = signer::sign_text(signer::Mac::Sha1, TOKEN, &text(signed));
    assert!(is_accepted(signed, &signature), "a signed form is refused");
    // Names above U+FFFF may be sorted in either of two orders.
    let plain = sent.iter().all(|&byte| byte < 0xF0) && !contains_high_escape(sent);
    if plain {
        assert_eq!(is_accepted(sent, &signature), text(signed) == text(sent));
    }
});

fn contains_high_escape(body: &[u8]) -> bool {
    body.windows(2).any(|pair| pair[0] == b'%' && pair[1].eq_ignore_ascii_case(&b'f'))
}

fn is_accepted(body: &[u8], signature: &str) -> bool {
    let key = Key::new("key", TOKEN.as_bytes(), Algorithm::HmacSha1).unwrap();
    let keyring = Keyring::new(vec![key], None);
    let origin = Origin::parse(ORIGIN).unwrap();
    let message = Message::bind(BodyKind::Form, b"/voice", body).expect("every form is bound");
    let signature = Signature::parse(signature.as_bytes()).unwrap();
    verify(&message, &[&origin], &keyring, Selector::AuthToken, &signature).is_ok()
}
