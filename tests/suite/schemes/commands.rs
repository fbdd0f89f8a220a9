//! `send` and `sign` for SendGrid and Segment.

use std::{fs, os::unix::fs::PermissionsExt, process::Stdio};

use super::EVENT;
use crate::support::{
    client::Client,
    gate::{CommandOutput, Folder, Gate, command, guarded, run},
    sendgrid::SIGNATURE,
    upstream::Upstream,
};

/// A new private key in the folder, and the line for the configuration.
fn new_key(folder: &Folder) -> (String, String) {
    let file = folder.path().join("key.pem").display().to_string();
    let said = run(&["sign", "--new-sendgrid-key", &file]);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:?}");
    (file, said.stdout)
}

fn with_secret(arguments: &[&str], name: &str, value: &str) -> CommandOutput {
    let mut command = command(arguments);
    let output = command.env(name, value).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    CommandOutput {
        code: output.status.code(),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

#[test]
fn new_key_is_private_never_overwritten_and_its_line_is_valid() {
    let folder = Folder::new();
    let (file, line) = new_key(&folder);
    let private = fs::read_to_string(&file).unwrap();
    assert!(private.starts_with("-----BEGIN PRIVATE KEY-----\n"), "no PEM");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(line.starts_with("verification_keys = [\"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE"));
    let again = run(&["sign", "--new-sendgrid-key", &file]);
    assert_eq!(again.code, Some(1), "{again:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), private);
    let printed = run(&["sign", "--new-sendgrid-key", "-"]);
    assert!(printed.stdout.starts_with("-----BEGIN PRIVATE KEY-----\n"), "{}", printed.stderr);
    assert!(printed.stderr.starts_with("verification_keys = [\"MFkw"), "{}", printed.stderr);
}

#[test]
fn presets_pass_the_gate_with_their_own_key_only() {
    let (upstream, folder) = (Upstream::start(), Folder::new());
    let (file, line) = new_key(&folder);
    let private = fs::read_to_string(&file).unwrap();
    let routes = format!(
        "[[route]]\npath = \"/events\"\naccess = \"sendgrid\"\nmax_age = \"1h\"\n{line}\
         [[route]]\npath = \"/segment\"\naccess = \"segment\"\nshared_secrets = [\"s\"]\n"
    );
    let gate = Gate::start(&guarded(&upstream, &routes));
    let to = format!("http://{}", gate.address());
    let send = |path: &str, preset: &str, more: &[&str], secret: (&str, &str)| {
        let url = format!("https://hooks.example.com{path}");
        let arguments = [&["send", &url, "--to", &to, "--preset", preset], more].concat();
        with_secret(&arguments, secret.0, secret.1)
    };
    let none = ("UNUSED", "");
    for preset in ["sendgrid-events", "sendgrid-parse"] {
        let said = send("/events", preset, &["--sendgrid-key", &file], none);
        assert!(said.stdout.starts_with("HTTP/1.1 200"), "{said:?}");
        let said = send("/events", preset, &[], ("SENDGRID_PRIVATE_KEY", &private));
        assert!(said.stdout.starts_with("HTTP/1.1 200"), "{said:?}");
        let said = send("/events", preset, &[], none);
        assert_eq!(said.code, Some(64), "{said:?}");
    }
    let said = send("/segment", "segment", &[], ("SEGMENT_SECRET", "s"));
    assert!(said.stdout.starts_with("HTTP/1.1 200"), "{said:?}");
    let said = send("/segment", "segment", &[], ("SEGMENT_SECRET", "t"));
    assert!(said.stdout.starts_with("HTTP/1.1 403"), "{said:?}");
    assert_eq!(send("/segment", "segment", &[], none).code, Some(64));
    let requests = upstream.wait_for(5);
    assert_eq!(requests[0].values("Content-Type"), ["application/json;charset=utf-8"]);
    assert!(requests[2].values("Content-Type")[0].starts_with("multipart/form-data"));
    let wrong =
        folder.write("wrong.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    let said =
        send("/events", "sendgrid-events", &["--sendgrid-key", &wrong.display().to_string()], none);
    assert_eq!(said.code, Some(64), "{said:?}");
}

#[test]
fn sign_prints_both_fields_for_a_body() {
    let (upstream, folder) = (Upstream::start(), Folder::new());
    let (file, line) = new_key(&folder);
    let route = format!("[[route]]\npath = \"/events\"\naccess = \"sendgrid\"\n{line}");
    let gate = Gate::with(&upstream, &route);
    let body = folder.path().join("body");
    fs::write(&body, EVENT).unwrap();
    let said = run(&["sign", "--sendgrid-key", &file, "--body", &body.display().to_string()]);
    assert!(said.stdout.starts_with(SIGNATURE), "{said:?}");
    let fields = said.stdout.replace('\n', "\r\n");
    let head = format!(
        "POST /events HTTP/1.1\r\nHost: hooks.example.com\r\nContent-Length: {}\r\n{fields}\r\n",
        EVENT.len()
    );
    let mut client = Client::connect(gate.address());
    client.send(&[head.as_bytes(), EVENT].concat());
    assert_eq!(client.response().status, 200);
}
