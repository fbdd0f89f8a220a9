//! What one judgement costs, without a network, beside the bare HMAC-SHA1 of the same message.
//!
//! `cargo bench --bench core`. Read the ratios, not the times.

#![expect(clippy::unwrap_used, reason = "a bench that cannot start should say so")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use gatekeeper::signature::{
    Algorithm, Key, Keyring, Message, Order, Origin, Parameters, Selector, Shape, Signature, verify,
};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

const TOKEN: &[u8] = b"0123456789abcdef0123456789abcdef";
const URL: &str = "https://hooks.example.com";
const TARGET: &[u8] = b"/voice?tenant=7";

/// A typical voice webhook: 25 parameters, 668 bytes, with the JSON of its CallToken escaped.
const VOICE: &[u8] = b"Called=%2B14155550100&ToState=CA&CallerCountry=US&Direction=inbound&CallerState=CA&ToZip=94105&CallSid=CA1234567890abcdef1234567890abcdef&To=%2B14155550100&CallerZip=94110&ToCountry=US&StirVerstat=TN-Validation-Passed-A&CalledZip=94105&ApiVersion=2010-04-01&CalledCity=SAN+FRANCISCO&CallStatus=ringing&From=%2B14155550123&AccountSid=AC1234567890abcdef1234567890abcdef&CalledCountry=US&CallerCity=SAN+FRANCISCO&ToCity=SAN+FRANCISCO&FromCountry=US&Caller=%2B14155550123&FromCity=SAN+FRANCISCO&CallToken=%7B%22parentCallInfoToken%22%3A%22eyJhbGciOiJFUzI1NiJ9.eyJjYWxsU2lkIjoiQ0EwMCJ9.MEUCIQDX8JzQ0tq3v1bN7mKf2RkYw5%22%2C%22identityHeaderTokens%22%3A%5B%5D%7D&FromState=CA";

struct Case {
    body: Vec<u8>,
    message: Vec<u8>,
    signature: Signature,
}

impl Case {
    fn new(body: Vec<u8>) -> Self {
        let tail = Parameters::parse(&body).sorted(Order::Bytes).to_vec();
        let message = [URL.as_bytes(), TARGET, &tail].concat();
        let signature = Signature::parse(key().sign(&message, b"").as_bytes()).unwrap();
        Self { body, message, signature }
    }

    fn judge(&self, origin: &Origin, keyring: &Keyring, signature: &Signature) -> bool {
        let message = Message::bind(Shape::Form, TARGET, &self.body).unwrap();
        verify(&message, origin, keyring, Selector::AuthToken, signature).is_ok()
    }
}

fn key() -> Key {
    Key::new("bench", TOKEN, Algorithm::HmacSha1).unwrap()
}

fn big() -> Vec<u8> {
    let message = "All+work+and+no+play+makes+Jack+a+dull+boy.+".repeat(1490);
    [b"From=%2B14155550123&Body=", message.as_bytes()].concat()
}

fn core(criterion: &mut Criterion) {
    let origin = Origin::parse(URL).unwrap();
    let keyring = Keyring::new(vec![key()], None);
    let keyed = Hmac::<Sha1>::new_from_slice(TOKEN).unwrap();
    let forged = Signature::parse(b"RSOYDt4T1cUTdK1PDd93/VVr8B8=").unwrap();
    for (name, body) in [("voice", VOICE.to_vec()), ("64KiB", big())] {
        let case = Case::new(body);
        assert!(case.judge(&origin, &keyring, &case.signature));
        assert!(!case.judge(&origin, &keyring, &forged));
        let mut group = criterion.benchmark_group(name);
        group.bench_function("hmac", |bencher| {
            bencher.iter(|| {
                let mut mac = keyed.clone();
                mac.update(black_box(&case.message));
                mac.finalize().into_bytes()
            });
        });
        group.bench_function("verify", |bencher| {
            bencher.iter(|| case.judge(black_box(&origin), &keyring, &case.signature));
        });
        group.bench_function("reject", |bencher| {
            bencher.iter(|| case.judge(black_box(&origin), &keyring, &forged));
        });
        group.finish();
    }
}

criterion_group!(benches, core);
criterion_main!(benches);
