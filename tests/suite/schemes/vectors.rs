//! Sends the vectors that SendGrid's own libraries have judged to the real binary.

use std::{collections::BTreeSet, fmt::Write, fs, path::Path};

use serde::Deserialize;

use crate::support::{
    gate::Gate,
    message::Message,
    sendgrid::{SIGNATURE, TIMESTAMP},
    signer::bytes_of_base64,
    upstream::Upstream,
};

#[derive(Debug, Deserialize)]
struct Vector {
    id: String,
    valid: bool,
    key: String,
    signature: String,
    timestamp: String,
    body_b64: String,
}

#[test]
fn sendgrid_vectors_are_judged_correctly() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/sendgrid.json");
    let vectors: Vec<Vector> = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    assert!(vectors.len() >= 40, "only {} vectors", vectors.len());
    let keys: BTreeSet<&str> = vectors.iter().map(|vector| vector.key.as_str()).collect();
    let keys: Vec<&str> = keys.into_iter().collect();
    let mut routes = String::new();
    for (number, key) in keys.iter().enumerate() {
        writeln!(
            routes,
            "[[route]]\npath = \"/{number}\"\naccess = \"sendgrid\"\nverification_keys = [\"{key}\"]"
        )
        .unwrap();
    }
    let upstream = Upstream::start();
    let gate = Gate::with(&upstream, &routes);
    let mut wrong = Vec::new();
    for vector in &vectors {
        let number = keys.iter().position(|key| *key == vector.key).unwrap();
        let body = bytes_of_base64(&vector.body_b64);
        let message = Message::post(&format!("/{number}"), "application/json", &body)
            .field(SIGNATURE, &vector.signature)
            .field(TIMESTAMP, &vector.timestamp);
        let mut chunked = gate.connect();
        chunked.send(&message.chunked_bytes(7));
        for response in [gate.answer(&message), chunked.response()] {
            if (response.status == 200) != vector.valid {
                wrong.push(format!("{}: {}", vector.id, response.status));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let valid: Vec<_> = vectors.iter().filter(|vector| vector.valid).collect();
    let taken = upstream.wait_for(2 * valid.len());
    assert_eq!(taken.len(), 2 * valid.len(), "the app received what was refused");
    for (vector, recorded) in valid.iter().zip(taken.chunks(2)) {
        let sent = bytes_of_base64(&vector.body_b64);
        assert!(recorded.iter().all(|got| got.body == sent), "{}: other bytes", vector.id);
    }
}
