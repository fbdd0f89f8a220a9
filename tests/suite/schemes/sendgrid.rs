//! SendGrid's scheme over the wire.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{EVENT, TIME, sendgrid};
use crate::refusals::{BIG, MISSING, assert_admitted, assert_refused, forbidden};
use crate::support::{
    client::Client,
    frames::{Frames, StreamResult},
    gate::Gate,
    http2::request_fields,
    message::Message,
    sendgrid::{SIGNATURE, SigningKey, TIMESTAMP, twin},
    upstream::Upstream,
};

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn signed_event_is_forwarded_unchanged_and_logged_without_a_candidate() {
    let (upstream, key) = (Upstream::start(), SigningKey::new());
    let gate = sendgrid(&upstream, &key, "");
    let message = key.event("/events?a=1", TIME, EVENT);
    assert_eq!(gate.answer(&message).status, 200);
    let outcome = gate.outcome_of(&message);
    assert_eq!((outcome.verdict(), outcome.text("route")), ("admitted", "/events"));
    assert_eq!((outcome.text("key"), outcome.text("candidate")), ("verification_keys[0]", ""));
    let recorded = upstream.only();
    assert_eq!(recorded.body, EVENT);
    assert_eq!(recorded.values(SIGNATURE).len(), 1);
    assert_eq!(recorded.values(TIMESTAMP), [TIME]);
    let log = gate.log();
    assert!(!log.contains(&recorded.values(SIGNATURE)[0]) && !log.contains("click"), "{log}");
}

#[test]
fn connection_field_cannot_remove_the_signature() {
    let (upstream, key) = (Upstream::start(), SigningKey::new());
    let gate = sendgrid(&upstream, &key, "");
    let nominated = format!("{SIGNATURE}, {TIMESTAMP}");
    assert_admitted(&gate, &key.event("/events", TIME, EVENT).field("Connection", &nominated));
    let recorded = upstream.only();
    assert_eq!(recorded.values(TIMESTAMP), [TIME]);
    assert_eq!(recorded.values(SIGNATURE).len(), 1);
}

#[test]
fn body_of_any_bytes_and_any_framing_is_verified_as_received() {
    let (upstream, key) = (Upstream::start(), SigningKey::new());
    let gate = sendgrid(&upstream, &key, "max_body_bytes = 300000");
    let long = vec![b'x'; 300_000];
    let bodies: [&[u8]; 8] =
        [EVENT, b"[]\n", b"[]", b"", b"\r\n", b"\xff\xfe\0\r\n", b"1790000000", &long];
    for body in bodies {
        let message = key.event("/events", TIME, body);
        assert_admitted(&gate, &message);
        let mut client = gate.connect();
        client.send(&message.chunked_bytes(5000));
        assert_eq!(client.response().status, 200, "chunked {}", body.len());
        assert_eq!(gate.outcome_of(&message).verdict(), "admitted");
        let altered = message.body(&[body, b"\n"].concat());
        let response = gate.answer(&altered);
        let refusal = if body.len() == long.len() { BIG } else { forbidden("signature_mismatch") };
        refusal.assert(&response, &gate.outcome_of(&altered), "altered");
    }
    let taken = upstream.wait_for(2 * bodies.len());
    for (body, recorded) in bodies.iter().zip(taken.chunks(2)) {
        assert!(recorded.iter().all(|got| got.body == *body), "{} bytes", body.len());
    }
}

#[test]
fn body_over_http2_is_verified_as_received() {
    let (upstream, key) = (Upstream::start(), SigningKey::new());
    let gate = Gate::with(
        &upstream,
        &format!(
            "http2_cleartext = true\n[[route]]\npath = \"/events\"\naccess = \"sendgrid\"\n\
             verification_keys = [\"{}\"]",
            key.public()
        ),
    );
    let message = key.event("/events", TIME, EVENT);
    let altered = message.clone().body(b"[]");
    for (message, status) in [(message, 200), (altered, 403)] {
        let mut frames = Frames::open(Client::connect(gate.address()));
        let stream = frames.stream();
        frames.fields(stream, &request_fields(&message), false);
        frames.data(stream, message.body.as_deref().unwrap(), true);
        assert_eq!(frames.result_of(stream), StreamResult::Status(status));
    }
    assert_eq!(upstream.only().body, EVENT);
}

#[test]
fn request_without_the_routes_own_signature_is_418() {
    let (upstream, key) = (Upstream::start(), SigningKey::new());
    let gate = sendgrid(&upstream, &key, "");
    let bare = || Message::post("/events", "application/json", EVENT);
    let unsigned = [
        bare(),
        bare().signed(),
        bare().field(TIMESTAMP, TIME),
        bare().field("X-Signature", &"0".repeat(40)),
        bare().field("X_Twilio_Email_Event_Webhook_Signature", "MAA="),
        Message::get("/events"),
    ];
    assert_refused(&gate, &upstream, &MISSING, &unsigned);
    let elsewhere = [key.event("/voice", TIME, EVENT), bare().aimed_at("/voice")];
    assert_refused(&gate, &upstream, &MISSING, &elsewhere);
}

