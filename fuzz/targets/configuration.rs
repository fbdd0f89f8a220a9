//! Any text is a configuration or a list of faults; neither shows a token.
#![no_main]

use std::path::Path;

use gatekeeper::config;
use libfuzzer_sys::fuzz_target;

const TOKEN: &str = "7d3c9f1e5a2b48060c1d9e8f7a6b5c40";

fuzz_target!(|text: &str| {
    // Files are read for real; a device might never end.
    if text.contains("dev") || text.contains("proc") || text.contains("\\u") {
        return;
    }
    let around = [
        format!("auth_tokens = [\"{TOKEN}\"]\n{text}"),
        format!("auth_tokens = [{{ value = \"{TOKEN}\" }}]\n{text}"),
        format!("{text}\nauth_tokens = [\"{TOKEN}\"]\n"),
        format!("{text}\n[[route]]\npath = \"/x\"\nauth_tokens = [{{ value = \"{TOKEN}\" }}]\n"),
    ];
    for text in around {
        let said = match config::parse(&text, "fuzzed", Path::new("/nonexistent")) {
            Ok(config) => format!("{config:?}"),
            Err(faults) => format!("{faults} {faults:?}"),
        };
        assert!(!said.contains(TOKEN), "the token is shown");
    }
});
