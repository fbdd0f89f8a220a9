//! Segment's scheme over the wire.

use ring::hmac;

use super::EVENT;
use crate::refusals::{assert_admitted, assert_refused, forbidden};
use crate::support::{gate::Gate, message::Message, upstream::Upstream};

const SECRET: &str = "a shared secret";

fn mac(secret: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
    hmac::sign(&key, body).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn post(body: &[u8]) -> Message {
    Message::post("/segment", "application/json", body)
}

fn gate(upstream: &Upstream, more: &str) -> Gate {
    Gate::with(
        upstream,
        &format!(
            "[[route]]\npath = \"/segment\"\naccess = \"segment\"\n\
             shared_secrets = [\"old\", {{ value = \"{SECRET}\", name = \"new\" }}]\n{more}"
        ),
    )
}

#[test]
fn body_signed_with_any_shared_secret_is_forwarded() {
    let upstream = Upstream::start();
    let gate = gate(&upstream, "");
    for (secret, name) in [(SECRET, "new"), ("old", "shared_secrets[0]")] {
        for body in [EVENT, b"\xff\0", b""] {
            let message = post(body).field("X-Signature", &mac(secret, body));
            assert_eq!(gate.answer(&message).status, 200);
            let outcome = gate.outcome_of(&message);
            assert_eq!((outcome.text("key"), outcome.text("candidate")), (name, ""));
        }
    }
    assert!(!gate.log().contains(SECRET));
}

#[test]
fn connection_field_cannot_remove_the_signature() {
    let upstream = Upstream::start();
    let gate = gate(&upstream, "");
    let mac = mac(SECRET, EVENT);
    let message = post(EVENT).field("X-Signature", &mac).field("Connection", "X-Signature");
    assert_admitted(&gate, &message);
    assert_eq!(upstream.only().values("X-Signature"), [mac]);
}

#[test]
fn other_signatures_methods_and_repeats_are_refused() {
    let upstream = Upstream::start();
    let gate = gate(&upstream, "");
    let good = mac(SECRET, EVENT);
    let malformed = [
        post(EVENT).field("X-Signature", &good.to_uppercase()),
        post(EVENT).field("X-Signature", ""),
        post(EVENT).field("X-Signature", &good[1..]),
        post(EVENT).field("X-Signature", &format!("sha1={good}")),
        post(EVENT).field("X-Signature", &good).field("X-Signature", &good),
    ];
    assert_refused(&gate, &upstream, &forbidden("malformed_signature"), &malformed);
    let mismatched = [
        post(b"[]").field("X-Signature", &good),
        post(EVENT).field("X-Signature", &mac("other", EVENT)),
        post(EVENT).field("X-Signature", &mac("", EVENT)),
    ];
    assert_refused(&gate, &upstream, &forbidden("signature_mismatch"), &mismatched);
    let put = Message { method: "PUT".to_owned(), ..post(EVENT).field("X-Signature", &good) };
    assert_refused(&gate, &upstream, &forbidden("method_not_allowed"), &[put]);
    let unsigned = [post(EVENT), post(EVENT).signed()];
    for message in unsigned {
        assert_eq!(gate.answer(&message).status, 418);
        assert_eq!(gate.outcome_of(&message).reason(), "missing_signature");
    }
}

#[test]
fn repeat_within_the_replay_window_is_refused() {
    let upstream = Upstream::start();
    let gate = gate(&upstream, "replay_window = \"1m\"\nreplay_retries = 0");
    let message = post(EVENT).field("X-Signature", &mac(SECRET, EVENT));
    assert_admitted(&gate, &message);
    let response = gate.answer(&message);
    forbidden("replayed").assert(&response, &gate.outcome_of(&message), "again");
    let other = post(b"[]").field("X-Signature", &mac(SECRET, b"[]"));
    assert_admitted(&gate, &other);
}
