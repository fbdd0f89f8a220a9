//! A path that some app reads as a guarded one never finds a public route.
#![no_main]

use std::{path::Path, sync::LazyLock};

use gatekeeper::{config, routes::Table};
use libfuzzer_sys::fuzz_target;

const ROUTES: &str = "
public_url = \"https://hooks.example.com\"
upstream = \"http://127.0.0.1:1\"
auth_tokens = [\"7d3c9f1e5a2b48060c1d9e8f7a6b5c40\"]
[[route]]
path = \"/voice\"
[[route]]
path = \"/sms/*\"
[[route]]
path = \"/*\"
access = \"public\"
";

static TABLE: LazyLock<Table> =
    LazyLock::new(|| config::parse(ROUTES, "routes", Path::new(".")).expect("it is correct").table);

fuzz_target!(|path: &[u8]| {
    if !path.iter().all(|byte| byte.is_ascii_graphic() && !b"?#".contains(byte)) {
        return; // nothing else stands in a request line's path
    }
    let Some(route) = TABLE.find(path) else {
        assert!(!path.starts_with(b"/"), "/* takes every path");
        return;
    };
    if !route.is_public() || TABLE.is_ambiguous(path, route) {
        return;
    }
    for read in [loosely(path), loosely(&loosely(path))] {
        let guarded = read == b"/voice" || read == b"/sms" || read.starts_with(b"/sms/");
        assert!(!guarded, "public, and read as {}", String::from_utf8_lossy(&read));
    }
});

/// As the most lenient app would read it: decoded, folded, cut at `;`, at what ends a path
/// and at controls, dot segments and empty ones resolved.
fn loosely(path: &[u8]) -> Vec<u8> {
    let decoded = decoded(path);
    let ended = |byte: &u8| byte.is_ascii_control() || matches!(byte, b'?' | b'#');
    let until_end = decoded.split(ended).next().unwrap_or_default();
    let mut segments: Vec<Vec<u8>> = Vec::new();
    for segment in until_end.split(|&byte| byte == b'/' || byte == b'\\') {
        match segment.split(|&byte| byte == b';').next().unwrap_or_default() {
            b"" | b"." => {}
            b".." => {
                segments.pop();
            }
            segment => segments.push(segment.to_ascii_lowercase()),
        }
    }
    let mut read = Vec::new();
    for segment in segments {
        read.push(b'/');
        read.extend(segment);
    }
    read
}

fn decoded(path: &[u8]) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|&byte| char::from(byte).to_digit(16));
    let mut bytes = Vec::new();
    let mut at = 0;
    while at < path.len() {
        match (path[at], digit(path.get(at + 1)), digit(path.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high * 16 + low).unwrap());
                at += 3;
            }
            (byte, ..) => {
                bytes.push(byte);
                at += 1;
            }
        }
    }
    bytes
}
