//! `enforce = false`: requests are judged and logged, and forwarded whatever the verdict.

use crate::support::{
    ORIGIN, TOKEN,
    gate::{Folder, Gate, check, guarded, run},
    message::{FORM, Message},
    upstream::{Answer, Upstream},
};

const OTHER: &str = "00000000000000000000000000000000";
const OPEN: &str = "[[route]]\npath = \"/open/*\"\nenforce = false\nmax_body_bytes = 64\n";
const SHUT: &str = "[[route]]\npath = \"/shut/*\"\n";

/// One request for each lack of a proof.
fn unproven(folder: &str) -> Vec<(&'static str, Message)> {
    let target = |name: &str| format!("/{folder}/{name}");
    let form = |name: &str| Message::form(&target(name), "From=1");
    let json = Message::post(&target("json"), "application/json", b"{}").signed();
    let repeated = form("repeated").signed();
    let repeated = repeated.clone().field("X-Twilio-Signature", &repeated.signature(TOKEN));
    vec![
        ("missing_signature", form("unsigned")),
        ("malformed_signature", form("malformed").field("X-Twilio-Signature", "x")),
        ("malformed_signature", repeated),
        ("signature_mismatch", form("forged").signed_by(OTHER)),
        ("signature_mismatch", form("elsewhere").signed().aimed_at(&target("here"))),
        ("body_not_covered", json),
        ("no_form_params", Message::form(&target("empty"), "").signed()),
        ("unknown_host", form("host").host("other.example.com").signed()),
        ("unknown_key", form("key").signed().field("X-Twilio-Signature-Key-Sid", "unknown")),
        ("account_mismatch", form("account").signed_by(BOUND)),
    ]
}

const BOUND: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f9";

/// A gate with a route that enforces and one that does not, and a token of one account.
fn gate(upstream: &Upstream, more: &str) -> Gate {
    let bound = format!("{{ value = \"{BOUND}\", account_sid = \"AC{:032x}\" }}", 1);
    Gate::start(&format!(
        "public_url = \"{ORIGIN}\"\nupstream = \"{}\"\nauth_tokens = [\"{TOKEN}\", {bound}]\n{more}",
        upstream.url()
    ))
}

#[test]
fn every_lack_of_a_proof_is_observed_and_forwarded() {
    let upstream = Upstream::start();
    let gate = gate(&upstream, &format!("{OPEN}{SHUT}"));
    for (reason, message) in unproven("open") {
        assert_eq!(gate.answer(&message).status, 200, "{reason} {message:?}");
        let outcome = gate.outcome_of(&message);
        assert_eq!((outcome.verdict(), outcome.reason()), ("observed", reason), "{message:?}");
        assert_eq!((outcome.text("key"), outcome.text("candidate")), ("", ""));
        let seen = upstream.taken();
        assert_eq!(seen.len(), 1, "{reason}");
        let line = format!("{} {} HTTP/1.1", message.method, message.target);
        assert_eq!((seen[0].line(), &seen[0].body), (line, &message.body.clone().unwrap()));
    }
    let proven = Message::form("/open/proven", "From=1").signed();
    assert_eq!(gate.answer(&proven).status, 200);
    let outcome = gate.outcome_of(&proven);
    assert_eq!((outcome.verdict(), outcome.reason()), ("admitted", ""));
}

#[test]
fn route_that_enforces_forwards_nothing_unproven_beside_one_that_does_not() {
    let upstream = Upstream::start();
    let gate = gate(&upstream, &format!("{OPEN}{SHUT}"));
    for (reason, message) in unproven("shut") {
        let status = gate.answer(&message).status;
        let outcome = gate.outcome_of(&message);
        assert_eq!((outcome.verdict(), outcome.reason()), ("refused", reason), "{message:?}");
        assert!(matches!(status, 400 | 403 | 418), "{status}");
    }
    assert_eq!(upstream.bytes(), 0, "the app heard of it");
}

#[test]
fn limits_methods_paths_and_unknown_routes_are_refused_without_enforcement() {
    let upstream = Upstream::start();
    let gate = gate(&upstream, &format!("{OPEN}{SHUT}"));
    let long = format!("From={}", "x".repeat(64));
    for (status, reason, message) in [
        (413, "body_too_large", Message::form("/open/long", &long)),
        (403, "method_not_allowed", Message::new("DELETE", "/open/method")),
        (403, "unsafe_path", Message::form("/open/../shut/x", "a=1")),
        (403, "unsafe_path", Message::form("/open//x", "a=1")),
        (418, "missing_signature", Message::form("/elsewhere", "a=1")),
        (403, "unknown_route", Message::form("/elsewhere/2", "a=1").signed()),
    ] {
        assert_eq!(gate.answer(&message).status, status, "{message:?}");
        let outcome = gate.outcome_of(&message);
        assert_eq!(outcome.reason(), reason, "{message:?}");
        assert_eq!(outcome.text("key"), "");
    }
    assert_eq!(upstream.bytes(), 0, "the app heard of it");
}

