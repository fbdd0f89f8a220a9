//! Requests judged by their signature, key and account; replays; and the log entry of an admitted one.

use super::{assert_admitted, assert_refused, forbidden};
use crate::support::{
    ORIGIN, TOKEN,
    gate::{Gate, guarded},
    message::Message,
    signer::{self, Mac},
    upstream::{TWIML, Upstream},
};

#[test]
fn replayed_request_is_refused_on_route_with_replay_window() {
    let upstream = Upstream::start();
    let gate = Gate::start(&guarded(
        &upstream,
        "[[route]]\npath = \"/once\"\nreplay_window = \"1m\"\n[[route]]\npath = \"/often\"",
    ));
    let token = "I-Twilio-Idempotency-Token";
    let first = Message::form("/once", "b=2&a=1").signed().field(token, "t");
    assert_admitted(&gate, &first);
    assert_admitted(&gate, &first); // a retry by Twilio has the same idempotency token
    let before = upstream.bytes();
    let respelled = Message::form("/once", "%61=1&b=2").signed().field(token, "t");
    for again in [first, respelled, Message::form("/once", "b=2&a=1").signed()] {
        let response = gate.answer(&again);
        forbidden("replayed").assert(&response, &gate.outcome_of(&again), "again");
    }
    assert_eq!(upstream.bytes(), before, "the app received it again");
    assert_admitted(&gate, &Message::form("/once", "b=2&a=2").signed());
    for _ in 0..3 {
        assert_admitted(&gate, &Message::form("/often", "a=1").signed());
    }
}

#[test]
fn signed_request_is_forwarded_and_logged() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let message = Message::form("/voice?a=1", "To=1&From=2").signed();
    let response = gate.answer(&message);
    assert_eq!((response.status, response.text().as_str()), (200, TWIML));
    let outcome = gate.outcome_of(&message);
    assert_eq!(outcome.verdict(), "admitted");
    assert_eq!(outcome.text("method"), "POST");
    assert_eq!(outcome.text("path"), "/voice");
    assert_eq!(outcome.text("route"), "/*");
    assert_eq!(outcome.text("key"), "auth_tokens[0]");
    assert_eq!(outcome.text("candidate"), "received");
}

#[test]
fn malformed_signature_is_refused() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let message = Message::form("/voice", "a=1");
    let good = message.signature(TOKEN);
    let bare = good.trim_end_matches('=').to_owned();
    let wrong = [
        String::new(),
        bare.clone(),
        format!("{good}="),
        format!("{good}, {good}"),
        format!("{good},"),
        format!("\"{good}\""),
        format!("sha1={good}"),
        format!("{}+=", &bare[..26]), // the last six bits hold two that no byte has
        good.replace(['+', '/'], "_"),
        "AAAA".to_owned(),
    ];
    let wrong = wrong.iter().filter(|text| **text != good);
    let mut messages: Vec<_> =
        wrong.map(|text| message.clone().field("X-Twilio-Signature", text)).collect();
    messages.push(message.clone().signed().signed());
    messages
        .push(message.clone().signed().field("x-twilio-signature", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="));
    messages.push(message.field("X-Twilio-Signature", "").signed());
    assert_refused(&gate, &upstream, &forbidden("malformed_signature"), &messages);
}

#[test]
fn signature_for_another_request_is_refused() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let signed = Message::form("/voice?q=1", "a=1&b=2").signed();
    let retargeted = |target: &str| signed.clone().aimed_at(target);
    let rebodied = |body: &str| signed.clone().body(body.as_bytes());
    let messages = [
        retargeted("/voice?q=2"),
        retargeted("/voice"),
        retargeted("/Voice?q=1"),
        retargeted("/voice/?q=1"),
        retargeted("/voice?q=1&r"),
        rebodied("a=1&b=3"),
        rebodied("a=1"),
        rebodied("a=1&b=2&c=3"),
        rebodied("a=1&b=2&b=3"),
        Message::form("/voice?q=1", "a=1&b=2").signed_by("0123456789abcdef0123456789abcdef"),
        Message::form("/voice?q=1", "a=1&b=2").signed_by(&TOKEN.to_uppercase()),
        Message::form("/voice", "a=1").field("X-Twilio-Signature", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
    ];
    assert_refused(&gate, &upstream, &forbidden("signature_mismatch"), &messages);
}

#[test]
fn signature_for_another_origin_is_refused() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let message = Message::form("/voice", "a=1");
    let messages =
        ["http://hooks.example.com", "https://Hooks.example.com", "https://hooks.example.com:80"]
            .map(|origin| {
                let signature = message.signature_at(TOKEN, origin);
                message.clone().field("X-Twilio-Signature", &signature)
            });
    assert_refused(&gate, &upstream, &forbidden("signature_mismatch"), &messages);
}

