//! A path that some app reads as a guarded one is never admitted on a public route.
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

#[path = "../../tests/suite/support/lenient.rs"]
mod lenient;

fuzz_target!(|path: &[u8]| {
    if !path.iter().all(|byte| byte.is_ascii_graphic() && !b"?#".contains(byte)) {
        return; // not a path of a request line
    }
    let Some(route) = TABLE.find(path) else {
        assert!(!path.starts_with(b"/"), "/* takes every path");
        return;
    };
    if !route.is_public() || TABLE.is_ambiguous(path, route) {
        return;
    }
    for read in [lenient::read(path), lenient::read(&lenient::read(path))] {
        let guarded = read == b"/voice" || read == b"/sms" || read.starts_with(b"/sms/");
        assert!(!guarded, "public, and read as {}", String::from_utf8_lossy(&read));
    }
});
