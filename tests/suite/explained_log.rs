//! The log of a running gate names the mistake with a refused request.

use std::{collections::BTreeSet, time::Duration};

use crate::support::{
    HOST, TOKEN,
    gate::{Folder, Gate, Outcome, guarded},
    message::Message,
    upstream::{Answer, Then, Upstream},
};

const OTHER_TOKEN: &str = "00112233445566778899aabbccddeeff";
const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";

fn voice() -> Message {
    Message::form("/voice?a=secret-in-query", "To=%2B1&SpeechResult=secret-in-body")
}

/// Sends one request and returns its log entry.
fn entry(gate: &Gate, message: &Message, status: u16) -> Outcome {
    let response = gate.answer(message);
    assert_eq!(response.status, status, "{response:?}");
    if status == 403 {
        assert_eq!(response.text(), "Not proven to come from Twilio\n");
    }
    gate.outcome_of(message)
}

fn assert_mistake(entry: &Outcome, mistake: &str, proven: bool) {
    assert_eq!(entry.text("mistake"), mistake, "{entry:?}");
    assert_eq!(entry.flag("proven"), Some(proven), "{entry:?}");
    assert!(entry.text("cure").len() > 10, "{entry:?}");
}

#[test]
fn refused_request_is_logged_with_its_mistake_and_the_cure() {
    let app = Upstream::start();
    let gate = Gate::with(&app, "");
    let signed_for = |origin: &str| {
        let signature = voice().signature_at(TOKEN, origin);
        voice().field("X-Twilio-Signature", &signature)
    };
    let scheme = entry(&gate, &signed_for(&format!("http://{HOST}")), 403);
    assert_eq!(scheme.reason(), "signature_mismatch");
    assert_mistake(&scheme, "wrong_scheme", true);
    assert!(scheme.text("where").ends_with("gatekeeper.toml:2"), "{scheme:?}");
    let told = signed_for("https://old.example.com").field("X-Forwarded-Host", "old.example.com");
    let host = entry(&gate, &told, 403);
    assert_mistake(&host, "wrong_host", true);
    let stranger = entry(&gate, &voice().signed_by(OTHER_TOKEN), 403);
    assert_mistake(&stranger, "wrong_token", false);
    let log = gate.log();
    for secret in ["secret-in", TOKEN, OTHER_TOKEN, &voice().signature(OTHER_TOKEN)] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
    assert_eq!(app.requests().len(), 0);
}

#[test]
fn token_of_another_route_is_named() {
    let app = Upstream::start();
    let more = format!(
        "[[route]]\npath = \"/voice\"\n[[route]]\npath = \"/sms\"\nauth_tokens = [\"{OTHER_TOKEN}\"]"
    );
    let gate = Gate::with(&app, &more);
    assert_mistake(&entry(&gate, &voice().signed_by(OTHER_TOKEN), 403), "other_token", true);
}

#[test]
fn unknown_host_is_logged_with_the_host_that_came() {
    let app = Upstream::start();
    let gate = Gate::with(&app, "");
    let entry = entry(&gate, &voice().host("localhost:8080").signed(), 403);
    assert_eq!((entry.reason(), entry.text("host")), ("unknown_host", "localhost:8080"));
    assert_mistake(&entry, "host_rewritten", false);
}

#[test]
fn request_without_a_body_is_explained_from_its_head_with_proof() {
    let app = Upstream::start();
    let gate = Gate::with(&app, "");
    let message = Message::get("/voice?a=1").host("localhost:8080").signed();
    assert_mistake(&entry(&gate, &message, 403), "host_rewritten", true);
}

#[test]
fn unknown_account_is_logged_with_its_sid() {
    let (app, folder) = (Upstream::start(), Folder::new());
    let (known, unknown) = (format!("AC{:032}", 1), format!("AC{:032}", 2));
    folder.write("accounts.toml", &format!("{known} = \"{OTHER_TOKEN}\"\n"));
    let url = app.url();
    let config = format!(
        "public_url = \"https://{HOST}\"\nupstream = \"{url}\"\naccounts_file = \"accounts.toml\"\n"
    );
    let gate = Gate::start_in(folder, &config, &[]);
    let of = |sid: &str| Message::form("/voice", &format!("AccountSid={sid}&a=1")).signed();
    let refused = entry(&gate, &of(&unknown), 403);
    assert_eq!((refused.reason(), refused.text("account")), ("unknown_account", &*unknown));
    let refused = entry(&gate, &of("not-a-sid-but-a-secret"), 403);
    assert_eq!((refused.reason(), refused.text("account")), ("unknown_account", ""));
    let refused = entry(&gate, &Message::form("/voice", "a=1").signed(), 403);
    assert_eq!(refused.reason(), "unknown_key", "it names no account");
    assert!(!gate.log().contains("not-a-sid"));
}