#[test]
fn forwarded_headers_from_untrusted_client_are_ignored() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let message = Message::form("/voice", "a=1");
    let signature = message.signature_at(TOKEN, "https://elsewhere.example");
    let message = message
        .field("X-Twilio-Signature", &signature)
        .field("X-Forwarded-Host", "elsewhere.example")
        .field("X-Forwarded-Proto", "https")
        .field("Forwarded", "host=elsewhere.example;proto=https")
        .field("X-Original-Host", "elsewhere.example");
    assert_refused(&gate, &upstream, &forbidden("signature_mismatch"), &[message]);
}

const OWN: &str = "AC11111111111111111111111111111111";
const OTHER: &str = "AC22222222222222222222222222222222";

#[test]
fn key_of_one_account_is_refused_for_another_account() {
    let upstream = Upstream::start();
    let url = upstream.url();
    let gate = Gate::start(&format!(
        "public_url = \"{ORIGIN}\"\nupstream = \"{url}\"\n\
         auth_tokens = [{{ value = \"{TOKEN}\", account_sid = \"{OWN}\", name = \"own\" }}]"
    ));
    let messages = [
        Message::form("/voice", &format!("AccountSid={OTHER}")).signed(),
        Message::form("/voice", "a=1").signed(),
        Message::get(&format!("/voice?AccountSid={OTHER}")).signed(),
        Message::form(&format!("/voice?AccountSid={OTHER}"), &format!("AccountSid={OWN}")).signed(),
        Message::form("/voice", &format!("AccountSid={OWN}&AccountSid={OTHER}")).signed(),
    ];
    assert_refused(&gate, &upstream, &forbidden("account_mismatch"), &messages);
    assert_admitted(&gate, &Message::form("/voice", &format!("AccountSid={OWN}")).signed());
    assert_admitted(&gate, &Message::get(&format!("/voice?AccountSid={OWN}")).signed());
    assert!(gate.log().contains("\"key\":\"own\""));
}

#[test]
fn unknown_key_id_is_refused() {
    const SETTINGS: &str = "X-Twilio-Webhooks-Signature-Settings";
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let signed = || Message::form("/voice", "a=1").signed();
    let messages = [
        signed().field(SETTINGS, "key=webhooks_sharedkey_1,algorithm=HMAC_SHA1"),
        signed().field(SETTINGS, "algorithm=HMAC_SHA1"),
        signed().field(SETTINGS, ""),
        signed().field("X-Twilio-Signature-Key-Sid", "webhooks_sharedkey_1"),
    ];
    assert_refused(&gate, &upstream, &forbidden("unknown_key"), &messages);
}

#[test]
fn shared_key_algorithm_comes_from_configuration_not_from_request() {
    const SETTINGS: &str = "X-Twilio-Webhooks-Signature-Settings";
    let upstream = Upstream::start();
    let url = upstream.url();
    let gate = Gate::start(&format!(
        "public_url = \"{ORIGIN}\"\nupstream = \"{url}\"\n\
         auth_tokens = [\"{TOKEN}\", {{ value = \"shared-secret-1\", key_id = \"k1\", algorithm = \"HMAC_SHA256\" }}]"
    ));
    let by = |mac, secret: &str, claim: &str| {
        let url = format!("{ORIGIN}/voice");
        let signature = signer::sign(mac, secret, url.as_bytes(), &[(b"a".into(), b"1".into())]);
        Message::form("/voice", "a=1")
            .field("X-Twilio-Signature", &signature)
            .field(SETTINGS, claim)
    };
    let messages = [
        by(Mac::Sha1, "shared-secret-1", "key=k1,algorithm=HMAC_SHA1"),
        by(Mac::Sha256, TOKEN, "key=k1,algorithm=HMAC_SHA256"),
        by(Mac::Sha1, TOKEN, "key=k1,algorithm=HMAC_SHA1"),
    ];
    assert_refused(&gate, &upstream, &forbidden("signature_mismatch"), &messages);
    assert_admitted(&gate, &by(Mac::Sha256, "shared-secret-1", "key=k1,algorithm=HMAC_SHA256"));
    assert_admitted(&gate, &Message::form("/voice", "a=1").signed());
}

#[test]
fn secrets_and_content_are_never_logged() {
    let upstream = Upstream::start();
    let gate = Gate::with(&upstream, "[[route]]\npath = \"/voice\"\n[[route]]\npath = \"/gone\"");
    let signed = Message::form("/voice?Pin=q12345", "Body=b67890").signed();
    let signature = signed.signature(TOKEN);
    assert_admitted(&gate, &signed);
    let altered = signed.body(b"Body=b67891");
    assert_eq!(gate.answer(&altered).status, 403);
    assert_eq!(gate.outcome_of(&altered).reason(), "signature_mismatch");
    let expected = altered.signature(TOKEN);
    for hidden in [TOKEN, signature.as_str(), expected.as_str(), "q12345", "b67890", "b67891"] {
        assert!(!gate.log().contains(hidden), "{hidden} in {}", gate.log());
    }
}
