//! Real apps, proxies and simulators around the real gate. The tests are written in Python, as most
//! of the apps are; each test here runs one Python file and prints its output.
//!
//! `tests/apps/install.sh` installs the packages. Without them the tests print `SKIPPED` and pass,
//! except with `CI=true`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed, and says so")]

use std::{
    env,
    io::{Write, stderr},
    path::Path,
    process::Command,
};

#[test]
fn apps_accept_what_the_gate_forwards() {
    pytest("test_apps.py");
}

#[test]
fn article_attack_is_blocked() {
    pytest("test_attack.py");
}

#[test]
fn websockets_are_tunnelled() {
    pytest("test_websockets.py");
}

#[test]
fn requests_through_proxies_are_verified() {
    pytest("test_proxies.py");
}

#[test]
fn concurrent_streams_lose_no_frame() {
    pytest("test_streams.py");
}

#[test]
fn send_is_accepted_by_gate_and_apps() {
    pytest("test_send.py");
}

#[test]
fn sendgrids_libraries_verify_what_send_signs() {
    pytest("test_sendgrid.py");
}

/// Runs one file of tests.
fn pytest(file: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apps");
    if !folder.join(".cache/installed").exists() {
        return skip(file);
    }
    let mut command = Command::new(folder.join(".cache/python/bin/python"));
    let gate = env!("CARGO_BIN_EXE_gatekeeper");
    command.args(["-B", "-m", "pytest", "-p", "no:cacheprovider", "-q", "-rs", "--tb=short", file]);
    let output = command.current_dir(&folder).env("GATEKEEPER", gate).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

/// Writes to the terminal directly, since libtest captures the output of a passing test.
fn skip(file: &str) {
    let what = format!("SKIPPED tests/apps/{file}: run tests/apps/install.sh first");
    assert!(env::var("CI").as_deref() != Ok("true"), "{what}");
    let mut unhidden = stderr();
    writeln!(unhidden, "{what}").unwrap();
}