#[test]
fn repeated_missing_or_malformed_fields_are_refused() {
    let (upstream, key) = (Upstream::start(), SigningKey::new());
    let gate = sendgrid(&upstream, &key, "");
    let good = key.sign(TIME, EVENT);
    let bare = || Message::post("/events", "application/json", EVENT);
    let with =
        |signature: &str, time: &str| bare().field(SIGNATURE, signature).field(TIMESTAMP, time);
    let malformed = [
        bare().field(SIGNATURE, &good),
        with(&good, TIME).field(SIGNATURE, &good),
        with(&good, TIME).field(TIMESTAMP, TIME),
        with(&good, TIME).field(&TIMESTAMP.to_lowercase(), TIME),
        with(&format!("{good}, {good}"), TIME),
        with(&format!("{good}causing failure"), TIME),
        with("", TIME),
        with(&good, ""),
        with(&good, "timestamp"),
        with(&good, "1790000000.0"),
        with(&good, "000000000001790000000"),
    ];
    assert_refused(&gate, &upstream, &forbidden("malformed_signature"), &malformed);
    let coded = [
        with(&good, TIME).field("Content-Encoding", "gzip"),
        with(&good, TIME).field("Content-Type", "text/html"),
    ];
    assert_refused(&gate, &upstream, &forbidden("body_not_covered"), &coded);
    let mismatched = [
        with(&good, "1790000001"),
        with(&SigningKey::new().sign(TIME, EVENT), TIME),
        with(&key.sign("", EVENT), TIME),
    ];
    assert_refused(&gate, &upstream, &forbidden("signature_mismatch"), &mismatched);
}

#[test]
fn only_post_to_the_routes_host_is_accepted() {
    let (upstream, key) = (Upstream::start(), SigningKey::new());
    let gate = sendgrid(&upstream, &key, "");
    let methods = ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "post"]
        .map(|method| Message { method: method.to_owned(), ..key.event("/events", TIME, EVENT) });
    for message in methods {
        let mut client = gate.connect();
        client.send(&message.bytes());
        assert_eq!(client.try_head().unwrap().status, 403, "{}", message.method);
        assert_eq!(gate.outcome_of(&message).reason(), "method_not_allowed");
    }
    let elsewhere = [key.event("/events", TIME, EVENT).host("elsewhere.example")];
    assert_refused(&gate, &upstream, &forbidden("unknown_host"), &elsewhere);
}

#[test]
fn path_that_may_leave_a_sole_subtree_is_refused() {
    let (upstream, key) = (Upstream::start(), SigningKey::new());
    let route = format!(
        "[[route]]\npath = \"/events/*\"\naccess = \"sendgrid\"\nverification_keys = [\"{}\"]",
        key.public()
    );
    let gate = Gate::with(&upstream, &route);
    let leaving = ["/events/../admin", "/events/%2e%2e/admin", "/events//admin"]
        .map(|target| key.event(target, TIME, EVENT));
    assert_refused(&gate, &upstream, &forbidden("unsafe_path"), &leaving);
    assert_admitted(&gate, &key.event("/events/a", TIME, EVENT));
}

#[test]
fn timestamp_beyond_max_age_is_stale_in_both_directions() {
    let (upstream, key) = (Upstream::start(), SigningKey::new());
    let gate = sendgrid(&upstream, &key, "max_age = \"1h\"");
    for time in [now(), now() - 3000, now() + 3000] {
        assert_admitted(&gate, &key.event("/events", &time.to_string(), EVENT));
    }
    let before = upstream.bytes();
    for time in [now() - 4000, now() + 4000, 0, u64::MAX] {
        let message = key.event("/events", &time.to_string(), EVENT);
        let response = gate.answer(&message);
        forbidden("stale").assert(&response, &gate.outcome_of(&message), "stale");
        let forged = message.body(b"[]");
        let response = gate.answer(&forged);
        let refusal = forbidden("signature_mismatch");
        refusal.assert(&response, &gate.outcome_of(&forged), "forged");
    }
    assert_eq!(upstream.bytes(), before, "the app received it");
}