#[test]
fn trusted_proxy_that_says_nothing_or_two_things_is_named() {
    let app = Upstream::start();
    let url = app.url();
    let gate = Gate::start(&format!(
        "upstream = \"{url}\"\nauth_tokens = [\"{TOKEN}\"]\n[trust]\nproxies = [\"127.0.0.1/32\"]\nhosts = [\"*.example.com\"]\n"
    ));
    let silent = entry(&gate, &Message::get("/silent").signed(), 403);
    assert_mistake(&silent, "nothing_told", true);
    let twice = Message::get("/twice").signed();
    let twice = twice.field("X-Forwarded-Host", HOST).field("X-Forwarded-Host", "b.example.com");
    let twice = entry(&gate, &twice, 403);
    assert_mistake(&twice, "nothing_told", true);
    assert_ne!(silent.text("says"), twice.text("says"), "each says which");
    assert!(twice.text("says").contains("X-Forwarded-Host"), "{twice:?}");
}

#[test]
fn lost_upgrade_is_named() {
    let app = Upstream::start();
    let gate = Gate::with(&app, "");
    let signature = Message::get("/media").signature_at(TOKEN, &format!("wss://{HOST}"));
    let message = Message::get("/media")
        .field("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .field("X-Twilio-Signature", &signature);
    assert_mistake(&entry(&gate, &message, 403), "upgrade_lost", true);
}

#[test]
fn failures_of_the_app_are_logged_with_its_address_and_the_error() {
    let app = Upstream::playing(|request| match &*request.line() {
        "POST /close HTTP/1.1" => Answer::nothing().then(Then::Close),
        "POST /nonsense HTTP/1.1" => Answer::raw("nonsense\r\n\r\n").then(Then::Close),
        _ => Answer::nothing().then(Then::Hold),
    });
    let gate = Gate::with(&app, "[limits]\nresponse_timeout = \"300ms\"\nconnect_retry = \"10ms\"");
    let mut errors = BTreeSet::new();
    for (path, status) in [("/close", 502), ("/nonsense", 502), ("/slow", 504)] {
        let entry = entry(&gate, &Message::form(path, "a=1").signed(), status);
        assert_eq!(entry.text("upstream"), app.url(), "{entry:?}");
        errors.insert(entry.text("error").to_owned());
    }
    let away = Gate::start(&guarded(&app, "").replace(&app.url(), "http://127.0.0.1:9"));
    let entry = entry(&away, &Message::form("/away", "a=1").signed(), 502);
    assert_eq!(entry.text("upstream"), "http://127.0.0.1:9");
    assert!(entry.text("error").to_lowercase().contains("refused"), "{entry:?}");
    errors.insert(entry.text("error").to_owned());
    assert!(errors.len() == 4 && !errors.contains(""), "{errors:?}");
}

#[test]
fn mistakes_are_counted_by_name() {
    let app = Upstream::start();
    let gate = Gate::with(&app, ADMIN);
    for path in ["/a", "/b"] {
        let message = Message::get(path).host("localhost:8080").signed();
        assert_mistake(&entry(&gate, &message, 403), "host_rewritten", true);
    }
    assert_eq!(gate.figure("gatekeeper_mistakes_total{mistake=\"host_rewritten\"}"), Some(2.0));
    assert_eq!(gate.figure("gatekeeper_explanations_skipped_total"), Some(0.0));
}

#[test]
fn explanations_can_be_turned_off() {
    let app = Upstream::start();
    let gate = Gate::start(&format!("explain = false\n{}", guarded(&app, ADMIN)));
    let entry = entry(&gate, &voice().host("localhost:8080").signed(), 403);
    assert_eq!((entry.reason(), entry.text("host")), ("unknown_host", "localhost:8080"));
    assert_eq!((entry.text("mistake"), entry.flag("proven")), ("", None));
    assert_eq!(gate.figure("gatekeeper_explanations_skipped_total"), Some(0.0));
}

/// A flood is logged at once, without explanations, and delays no other request.
#[test]
fn refused_requests_beyond_the_queue_are_logged_without_an_explanation() {
    const FLOOD: usize = 200;
    let app = Upstream::start();
    let gate = Gate::with(&app, ADMIN);
    let mut client = gate.connect();
    let forged: Vec<u8> = (0..FLOOD)
        .flat_map(|n| Message::form(&format!("/{n}"), "a=1").signed_by(OTHER_TOKEN).bytes())
        .collect();
    client.send(&forged);
    for _ in 0..FLOOD {
        assert_eq!(client.response().status, 403);
    }
    assert_eq!(gate.answer(&Message::form("/voice", "a=1").signed()).status, 200);
    let last = gate.outcome_at("POST", &format!("/{}", FLOOD - 1));
    assert_eq!(last.text("mistake"), "", "the queue is full: {last:?}");
    let skipped = gate.figure("gatekeeper_explanations_skipped_total").unwrap();
    assert!(skipped >= 100.0, "{skipped}");
}

#[test]
fn lines_that_wait_for_an_explanation_are_written_at_shutdown() {
    let app = Upstream::start();
    let mut gate = Gate::with(&app, "");
    for n in 0..20 {
        let forged = Message::form(&format!("/{n}"), "a=1").signed_by(OTHER_TOKEN);
        assert_eq!(gate.answer(&forged).status, 403);
    }
    gate.terminate();
    assert_eq!(gate.exit_code(), Some(0));
    std::thread::sleep(Duration::from_millis(50)); // the reader of the log
    for n in 0..20 {
        assert_eq!(gate.outcome_at("POST", &format!("/{n}")).status(), 403);
    }
}
