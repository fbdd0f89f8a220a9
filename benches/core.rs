//! Measures one judgement without a network, compared with the bare HMAC-SHA1 of its message.
//!
//! `cargo bench --bench core`. Read the ratios, not the times.

#![expect(clippy::unwrap_used, reason = "a bench that cannot start should say so")]

use std::{hint::black_box, time::UNIX_EPOCH};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gatekeeper::signature::{
    Accounts, Algorithm, BodyKind, BodyScheme, Key, Keyring, Message, Order, Origin, Parameters,
    PublicKey, QueryOrder, Selector, Signature, Values, VerificationKey, verify,
};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};

const TOKEN: &[u8] = b"0123456789abcdef0123456789abcdef";
const URL: &str = "https://hooks.example.com";
const TARGET: &[u8] = b"/voice?tenant=7";

/// A typical voice webhook: 25 parameters, 668 bytes, with the JSON of its CallToken escaped.
const VOICE: &[u8] = include_bytes!("voice.form");

struct Case {
    body: Vec<u8>,
    message: Vec<u8>,
    signature: Signature,
}

impl Case {
    fn new(body: Vec<u8>) -> Self {
        let tail = Parameters::parse(&body).sorted(Order::Bytes);
        let message = [URL.as_bytes(), TARGET, &tail].concat();
        let signature = Signature::parse(key().sign(&message, b"").as_bytes()).unwrap();
        Self { body, message, signature }
    }

    fn judge(&self, origin: &Origin, keyring: &Keyring, signature: &Signature) -> bool {
        let message = Message::bind(BodyKind::Form, TARGET, &self.body).unwrap();
        verify(&message, &[origin], keyring, Selector::AuthToken, signature).is_ok()
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
        // As in a library that receives the token on each call.
        group.bench_function("hmac from its token", |bencher| {
            bencher.iter(|| {
                let mut mac = Hmac::<Sha1>::new_from_slice(black_box(TOKEN)).unwrap();
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

/// A form with unsorted names and values of ordinary length.
fn parameters(count: usize) -> Vec<u8> {
    let each = |i: usize| format!("Field{:05}=%2B1415555{i:05}", i.wrapping_mul(7919) % 100_003);
    (0..count).map(each).collect::<Vec<_>>().join("&").into_bytes()
}

/// The growth with the number of parameters and with the size of the body: read the slopes.
fn growth(criterion: &mut Criterion) {
    let origin = Origin::parse(URL).unwrap();
    let keyring = Keyring::new(vec![key()], None);
    let mut group = criterion.benchmark_group("parameters");
    for count in [1, 10, 100, 1000] {
        let case = Case::new(parameters(count));
        group.throughput(Throughput::Elements(count.try_into().unwrap()));
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| case.judge(black_box(&origin), &keyring, &case.signature));
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("body");
    for size in [1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18] {
        let case = Case::new([b"Body=".to_vec(), vec![b'x'; size]].concat());
        group.throughput(Throughput::Bytes(size.try_into().unwrap()));
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| case.judge(black_box(&origin), &keyring, &case.signature));
        });
    }
    group.finish();
}

/// The growth with the number of keys and of subaccounts.
fn growth_of_keys(criterion: &mut Criterion) {
    let origin = Origin::parse(URL).unwrap();
    let forged = Signature::parse(b"RSOYDt4T1cUTdK1PDd93/VVr8B8=").unwrap();
    let case = Case::new(VOICE.to_vec());
    let mut group = criterion.benchmark_group("keys, forged");
    for count in [1, 4, 16] {
        let keyring = Keyring::new((0..count).map(|_| key()).collect(), None);
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| case.judge(black_box(&origin), &keyring, &forged));
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("subaccounts");
    for count in [1, 100, 10_000] {
        let mut accounts = Accounts::default();
        accounts.insert("AC1234567890abcdef1234567890abcdef", key());
        (1..count).for_each(|i| accounts.insert(&format!("AC{i:032x}"), key()));
        let keyring = Keyring::new(Vec::new(), Some(accounts.into()));
        assert!(case.judge(&origin, &keyring, &case.signature));
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| case.judge(black_box(&origin), &keyring, &case.signature));
        });
    }
    group.finish();
}

