//! Each reason: its status, its line, its name in the log, and that the app never hears of it.

use std::net::TcpListener;

use crate::support::{
    HOST, ORIGIN, TOKEN,
    client::Response,
    gate::{Gate, Outcome, guarded},
    message::{FORM, Message},
    signer::{self, Mac, sha256_hex},
    upstream::{Answer, TWIML, Then, Upstream},
};

const NO_SIGNATURE: &str =
    "No X-Twilio-Signature. This request likely did not originate from Twilio.\n";
const NO_MATCH: &str = "Signature does not match\n";
const NO_PARAMS: &str = "Bad Request - no form params\n";
const TOO_LARGE: &str = "Body too large\n";
const TOO_SLOW: &str = "Body too slow\n";
const NO_ANSWER: &str = "The app did not answer\n";
const NO_ANSWER_IN_TIME: &str = "The app did not answer in time\n";

/// What a refused sender is told and what the log says of it.
struct Refusal {
    reason: &'static str,
    status: u16,
    line: &'static str,
}

const MISSING: Refusal = Refusal { reason: "missing_signature", status: 418, line: NO_SIGNATURE };
const EMPTY_FORM: Refusal = Refusal { reason: "no_form_params", status: 400, line: NO_PARAMS };
const BIG: Refusal = Refusal { reason: "body_too_large", status: 413, line: TOO_LARGE };
const SLOW: Refusal = Refusal { reason: "body_timeout", status: 408, line: TOO_SLOW };

const fn forbidden(reason: &'static str) -> Refusal {
    Refusal { reason, status: 403, line: NO_MATCH }
}

impl Refusal {
    fn assert(&self, response: &Response, outcome: &Outcome, what: &str) {
        assert_eq!(response.status, self.status, "{what}: {response:?} {outcome:?}");
        assert_eq!(response.text(), self.line, "{what}");
        assert_eq!(outcome.reason(), self.reason, "{what}: {outcome:?}");
        assert_eq!(outcome.verdict(), "refused", "{what}: {outcome:?}");
        assert_eq!(outcome.status(), u64::from(self.status), "{what}: {outcome:?}");
    }
}

/// Sends each message over a connection of its own; every one has to be refused alike.
fn assert_refused(gate: &Gate, upstream: &Upstream, refusal: &Refusal, messages: &[Message]) {
    for message in messages {
        let response = gate.answer(message);
        refusal.assert(&response, &gate.outcome(), &format!("{message:?}"));
    }
    assert_eq!(upstream.bytes(), 0, "the app heard of {}", refusal.reason);
}

#[test]
fn nothing_passes_twice_where_a_route_wants_it_once() {
    let upstream = Upstream::start();
    let gate = Gate::start(&guarded(
        &upstream,
        "[[route]]\npath = \"/once\"\nreplay_window = \"1m\"\n[[route]]\npath = \"/often\"",
    ));
    let token = "I-Twilio-Idempotency-Token";
    let first = Message::form("/once", "b=2&a=1").signed().field(token, "t");
    assert_admitted(&gate, &first);
    assert_admitted(&gate, &first); // Twilio tries again
    let before = upstream.bytes();
    let respelled = Message::form("/once", "%61=1&b=2").signed().field(token, "t");
    for again in [first, respelled, Message::form("/once", "b=2&a=1").signed()] {
        let response = gate.answer(&again);
        forbidden("replayed").assert(&response, &gate.outcome(), "again");
    }
    assert_eq!(upstream.bytes(), before, "the app heard of it again");
    assert_admitted(&gate, &Message::form("/once", "b=2&a=2").signed());
    for _ in 0..3 {
        assert_admitted(&gate, &Message::form("/often", "a=1").signed());
    }
}

fn assert_admitted(gate: &Gate, message: &Message) {
    let response = gate.answer(message);
    let outcome = gate.outcome();
    assert_eq!(response.status, 200, "{message:?}: {response:?} {outcome:?}");
    assert_eq!(outcome.verdict(), "admitted", "{outcome:?}");
    assert_eq!(outcome.reason(), "", "{outcome:?}");
}

