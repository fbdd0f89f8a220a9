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

#[test]
fn changed_bodies_keys_and_fields_are_named() {
    let desk = Desk::new();
    let event = |body: &[u8]| desk.key.event("/events", TIME, EVENT).body(body);
    let fields = |signature: &str, time: &str| {
        let bare = Message::post("/events", "application/json", EVENT);
        bare.field(SIGNATURE, signature).field(TIMESTAMP, time)
    };
    let good = desk.key.sign(TIME, EVENT);
    let spaced = b"[{\"event\": \"open\"}, {\"event\": \"click\"}]";
    let indented =
        b"[\n  {\n    \"event\": \"open\"\n  },\n  {\n    \"event\": \"click\"\n  }\n]\n";
    let compact = b"[{\"event\":\"open\"},{\"event\":\"click\"}]";
    let feeds = String::from_utf8_lossy(EVENT).replace("\r\n", "\n");
    let cases = [
        ("line end lost", event(&EVENT[..EVENT.len() - 2]), "body_trimmed", true),
        ("line feed for the line end", event(feeds.as_bytes()), "body_altered", true),
        ("line end twice", event(&[EVENT, b"\r\n"].concat()), "body_trimmed", true),
        ("JSON with blanks", event(spaced), "json_reserialised", true),
        ("JSON indented", event(indented), "json_reserialised", true),
        ("JSON without line ends", event(compact), "json_reserialised", true),
        ("another webhook's key", desk.other.event("/events", TIME, EVENT), "other_token", true),
        (
            "unknown key",
            SigningKey::new().event("/events", TIME, EVENT),
            "json_reserialised",
            false,
        ),
        ("another text", event(b"hello\r\n"), "wrong_token", false),
        ("body lost", event(b""), "body_lost", false),
        (
            "timestamp lost",
            Message::post("/events", "application/json", EVENT).field(SIGNATURE, &good),
            "signature_header_lost",
            false,
        ),
        (
            "signature lost",
            Message::post("/events", "text/plain", EVENT),
            "signature_header_lost",
            false,
        ),
        ("timestamp quoted", fields(&good, "\"1790000000\""), "signature_header_altered", false),
        ("HMAC in hex", fields(&"0f".repeat(32), TIME), "signed_wrongly", false),
        (
            "HMAC in base64",
            fields("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", TIME),
            "signed_wrongly",
            false,
        ),
        (
            "host",
            desk.key.event("/events", TIME, EVENT).host("localhost:1"),
            "host_rewritten",
            true,
        ),
        (
            "coded",
            desk.key.event("/events", TIME, EVENT).field("Content-Encoding", "br"),
            "body_reencoded",
            true,
        ),
        (
            "method",
            Message { method: "PUT".into(), ..desk.key.event("/events", TIME, EVENT) },
            "method",
            true,
        ),
        (
            "Segment's signature for another body",
            Message::post("/segment", "application/json", EVENT)
                .field("X-Signature", &"0".repeat(40)),
            "wrong_token",
            false,
        ),
        (
            "Segment's secret in base64",
            Message::post("/segment", "application/json", EVENT)
                .field("X-Signature", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
            "signed_wrongly",
            false,
        ),
    ];
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

#[test]
fn sentences_name_the_schemes_own_fields_and_keys() {
    let desk = Desk::new();
    let bare = Message::post("/events", "application/json", EVENT);
    let (_, _, value) = desk.explain(&bare);
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