/// The most expensive forged requests within the limits: the table in SECURITY.md.
fn worst(criterion: &mut Criterion) {
    const MAX_BODY_BYTES: usize = 256 * 1024; // the default of max_body_bytes
    let forged = Signature::parse(b"RSOYDt4T1cUTdK1PDd93/VVr8B8=").unwrap();
    let origin = Origin::parse(URL).unwrap();
    let repeated = |piece: &str| piece.repeat(MAX_BODY_BYTES.div_ceil(piece.len())).into_bytes();
    let names: String = (0..MAX_BODY_BYTES / 7)
        .map(|at| format!("{:05x}=&", at.wrapping_mul(40_503) % 0xf_ffff))
        .collect();
    let quotes = format!("/voice?{}", "a=%27'+%20%40%3A&".repeat(470));
    let hashed = |body: &[u8]| {
        let digest = Sha256::digest(body);
        let hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{quotes}bodySHA256={hash}")
    };
    // Two names whose order depends on how they are encoded.
    let text = [&repeated("x"), &b"&%F0%9F%98%80=1&%EF%BD%9E=2"[..]].concat();
    let cases = [
        ("a voice webhook", "/voice".to_owned(), VOICE.to_vec()),
        ("a query of 8 KB", quotes.clone(), VOICE.to_vec()),
        ("five names in any order", "/voice?a=1&b=2&c=3&d=4&e=5".to_owned(), VOICE.to_vec()),
        ("a value of 256 KiB", "/voice".to_owned(), repeated("x")),
        ("256 KiB of separators", "/voice".to_owned(), repeated("&=")),
        ("256 KiB of names", "/voice".to_owned(), names.into_bytes()),
        ("all at once", hashed(&text), text),
    ];
    for keys in [1, 16] {
        let keyring = Keyring::new((0..keys).map(|_| key()).collect(), None);
        let mut group = criterion.benchmark_group(format!("worst cases, {keys} keys"));
        for (name, target, body) in &cases {
            let judge = || {
                let message = Message::bind(BodyKind::Form, target.as_bytes(), body).unwrap();
                // Adds nothing to the other cases, whose queries have more names or none.
                let message = message.with_query_order(QueryOrder::Any);
                verify(&message, &[&origin], &keyring, Selector::AuthToken, &forged).is_ok()
            };
            assert!(!judge());
            group.sample_size(10).bench_function(*name, |bencher| bencher.iter(judge));
        }
        group.finish();
    }
}

/// A forged event of SendGrid: an ECDSA verification for each key.
fn sendgrid(criterion: &mut Criterion) {
    const KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==";
    const SIGNATURE: &[u8] = b"MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM=";
    let field = |name: &str| match name {
        "X-Twilio-Email-Event-Webhook-Signature" => Values::from_slice(&[SIGNATURE]),
        _ => Values::from_slice(&[b"1600112502"]),
    };
    for (keys, size) in [(1, 1 << 10), (8, 1 << 10), (1, 256 << 10)] {
        let public = PublicKey::parse(KEY).unwrap();
        let keys = (0..keys).map(|_| VerificationKey::new("bench", public)).collect::<Vec<_>>();
        let name = format!("{} keys, {size} bytes", keys.len());
        let scheme = BodyScheme::sendgrid(keys, None);
        let signature = scheme.read(&field).unwrap();
        let text = [signature.prefix(), &vec![b'x'; size]].concat();
        let judge = || scheme.verify(&signature, black_box(&text), UNIX_EPOCH).is_ok();
        assert!(!judge());
        let mut group = criterion.benchmark_group("forged event of SendGrid");
        group.sample_size(10).bench_function(name, |bencher| bencher.iter(judge));
        group.finish();
    }
}

criterion_group!(benches, core, growth, growth_of_keys, worst, sendgrid);
criterion_main!(benches);