/// Two guarded routes and a public one.
fn several_routes(upstream: &Upstream) -> Gate {
    Gate::with(
        upstream,
        "[[route]]\npath = \"/voice\"\n[[route]]\npath = \"/sms/*\"\nmethods = [\"POST\"]\n\
         [[route]]\npath = \"/status/*\"\naccess = \"public\"",
    )
}

/// A public `/*` around a guarded route: the most that an owner can get wrong.
fn public_all_around(upstream: &Upstream) -> Gate {
    Gate::with(
        upstream,
        "[[route]]\npath = \"/voice\"\n[[route]]\npath = \"/sms/*\"\n\
         [[route]]\npath = \"/*\"\naccess = \"public\"",
    )
}

#[test]
fn what_twilio_signed_passes_and_is_told_of() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let response = gate.answer(&Message::form("/voice?a=1", "To=1&From=2").signed());
    assert_eq!((response.status, response.text().as_str()), (200, TWIML));
    let outcome = gate.outcome();
    assert_eq!(outcome.verdict(), "admitted");
    assert_eq!(outcome.text("method"), "POST");
    assert_eq!(outcome.text("path"), "/voice");
    assert_eq!(outcome.text("route"), "/*");
    assert_eq!(outcome.text("key"), "auth_tokens[0]");
    assert_eq!(outcome.text("candidate"), "received");
}

