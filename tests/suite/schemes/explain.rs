//! `gatekeeper explain` for senders that sign the body and no URL.

use std::fs;

use serde_json::Value;

use super::{EVENT, TIME};
use crate::support::{
    gate::{Folder, guarded, run},
    message::Message,
    sendgrid::{SIGNATURE, SigningKey, TIMESTAMP},
    upstream::Upstream,
};

struct Desk {
    folder: Folder,
    config: String,
    key: SigningKey,
    other: SigningKey,
}

impl Desk {
    fn new() -> Self {
        let (folder, upstream) = (Folder::new(), Upstream::start());
        let (key, other) = (SigningKey::new(), SigningKey::new());
        let route = |path: &str, key: &SigningKey| {
            let key = key.public();
            format!(
                "[[route]]\npath = \"{path}\"\naccess = \"sendgrid\"\nmax_age = \"1000000d\"\n\
                 verification_keys = [\"{key}\"]\n"
            )
        };
        let segment = "[[route]]\npath = \"/segment\"\naccess = \"segment\"\n\
            shared_secrets = [\"a shared secret\"]\n";
        let routes = route("/events", &key) + &route("/mail", &other) + segment;
        let config = folder.write("gatekeeper.toml", &guarded(&upstream, &routes));
        Self { config: config.display().to_string(), folder, key, other }
    }

    /// The first mistake, whether it is proven, and the whole answer.
    fn explain(&self, message: &Message) -> (String, bool, Value) {
        let file = self.folder.path().join("request");
        fs::write(&file, message.bytes()).unwrap();
        let file = file.display().to_string();
        let said = run(&["explain", "-c", &self.config, "--request", &file, "--json"]);
        let value: Value = serde_json::from_str(&said.stdout).unwrap_or_default();
        let first = &value["mistakes"][0];
        let named = first["mistake"].as_str().unwrap_or_default().to_owned();
        let shown = said.all();
        for secret in [&self.key.sign(TIME, EVENT), "click", "a shared secret"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        (named, first["proven"] == true, value)
    }
}

/// A request, the first mistake in it, and whether that is proven.
type Case = (&'static str, Message, &'static str, bool);

fn assert_named(desk: &Desk, cases: &[Case]) {
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|(what, message, mistake, proven)| {
            let (named, is_proven, value) = desk.explain(message);
            let right = named == *mistake && is_proven == *proven;
            (!right).then(|| format!("{what}: {mistake} {proven} is not {value}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn bare() -> Message {
    Message::post("/events", "application/json", EVENT)
}

#[test]
fn changed_bodies_are_named() {
    let desk = Desk::new();
    let event = |body: &[u8]| desk.key.event("/events", TIME, EVENT).body(body);
    let spaced = b"[{\"event\": \"open\"}, {\"event\": \"click\"}]";
    let indented =
        b"[\n  {\n    \"event\": \"open\"\n  },\n  {\n    \"event\": \"click\"\n  }\n]\n";
    let compact = b"[{\"event\":\"open\"},{\"event\":\"click\"}]";
    let feeds = String::from_utf8_lossy(EVENT).replace("\r\n", "\n");
    let whole = || desk.key.event("/events", TIME, EVENT);
    assert_named(
        &desk,
        &[
            ("line end lost", event(&EVENT[..EVENT.len() - 2]), "body_trimmed", true),
            ("line feeds", event(feeds.as_bytes()), "body_altered", true),
            ("line end twice", event(&[EVENT, b"\r\n"].concat()), "body_trimmed", true),
            ("JSON with blanks", event(spaced), "json_reserialised", true),
            ("JSON indented", event(indented), "json_reserialised", true),
            ("JSON without line ends", event(compact), "json_reserialised", true),
            ("another text", event(b"hello\r\n"), "wrong_token", false),
            ("body lost", event(b""), "body_lost", false),
            ("coded", whole().field("Content-Encoding", "br"), "body_reencoded", true),
            ("two types", whole().field("Content-Type", "a/b"), "content_type_changed", true),
        ],
    );
}

#[test]
fn wrong_keys_fields_hosts_and_methods_are_named() {
    let desk = Desk::new();
    let good = desk.key.sign(TIME, EVENT);
    let fields =
        |signature: &str, time: &str| bare().field(SIGNATURE, signature).field(TIMESTAMP, time);
    let whole = || desk.key.event("/events", TIME, EVENT);
    let segment = |signature: &str| bare().aimed_at("/segment").field("X-Signature", signature);
    let stranger = SigningKey::new().event("/events", TIME, EVENT);
    let base64 = format!("{}=", "A".repeat(43));
    assert_named(
        &desk,
        &[
            ("other webhook", desk.other.event("/events", TIME, EVENT), "other_token", true),
            ("unknown key", stranger, "json_reserialised", false),
            ("no timestamp", bare().field(SIGNATURE, &good), "signature_header_lost", false),
            ("no field", bare(), "signature_header_lost", false),
            ("quoted", fields(&good, "\"1790000000\""), "signature_header_altered", false),
            ("HMAC in hex", fields(&"0f".repeat(32), TIME), "signed_wrongly", false),
            ("HMAC in base64", fields(&base64, TIME), "signed_wrongly", false),
            ("host", whole().host("localhost:1"), "host_rewritten", true),
            ("method", Message { method: "PUT".into(), ..whole() }, "method", true),
            ("Segment, another secret", segment(&"0".repeat(40)), "wrong_token", false),
            ("Segment in base64", segment(&base64), "signed_wrongly", false),
        ],
    );
}

#[test]
fn sentences_name_the_schemes_own_fields_and_keys() {
    let desk = Desk::new();
    let (_, _, value) = desk.explain(&bare());
    assert!(value["mistakes"][0]["says"].as_str().unwrap().contains(TIMESTAMP), "{value}");
    let (_, _, value) = desk.explain(&desk.other.event("/events", TIME, EVENT));
    let first = &value["mistakes"][0];
    assert!(first["cure"].as_str().unwrap().contains("verification_keys"), "{value}");
    let text = value.to_string();
    assert!(!text.contains("auth token") && !text.contains("X-Twilio-Signature"), "{text}");
    assert!(first["where"]["line"].as_u64().is_some(), "{value}");
}

#[test]
fn passing_request_is_said_to_pass() {
    let desk = Desk::new();
    let (_, _, value) = desk.explain(&desk.key.event("/events", TIME, EVENT));
    assert_eq!(value["verdict"], "admitted");
}
