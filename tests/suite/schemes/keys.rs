//! Keys and limits in the configuration: every spelling, every source.

use std::path::Path;

use gatekeeper::config;

use super::{EVENT, TIME};
use crate::support::{
    gate::{Folder, Gate, check, guarded},
    sendgrid::SigningKey,
    upstream::Upstream,
};

fn config(upstream: &Upstream, keys: &str) -> String {
    let route = format!(
        "[[route]]\npath = \"/events\"\naccess = \"sendgrid\"\nverification_keys = {keys}\n\
         max_age = \"1000000d\"\n"
    );
    guarded(upstream, &route)
}

#[test]
fn verification_key_is_read_in_every_spelling_and_from_every_source() {
    let (upstream, key, other) = (Upstream::start(), SigningKey::new(), SigningKey::new());
    let (public, other) = (key.public(), other.public());
    let (first, rest) = public.split_at(64);
    let frame = ["-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"];
    let pem = format!("{}\n{first}\n{rest}\n{}\n", frame[0], frame[1]);
    let unpadded = public.trim_end_matches('=');
    for (keys, name) in [
        (format!("[\"{public}\"]"), "verification_keys[0]"),
        (format!("[\"{other}\", \" {unpadded} \"]"), "verification_keys[1]"),
        (format!("[\"\"\"\n{pem}\"\"\"]"), "verification_keys[0]"),
        (format!("[{{ value = '{}' }}]", pem.replace('\n', "\\n")), "verification_keys[0]"),
        ("[{ file = \"key.pem\" }]".to_owned(), "file:key.pem"),
        ("[{ env = \"SENDGRID_KEY\" }]".to_owned(), "env:SENDGRID_KEY"),
        ("[{ env = \"SENDGRID_KEY\", name = \"events\" }]".to_owned(), "events"),
    ] {
        let folder = Folder::new();
        folder.write("key.pem", &pem);
        let gate = Gate::start_in(folder, &config(&upstream, &keys), &[("SENDGRID_KEY", &public)]);
        let message = key.event("/events", TIME, EVENT);
        assert_eq!(gate.answer(&message).status, 200, "{keys}");
        assert_eq!(gate.outcome_of(&message).text("key"), name, "{keys}");
    }
}

#[test]
fn default_memory_holds_the_longest_body_of_one_peer() {
    let (upstream, key) = (Upstream::start(), SigningKey::new());
    let longest = 31_457_280_u64;
    let keys = format!("[\"{}\"]\nmax_body_bytes = {longest}", key.public());
    let read = config::parse(&config(&upstream, &keys), "gatekeeper.toml", Path::new("."));
    // A quarter of it is one peer's.
    assert_eq!(read.unwrap().limits.max_buffered_bytes, 4 * longest);
}

#[test]
fn check_shows_the_scheme_and_its_keys() {
    let (upstream, key) = (Upstream::start(), SigningKey::new());
    let folder = Folder::new();
    let keys = format!("[\"{}\"]", key.public());
    let output = check(&folder.write("gatekeeper.toml", &config(&upstream, &keys)));
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stdout.contains("sendgrid (verification_keys[0]"), "{output:?}");
    assert!(!output.stdout.contains("warning"), "{output:?}");
}