#[test]
fn unsigned_requests_learn_nothing_else() {
    let upstream = Upstream::start();
    let gate = several_routes(&upstream);
    let big = "x".repeat(300_000);
    let messages = [
        Message::form("/voice", "a=1"),
        Message::get("/voice"),
        Message::get("/nowhere"),
        Message::get("/voice").host("elsewhere.example"),
        Message::new("DELETE", "/voice"),
        Message::get("/sms/../voice"),
        Message::get("/VOICE"),
        Message::form("/voice", &format!("a={big}")),
        Message::post("/voice", "application/json", b"{}"),
        Message::handshake("/voice"),
        Message::form("/voice", "a=1").field("X_Twilio_Signature", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        Message::form("/voice", "a=1").field("Twilio-Signature", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
    ];
    assert_refused(&gate, &upstream, &MISSING, &messages);
}

#[test]
fn an_unsigned_request_is_refused_before_its_body_is_asked_for() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let waiting = Message::form("/voice", "a=1").field("Expect", "100-continue");
    let mut client = gate.connect();
    client.send(&waiting.head());
    MISSING.assert(&client.response(), &gate.outcome(), "a head that waits for 100");
}

#[test]
fn a_route_that_is_not_there() {
    let upstream = Upstream::start();
    let gate = several_routes(&upstream);
    let messages = ["/", "/voic", "/voice/", "/voices", "/sms", "/Voice", "/%76oice", "/statu"]
        .map(|target| Message::form(target, "a=1").signed());
    assert_refused(&gate, &upstream, &forbidden("unknown_route"), &messages);
}

#[test]
fn a_host_that_is_not_ours() {
    let upstream = Upstream::start();
    let gate = Gate::with(&upstream, "allowed_hosts = [\"localhost:8080\"]");
    let signed = || Message::form("/voice", "a=1").signed();
    let strange =
        ["elsewhere.example", "hooks.example.com.", "hooks.example.com:8080", "localhost:8081"];
    let messages = strange.map(|host| signed().host(host));
    assert_refused(&gate, &upstream, &forbidden("unknown_host"), &messages);
    for host in [HOST, "HOOKS.example.com", "hooks.example.com:443", "localhost:8080"] {
        assert_admitted(&gate, &signed().host(host));
    }
}

#[test]
fn a_public_route_has_its_hosts_too() {
    let upstream = Upstream::start();
    let gate = several_routes(&upstream);
    let messages = [Message::get("/status/up").host("elsewhere.example")];
    assert_refused(&gate, &upstream, &forbidden("unknown_host"), &messages);
}

#[test]
fn a_method_that_is_not_taken() {
    let upstream = Upstream::start();
    let gate = several_routes(&upstream);
    let messages = [
        Message::get("/sms/in").signed(),
        Message::new("PUT", "/voice").signed(),
        Message::new("DELETE", "/voice").signed(),
        Message::new("HEAD", "/voice").signed(),
        Message::new("post", "/voice").signed(),
    ];
    let (without_body, others): (Vec<_>, Vec<_>) =
        messages.into_iter().partition(|message| message.head().starts_with(b"HEAD"));
    let refusal = forbidden("method_not_allowed");
    assert_refused(&gate, &upstream, &refusal, &others);
    let mut client = gate.connect();
    client.send(&without_body[0].head());
    assert!(client.until(b"\r\n\r\n").unwrap().starts_with(b"HTTP/1.1 403 "));
    assert_eq!(gate.outcome().reason(), refusal.reason);
    assert_eq!(upstream.bytes(), 0);
}

#[test]
fn a_path_that_some_app_takes_for_another() {
    let upstream = Upstream::start();
    let gate = public_all_around(&upstream);
    let messages = [
        "/%76oice",
        "/VOICE",
        "/Voice",
        "/voice/",
        "/voice//",
        "//voice",
        "/./voice",
        "/x/../voice",
        "/x/%2e%2e/voice",
        "/x%2f..%2fvoice",
        "/voice;x=1",
        "/voice%00",
        "/x\\voice",
        "/%2576oice",
        "/SMS/in",
        "/%73ms/in",
        "/sms",
        "/x%",
    ]
    .map(Message::get);
    assert_refused(&gate, &upstream, &forbidden("unsafe_path"), &messages);
    let guarded = ["/voice", "/voice?x=1", "/sms/in"].map(Message::get);
    assert_refused(&gate, &upstream, &MISSING, &guarded);
    for public in ["/", "/other", "/voices", "/voice.txt", "/x/voice"] {
        assert_admitted(&gate, &Message::get(public));
    }
}

#[test]
fn a_signature_that_is_none() {
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
fn a_body_that_is_too_large() {
    let upstream = Upstream::start();
    let gate = Gate::with(&upstream, "[limits]\nmax_body_bytes = 10");
    assert_admitted(&gate, &Message::form("/voice", "a=12345678").signed());
    let before = upstream.bytes();
    let message = Message::form("/voice", "a=123456789").signed();
    let mut client = gate.connect();
    client.send(&message.head()); // the head says it: no body needed
    BIG.assert(&client.response(), &gate.outcome(), "by its length");
    let mut client = gate.connect();
    let chunked = message.chunked_bytes(4);
    client.send(&chunked[..chunked.len() - 7]); // passed by the third chunk: no end needed
    BIG.assert(&client.response(), &gate.outcome(), "by its chunks");
    assert_eq!(upstream.bytes(), before);
}

#[test]
fn a_route_may_take_more_than_others() {
    let upstream = Upstream::start();
    let routes = "[limits]\nmax_body_bytes = 10\n[[route]]\npath = \"/big\"\nmax_body_bytes = 20\n\
                  [[route]]\npath = \"/*\"";
    let gate = Gate::with(&upstream, routes);
    assert_admitted(&gate, &Message::form("/big", "a=123456789").signed());
    let response = gate.answer(&Message::form("/small", "a=123456789").signed());
    BIG.assert(&response, &gate.outcome(), "elsewhere");
}

#[test]
fn a_body_that_does_not_come() {
    let upstream = Upstream::start();
    let gate = Gate::with(&upstream, "[limits]\nbody_timeout = \"200ms\"");
    let message = Message::form("/voice", "a=1&b=2").signed();
    let whole = message.bytes();
    for sent in [message.head(), whole[..whole.len() - 1].to_vec()] {
        let mut client = gate.connect();
        client.send(&sent);
        SLOW.assert(&client.response(), &gate.outcome(), "a part of the body");
        assert!(client.is_at_end(), "what follows a body that was never read is no request");
    }
    assert_eq!(upstream.bytes(), 0);
}

#[test]
fn a_body_that_breaks_off() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let message = Message::form("/voice", "a=1&b=2").signed();
    let chunked = message.chunked_bytes(3);
    let broken_chunk =
        [&message.clone().field("Transfer-Encoding", "chunked").head()[..], b"zz\r\n"];
    let whole = message.bytes();
    let sent = [
        whole[..whole.len() - 1].to_vec(),
        chunked[..chunked.len() - 4].to_vec(),
        broken_chunk.concat(),
    ];
    for bytes in sent {
        let mut client = gate.connect();
        client.send(&bytes);
        client.half_close();
        assert_eq!(gate.outcome().reason(), "body_incomplete");
        let answered = client.try_response().map_or(400, |response| response.status);
        assert_eq!(answered, 400, "if anything is answered");
        assert!(client.is_at_end());
    }
    assert_eq!(upstream.bytes(), 0);
}

#[test]
fn a_form_without_a_parameter() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let empty = ["", "&", "&&&"].map(|body| Message::form("/voice", body).signed());
    assert_refused(&gate, &upstream, &EMPTY_FORM, &empty);
    let gate = Gate::with(&upstream, "allow_empty_form = true");
    for message in empty {
        assert_admitted(&gate, &message);
    }
}