/// Express reads `/VOICE` and `/voice/` as `/voice`: they must not go around the route that enforces.
#[test]
fn unenforced_subtree_does_not_open_an_enforced_path_inside_it() {
    let upstream = Upstream::start();
    let more = "enforce = false\n[[route]]\npath = \"/*\"\n\
                [[route]]\npath = \"/voice\"\nenforce = true\n";
    let gate = Gate::start(&guarded(&upstream, more));
    let unsigned = |target: &str| Message::form(target, "a=1");
    for target in ["/VOICE", "/voice/", "/%76oice", "/voice/x", "/a/../voice"] {
        let message = unsigned(target);
        assert_eq!(gate.answer(&message).status, 403, "{target}");
        assert_eq!(gate.outcome_of(&message).reason(), "unsafe_path", "{target}");
    }
    assert_eq!(gate.answer(&unsigned("/voice")).status, 418);
    assert_eq!(upstream.bytes(), 0, "the app heard of it");
    assert_eq!(gate.answer(&unsigned("/sms")).status, 200);
}

#[test]
fn repeats_are_observed_without_enforcement() {
    let upstream = Upstream::start();
    let once =
        "[[route]]\npath = \"/*\"\nreplay_window = \"1m\"\nreplay_retries = 0\nenforce = false\n";
    let gate = Gate::start(&guarded(&upstream, once));
    let message = Message::form("/voice", "a=1").signed();
    for (verdict, reason) in [("admitted", ""), ("observed", "replayed"), ("observed", "replayed")]
    {
        assert_eq!(gate.answer(&message).status, 200);
        let outcome = gate.outcome_of(&message);
        assert_eq!((outcome.verdict(), outcome.reason()), (verdict, reason));
    }
    assert_eq!(upstream.requests().len(), 3);
}

#[test]
fn unproven_handshake_becomes_a_tunnel_without_enforcement() {
    let upstream = Upstream::answering(Answer::switching());
    let gate = Gate::with(&upstream, "enforce = false");
    let message = Message::handshake("/ws");
    let mut client = gate.connect();
    client.send(&message.bytes());
    assert_eq!(client.response().status, 101);
    drop(client);
    let outcome = gate.outcome_of(&message);
    assert_eq!((outcome.verdict(), outcome.reason()), ("observed", "missing_signature"));
}

#[test]
fn public_route_stays_public_without_enforcement() {
    let upstream = Upstream::start();
    let public = "enforce = false\n[[route]]\npath = \"/status\"\naccess = \"public\"\n[[route]]\npath = \"/voice\"\n";
    let gate = Gate::start(&guarded(&upstream, public));
    let message = Message::post("/status", FORM, b"a=1");
    assert_eq!(gate.answer(&message).status, 200);
    let outcome = gate.outcome_of(&message);
    assert_eq!((outcome.verdict(), outcome.reason()), ("admitted", ""));
}

#[test]
fn missing_enforcement_is_loud() {
    let upstream = Upstream::start();
    let admin = "[admin]\nlisten = \"127.0.0.1:0\"\n";
    let config = guarded(&upstream, &format!("{OPEN}{SHUT}{admin}"));
    let folder = Folder::new();
    let said = check(&folder.write("gatekeeper.toml", &config)).all();
    assert!(said.contains("twilio (auth_tokens[0]), NOT ENFORCED"), "{said}");
    assert!(said.contains("gatekeeper.toml:4:1: /open/* is NOT ENFORCED"), "{said}");
    let gate = Gate::start(&config);
    let line = gate.log_entry("observing only: unproven requests are forwarded", 0);
    assert_eq!(line["signed_as"], format!("{ORIGIN}/open/*"));
    assert_eq!(gate.log_entry("guarding", 0)["signed_as"], format!("{ORIGIN}/shut/*"));
    assert_eq!(gate.figure("gatekeeper_unenforced_routes"), Some(1.0));
    let message = Message::form("/open/1", "a=1");
    assert_eq!(gate.answer(&message).status, 200);
    gate.outcome_of(&message);
    let counted = "gatekeeper_requests_total{reason=\"missing_signature\",route=\"/open/*\",verdict=\"observed\"}";
    assert_eq!(gate.figure(counted), Some(1.0));
    gate.rewrite(&guarded(&upstream, &format!("{SHUT}{admin}")));
    gate.hang_up();
    gate.log_entry("reloaded", 0);
    assert_eq!(gate.figure("gatekeeper_unenforced_routes"), Some(0.0));
}

#[test]
fn overlap_with_an_enforced_route_is_warned_of() {
    let folder = Folder::new();
    let config = format!(
        "public_url = \"{ORIGIN}\"\nupstream = \"http://127.0.0.1:1\"\n\
         auth_tokens = [{{ env = \"TWILIO_AUTH_TOKEN\" }}]\n\
         [[route]]\npath = \"/*\"\nenforce = false\n[[route]]\npath = \"/voice\"\n"
    );
    let said = check(&folder.write("gatekeeper.toml", &config)).all();
    assert!(said.contains("/* is NOT ENFORCED and overlaps /voice, which is"), "{said}");
}

#[test]
fn observed_request_is_explained() {
    let folder = Folder::new();
    let config = format!(
        "public_url = \"{ORIGIN}\"\nupstream = \"http://127.0.0.1:1\"\nenforce = false\n\
         auth_tokens = [{{ env = \"TWILIO_AUTH_TOKEN\" }}]\n"
    );
    let file = folder.write("gatekeeper.toml", &config).display().to_string();
    let message = Message::form("/voice", "a=1");
    let signature = message.signature_at(TOKEN, "http://hooks.example.com");
    let url = format!("{ORIGIN}/voice");
    let output = run(&["explain", "-c", &file, &url, "--signature", &signature, "-d", "a=1"]);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stdout.starts_with("observed: signature_mismatch"), "{output:?}");
    assert!(output.stdout.contains("wrong_scheme (proven)"), "{output:?}");
}
