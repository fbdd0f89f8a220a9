//! The callers, and the answer that each deserves.

use std::io;

use crate::cli::webhook::{Webhook, encode_form, key_from_token};
use crate::config::Secret;
use crate::signature::Key;

/// The origin configured at Twilio in this story.
pub(super) const PUBLIC_URL: &str = "https://hooks.example.com";

/// The keys of the story.
pub(super) struct Stage {
    token: String,
    other_token: String,
    key: Key,
    other_key: Key,
}

/// One request and the answer it deserves.
pub(super) struct Scene {
    pub(super) title: &'static str,
    pub(super) request: Vec<u8>,
    pub(super) expected: u16,
}

impl Stage {
    pub(super) fn new(token: String, other_token: String) -> io::Result<Self> {
        let key = |token: &str| key_from_token(&Secret::new(token));
        Ok(Self { key: key(&token)?, other_key: key(&other_token)?, token, other_token })
    }

    pub(super) fn token(&self) -> &str {
        &self.token
    }

    pub(super) fn other_token(&self) -> &str {
        &self.other_token
    }

    /// A signed request for a reader to play with.
    pub(super) fn curl(&self, gate: &str) -> String {
        let call = call();
        call.to_curl(&call.signature(&self.key), Some(gate))
    }

    /// Everybody who calls, in order.
    pub(super) fn scenes(&self) -> Vec<Scene> {
        let mut scenes = self.genuine();
        scenes.extend(self.false_ones());
        scenes
    }

    fn genuine(&self) -> Vec<Scene> {
        let get =
            Webhook::get(&format!("{PUBLIC_URL}/weather?CallerCity=San+Francisco&CallSid=CA1"));
        let signed = |title, webhook: Webhook| {
            let request = webhook.to_bytes(Some(&webhook.signature(&self.key)));
            Scene { title, request, expected: 200 }
        };
        vec![
            signed("a call, signed by Twilio", call()),
            signed("a message, signed", message()),
            signed("a GET, signed", get),
            signed("JSON with its hash in the signed URL", events()),
        ]
    }

    fn false_ones(&self) -> Vec<Scene> {
        let signature = |webhook: &Webhook| webhook.signature(&self.key);
        let swapped =
            replaced(&events().to_bytes(Some(&signature(&events()))), "delivered", "undeliver");
        let cold =
            replaced(&call().to_bytes(Some(&signature(&call()))), "San+Francisco", "San+Francisca");
        let empty = Webhook::form(&format!("{PUBLIC_URL}/weather"), Vec::new());
        let elsewhere = call().signature(&self.other_key);
        vec![
            refused(
                "the Anti-Pickleball Coalition's loop: no signature",
                call().to_bytes(None),
                418,
            ),
            refused(
                "a forged signature",
                call().to_bytes(Some("Zm9yZ2VkIGJ5IHRoZSBBUEMhISE=")),
                403,
            ),
            refused("one parameter changed on the way", cold, 403),
            refused("the body swapped under a signed URL", swapped, 403),
            refused("a form without parameters", empty.to_bytes(Some(&signature(&empty))), 400),
            refused("signed with another route's token", call().to_bytes(Some(&elsewhere)), 403),
        ]
    }
}

const fn refused(title: &'static str, request: Vec<u8>, expected: u16) -> Scene {
    Scene { title, request, expected }
}

fn call() -> Webhook {
    let form = encode_form([
        ("CallSid", "CA00000000000000000000000000000000"),
        ("From", "+14155550123"),
        ("To", "+14155550130"),
        ("CallerCity", "San Francisco"),
        ("CallerState", "CA"),
        ("CallerCountry", "US"),
    ]);
    Webhook::form(&format!("{PUBLIC_URL}/weather"), form)
}

fn message() -> Webhook {
    let form = encode_form([
        ("MessageSid", "SM00000000000000000000000000000000"),
        ("From", "+14155550123"),
        ("Body", "Is it too cold for a tournament?"),
    ]);
    Webhook::form(&format!("{PUBLIC_URL}/sms"), form)
}

fn events() -> Webhook {
    let body = br#"[{"type":"com.twilio.messaging.message.delivered"}]"#;
    Webhook::hashed(&format!("{PUBLIC_URL}/events"), body.to_vec())
}

/// Replaces a word by another of the same length.
fn replaced(request: &[u8], from: &str, to: &str) -> Vec<u8> {
    String::from_utf8_lossy(request).replace(from, to).into_bytes()
}