#[test]
fn a_body_that_the_signature_does_not_bind() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let hashed = format!("/e?bodySHA256={}", sha256_hex(b"a=1"));
    let other_hash = format!("/e?bodySHA256={}", sha256_hex(b"b=1"));
    let form = |target: &str| Message::form(target, "a=1");
    let messages = [
        Message::post("/e", "application/json", b"{\"a\":1}").signed(),
        Message::post("/e", "multipart/form-data; boundary=b", b"--b--").signed(),
        Message::post("/e", "text/plain", b"a=1").signed(),
        Message::new("POST", "/e").body(b"a=1").signed(),
        Message::post(&other_hash, "text/plain", b"a=1").signed(),
        Message::post(&format!("{hashed}&{}", &other_hash[3..]), "text/plain", b"a=1").signed(),
        Message::get("/e").body(b"a=1").signed(),
        Message::get("/e").field("Content-Type", FORM).body(b"a=1").signed(),
        Message::get(&hashed).body(b"a=1").signed(),
        form("/e").field("Content-Encoding", "gzip").signed(),
        form("/e").field("Content-Encoding", "identity").signed(),
        Message::post(&hashed, "text/plain", b"a=1").field("Content-Encoding", "br").signed(),
        form("/e").signed().field("Content-Type", FORM),
        form("/e").signed().field("content-type", "text/plain"),
        Message::post("/e", "application/x-www-form-urlencoded; charset=utf-16", b"a=1").signed(),
        Message::post("/e", "application/x-www-form-urlencoded; charset=latin1", b"a=1").signed(),
        Message::handshake("/e").body(b"a=1").signed(),
    ];
    assert_refused(&gate, &upstream, &forbidden("body_not_covered"), &messages);
}

#[test]
fn a_body_that_its_hash_binds() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let target = Message::json("/e", "{\"a\":1}").target;
    for content_type in ["application/json", "text/plain", "multipart/form-data; boundary=b"] {
        assert_admitted(&gate, &Message::post(&target, content_type, b"{\"a\":1}").signed());
    }
    assert_admitted(&gate, &Message::new("POST", &target).body(b"{\"a\":1}").signed());
    let altered = Message::post(&target, "application/json", b"{\"a\":2}").signed();
    let response = gate.answer(&altered);
    forbidden("body_not_covered").assert(&response, &gate.outcome(), "another body");
    assert_eq!(upstream.requests().len(), 4);
}