#[test]
fn malleable_twin_of_a_signature_is_the_same_message_to_the_replay_memory() {
    let (upstream, key) = (Upstream::start(), SigningKey::new());
    let gate = sendgrid(&upstream, &key, "replay_window = \"1m\"\nreplay_retries = 0");
    let first = key.event("/events", TIME, EVENT);
    let good = key.sign(TIME, EVENT);
    let other = twin(&good);
    assert_ne!(good, other);
    let with = |signature: &str, target: &str| {
        Message::post(target, "application/json", EVENT)
            .field(SIGNATURE, signature)
            .field(TIMESTAMP, TIME)
    };
    assert_admitted(&gate, &first);
    let before = upstream.bytes();
    for again in [with(&good, "/events"), with(&other, "/events"), with(&other, "/events?a=1")] {
        let response = gate.answer(&again);
        forbidden("replayed").assert(&response, &gate.outcome_of(&again), "again");
    }
    assert_eq!(upstream.bytes(), before, "the app received it again");
    assert_admitted(&gate, &key.event("/events", "1790000001", EVENT));
    let free = sendgrid(&upstream, &key, "");
    assert_admitted(&free, &with(&other, "/events"));
}

#[test]
fn same_batch_for_two_webhooks_is_no_replay() {
    let (upstream, one, two) = (Upstream::start(), SigningKey::new(), SigningKey::new());
    let route = |path: &str, key: &SigningKey| {
        format!(
            "[[route]]\npath = \"{path}\"\naccess = \"sendgrid\"\nreplay_window = \"1m\"\n\
             replay_retries = 0\nverification_keys = [\"{}\"]\n",
            key.public()
        )
    };
    let gate = Gate::with(&upstream, &(route("/one", &one) + &route("/two", &two)));
    assert_admitted(&gate, &one.event("/one", TIME, EVENT));
    assert_admitted(&gate, &two.event("/two", TIME, EVENT));
}

#[test]
fn log_names_the_mistake_with_a_refused_event() {
    let (upstream, key) = (Upstream::start(), SigningKey::new());
    let gate = sendgrid(&upstream, &key, "");
    let trimmed = key.event("/events", TIME, EVENT).body(EVENT.trim_ascii());
    assert_eq!(gate.answer(&trimmed).status, 403);
    let outcome = gate.outcome_of(&trimmed);
    let named = (outcome.reason(), outcome.text("mistake"));
    assert_eq!(named, ("signature_mismatch", "body_trimmed"), "{outcome:?}");
}

#[test]
fn route_that_does_not_enforce_forwards_the_body_alone() {
    let (upstream, key) = (Upstream::start(), SigningKey::new());
    let gate = sendgrid(&upstream, &key, "enforce = false\nmax_age = \"1h\"");
    let old = key.event("/events", TIME, EVENT);
    let forged = key.event("/events", TIME, b"[]").body(EVENT);
    let bare = Message::post("/events", "application/json", EVENT);
    let malformed = bare.clone().field(SIGNATURE, "x").field(TIMESTAMP, TIME);
    let cases = [
        (old, "stale"),
        (forged, "signature_mismatch"),
        (bare, "missing_signature"),
        (malformed, "malformed_signature"),
    ];
    for (message, reason) in &cases {
        assert_eq!(gate.answer(message).status, 200, "{reason}");
        let outcome = gate.outcome_of(message);
        assert_eq!((outcome.verdict(), outcome.reason()), ("observed", *reason));
    }
    let taken = upstream.wait_for(cases.len());
    assert!(taken.iter().all(|recorded| recorded.body == EVENT), "{taken:?}");
}

#[test]
fn many_forged_events_at_once_are_refused_while_signed_calls_pass() {
    let (upstream, key) = (Upstream::start(), SigningKey::new());
    let gate = sendgrid(&upstream, &key, "");
    let forged = key.event("/events", TIME, EVENT).body(b"[]").bytes();
    let mut clients: Vec<_> = (0..64).map(|_| gate.connect()).collect();
    for _ in 0..4 {
        clients.iter_mut().for_each(|client| client.send(&forged));
        // One that leaves while its request waits for its turn gives it to the next.
        gate.connect().send(&forged);
        assert_eq!(gate.answer(&Message::form("/voice", "a=1").signed()).status, 200);
        assert_eq!(gate.answer(&key.event("/events", TIME, EVENT)).status, 200);
        assert!(clients.iter_mut().all(|client| client.response().status == 403));
    }
    assert!(upstream.wait_for(8).iter().all(|taken| taken.body != b"[]"));
}

#[test]
fn mail_of_30_megabytes_passes_where_its_route_raises_the_limit() {
    let (upstream, key) = (Upstream::start(), SigningKey::new());
    let gate = sendgrid(&upstream, &key, "max_body_bytes = 31457280");
    let mail = vec![b'm'; 30 << 20];
    let message = key.event("/events", TIME, &mail);
    assert_admitted(&gate, &message);
    assert_eq!(upstream.only().body.len(), mail.len());
    let longer = Message { body: Some([&mail[..], b"m"].concat()), ..message };
    let response = gate.answer(&longer);
    BIG.assert(&response, &gate.outcome_of(&longer), "longer");
}
