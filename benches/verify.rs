//! Judges the voice webhook TIMES times, so that `exchange.py` can count the instructions of one
//! judgement: `verify signed|forged TIMES`.

#![expect(clippy::unwrap_used, reason = "a bench that cannot start should say so")]

use std::{env, hint::black_box};

use gatekeeper::signature::{
    Algorithm, BodyKind, Key, Keyring, Message, Order, Origin, Parameters, Selector, Signature,
    verify,
};

const URL: &str = "https://hooks.example.com";
const TARGET: &str = "/voice?tenant=7";
const VOICE: &[u8] = include_bytes!("voice.form");
const FORGED: &str = "RSOYDt4T1cUTdK1PDd93/VVr8B8=";

fn main() {
    let [case, times] = env::args().skip(1).collect::<Vec<_>>().try_into().unwrap();
    let is_signed = case == "signed";
    assert!(is_signed || case == "forged");
    let key = Key::new("bench", b"0123456789abcdef0123456789abcdef", Algorithm::HmacSha1).unwrap();
    let tail = Parameters::parse(VOICE).sorted(Order::Bytes);
    let signed = key.sign(format!("{URL}{TARGET}").as_bytes(), &tail);
    let text = if is_signed { &signed } else { FORGED };
    let signature = Signature::parse(text.as_bytes()).unwrap();
    let origin = Origin::parse(URL).unwrap();
    let keyring = Keyring::new(vec![key], None);
    for _ in 0..times.parse::<u32>().unwrap() {
        let message = Message::bind(BodyKind::Form, TARGET.as_bytes(), black_box(VOICE)).unwrap();
        let judged = verify(&message, &[&origin], &keyring, Selector::AuthToken, &signature);
        assert_eq!(judged.is_ok(), is_signed);
    }
}