#[test]
fn what_was_signed_for_another_request() {
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
fn what_was_signed_for_another_origin() {
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
fn forwarded_headers_of_a_stranger_are_not_believed() {
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
fn an_account_speaks_for_itself_alone() {
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
fn a_key_that_nobody_knows() {
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
fn a_shared_key_is_used_as_configured_and_not_as_claimed() {
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
fn owners_may_answer_with_other_statuses() {
    let upstream = Upstream::start();
    let gate = Gate::with(
        &upstream,
        "missing_status = 401\n[[route]]\npath = \"/voice\"\n\
         [[route]]\npath = \"/sms\"\nmissing_status = 404\nmismatch_status = 410",
    );
    let statuses = [
        (Message::get("/voice"), 401),
        (Message::get("/nowhere"), 401),
        (Message::get("/voice").signed_by("other-token"), 403),
        (Message::get("/sms"), 404),
        (Message::get("/sms").signed_by("other-token"), 410),
        (Message::new("PUT", "/sms").signed(), 410),
        (Message::form("/sms", "").signed(), 400),
    ];
    for (message, status) in statuses {
        assert_eq!(gate.answer(&message).status, status, "{message:?}");
    }
    assert_eq!(upstream.bytes(), 0);
}

#[test]
fn a_public_route_forwards_what_is_not_signed() {
    let upstream = Upstream::start();
    let gate = several_routes(&upstream);
    let messages = [
        Message::get("/status/up"),
        Message::post("/status/up", "application/json", b"{}"),
        Message::get("/status/up").field("X-Twilio-Signature", "nonsense"),
        Message::get("/status/up").body(b"a body"),
    ];
    for message in &messages {
        assert_admitted(&gate, message);
    }
    assert_eq!(upstream.requests().len(), messages.len());
    let put = Message::new("PUT", "/status/up");
    forbidden("method_not_allowed").assert(&gate.answer(&put), &gate.outcome(), "PUT");
}

#[test]
fn an_app_that_is_not_there() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gate = Gate::start(&format!(
        "public_url = \"{ORIGIN}\"\nupstream = \"http://{nobody}\"\nauth_tokens = [\"{TOKEN}\"]\n\
         [limits]\nconnect_retry = \"100ms\""
    ));
    for message in [Message::get("/voice"), Message::handshake("/voice")] {
        let response = gate.answer(&message.clone().signed());
        assert_eq!((response.status, response.text().as_str()), (502, NO_ANSWER), "{message:?}");
        let outcome = gate.outcome();
        assert_eq!((outcome.reason(), outcome.verdict()), ("upstream_unreachable", "failed"));
        assert_eq!(outcome.text("key"), "auth_tokens[0]", "it was proven all the same");
        MISSING.assert(&gate.answer(&message), &gate.outcome(), "only the proven learn of the app");
    }
}

#[test]
fn an_app_that_fails() {
    let answers = [
        Answer::nothing().then(Then::Close),
        Answer::raw("HTTP/1.1 200 OK\r\nContent-Le").then(Then::Close),
        Answer::raw("SMTP ready\r\n\r\n").then(Then::Close),
        Answer::raw("HTTP/1.1 2000 OK\r\n\r\n").then(Then::Close),
        Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab")
            .then(Then::Close),
    ];
    for answer in answers {
        let shown = format!("{answer:?}");
        let upstream = Upstream::answering(answer);
        let gate = Gate::before(&upstream);
        let response = gate.answer(&Message::form("/voice", "a=1").signed());
        assert_eq!((response.status, response.text().as_str()), (502, NO_ANSWER), "{shown}");
        let outcome = gate.outcome();
        assert_eq!((outcome.reason(), outcome.verdict()), ("upstream_failed", "failed"), "{shown}");
        assert_eq!(upstream.requests().len(), 1, "{shown}: it is not sent twice");
    }
}

#[test]
fn an_app_that_does_not_answer() {
    let upstream = Upstream::answering(Answer::nothing().then(Then::Hold));
    let gate = Gate::with(&upstream, "[limits]\nresponse_timeout = \"200ms\"");
    for message in [Message::form("/voice", "a=1"), Message::handshake("/voice")] {
        let response = gate.answer(&message.signed());
        assert_eq!((response.status, response.text().as_str()), (504, NO_ANSWER_IN_TIME));
        let outcome = gate.outcome();
        assert_eq!((outcome.reason(), outcome.verdict()), ("upstream_timeout", "failed"));
    }
    assert_eq!(upstream.requests().len(), 2, "once each");
}

/// A part of an answer never looks like a whole one.
#[test]
fn an_app_that_falls_silent_in_the_middle() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab";
    for then in [Then::Close, Then::Hold] {
        let upstream = Upstream::answering(Answer::raw(head).then(then));
        let gate = Gate::with(&upstream, "[limits]\nresponse_idle_timeout = \"200ms\"");
        let mut client = gate.connect();
        client.send(&Message::form("/voice", "a=1").signed().bytes());
        let said = client.rest().unwrap();
        let part = said.starts_with(b"HTTP/1.1 200 OK") && said.ends_with(b"\r\n\r\nab");
        assert!(part || (said.is_empty() && then == Then::Close), "{then:?}: {said:?}");
        assert_eq!(upstream.requests().len(), 1);
    }
}

#[test]
fn what_is_no_http_reaches_nobody() {
    let upstream = Upstream::start();
    let gate = public_all_around(&upstream);
    let host = format!("Host: {HOST}\r\n");
    let heads = [
        "nonsense\r\n\r\n".to_owned(),
        format!("GET  / HTTP/1.1\r\n{host}\r\n"),
        format!("GET /a b HTTP/1.1\r\n{host}\r\n"),
        format!("GET / HTTP/9.9\r\n{host}\r\n"),
        format!("GET / HTTP/1.1\r\n{host}Bad Name: 1\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{host}Name : 1\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{host} folded: 1\r\n\r\n"),
        format!("POST / HTTP/1.1\r\n{host}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
        format!("POST / HTTP/1.1\r\n{host}Content-Length: +1\r\n\r\na"),
        format!("POST / HTTP/1.1\r\n{host}Content-Length: -1\r\n\r\n"),
        format!(
            "POST / HTTP/1.1\r\n{host}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        ),
        format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
        format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{host}{host}\r\n"),
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        format!("GET /a#b HTTP/1.1\r\n{host}\r\n"),
        format!("CONNECT {HOST}:443 HTTP/1.1\r\n{host}\r\n"),
        format!("GET / HTTP/1.1\r\n{host}X: {}\r\n\r\n", "x".repeat(100_000)),
    ];
    for head in heads {
        let mut client = gate.connect();
        client.send(head.as_bytes());
        client.half_close();
        let answered = client.try_response();
        let turned_away = answered.as_ref().map_or(true, |response| {
            matches!(response.status, 400 | 403 | 405 | 414 | 418 | 431 | 501 | 505)
        });
        assert!(turned_away, "{head:.120}: {answered:?}");
    }
    assert_eq!(upstream.bytes(), 0);
}

#[test]
fn a_slow_head_is_not_waited_for() {
    let upstream = Upstream::start();
    let gate = Gate::with(&upstream, "[limits]\nhead_timeout = \"200ms\"");
    let mut client = gate.connect();
    client.send(b"POST /voice HTTP/1.1\r\nHo");
    let _answer_if_any = client.try_response();
    assert!(client.is_at_end());
    assert_eq!(upstream.bytes(), 0);
}

#[test]
fn no_secret_and_no_content_is_ever_logged() {
    let upstream = Upstream::start();
    let gate = Gate::with(&upstream, "[[route]]\npath = \"/voice\"\n[[route]]\npath = \"/gone\"");
    let signed = Message::form("/voice?Pin=q12345", "Body=b67890").signed();
    let signature = signed.signature(TOKEN);
    assert_admitted(&gate, &signed);
    let altered = signed.body(b"Body=b67891");
    assert_eq!(gate.answer(&altered).status, 403);
    assert_eq!(gate.outcome().reason(), "signature_mismatch");
    let expected = altered.signature(TOKEN);
    for hidden in [TOKEN, signature.as_str(), expected.as_str(), "q12345", "b67890", "b67891"] {
        assert!(!gate.log().contains(hidden), "{hidden} in {}", gate.log());
    }
}

#[test]
fn the_same_line_for_every_reason_of_a_status() {
    let upstream = Upstream::start();
    let gate = several_routes(&upstream);
    let responses = [
        Message::get("/nowhere").signed(),
        Message::get("/voice").signed_by("other-token"),
        Message::new("PUT", "/voice").signed(),
        Message::get("/voice").signed().host("elsewhere.example"),
        Message::post("/voice", "text/plain", b"x").signed(),
    ]
    .map(|message| gate.answer(&message));
    for response in &responses {
        assert_eq!(response.line, responses[0].line);
        assert_eq!(response.fields, responses[0].fields);
        assert_eq!(response.body, responses[0].body);
    }
}

#[test]
fn a_refused_request_does_not_cost_the_connection_its_order() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let mut client = gate.connect();
    client.send(&Message::get("/voice").bytes());
    assert_eq!(client.response().status, 418);
    client.send(&Message::get("/voice").signed().bytes());
    let after = client.try_response();
    assert!(after.is_ok_and(|response| response.status == 200), "the next one is judged afresh");
}
