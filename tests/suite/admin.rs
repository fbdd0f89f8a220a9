//! The admin listener and the notifications to systemd.

use std::{os::unix::net::UnixDatagram, time::Duration};

use crate::support::{
    TEST_TIMEOUT,
    client::Response,
    gate::{Folder, Gate, guarded, run},
    message::Message,
    upstream::Upstream,
};

const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";

fn ask(gate: &Gate, method: &str, target: &str) -> Response {
    let mut admin = gate.admin();
    admin.send(format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
    admin.response()
}

#[test]
fn admin_listener_serves_three_paths_only() {
    let app = Upstream::start();
    let gate = Gate::with(&app, ADMIN);
    for (target, status) in [
        ("/healthz", 200),
        ("/readyz", 200),
        ("/readyz?x", 200),
        ("/metrics", 200),
        ("/", 404),
        ("/voice", 404),
        ("/metrics/", 404),
    ] {
        assert_eq!(ask(&gate, "GET", target).status, status, "{target}");
    }
    assert_eq!(ask(&gate, "POST", "/healthz").status, 405);
    let mut admin = gate.admin();
    admin.send(b"HEAD /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let rest = String::from_utf8(admin.rest().unwrap()).unwrap();
    assert!(rest.starts_with("HTTP/1.1 200") && rest.ends_with("\r\n\r\n"), "{rest}");
    assert_eq!(app.bytes(), 0);
}

#[test]
fn metrics_count_each_outcome() {
    let app = Upstream::start();
    let gate = Gate::with(&app, ADMIN);
    let admitted = "gatekeeper_requests_total{reason=\"\",route=\"/*\",verdict=\"admitted\"}";
    assert_eq!(gate.figure(admitted), Some(0.0));
    let signed = Message::form("/a", "b=c").signed();
    assert_eq!(gate.answer(&signed).status, 200);
    gate.outcome_of(&signed);
    assert_eq!(gate.figure(admitted), Some(1.0));
    let refused =
        "gatekeeper_requests_total{reason=\"missing_signature\",route=\"/*\",verdict=\"refused\"}";
    let unsigned = Message::get("/");
    assert_eq!(gate.answer(&unsigned).status, 418);
    gate.outcome_of(&unsigned);
    assert_eq!(gate.figure(refused), Some(1.0));
}

#[test]
fn readiness_fails_while_draining() {
    let app = Upstream::start();
    let gate = Gate::with(&app, &format!("{ADMIN}[limits]\ndrain_delay = \"1500ms\"\n"));
    let line = gate.log_entry("admin listening", 0);
    let url = format!("http://{}", line["address"].as_str().unwrap());
    assert_eq!(run(&["health", "--url", &url]).code, Some(0));
    gate.terminate();
    gate.log_entry("stopping", 0);
    let said = run(&["health", "--url", &url]);
    assert_eq!((said.code, said.stderr.as_str()), (Some(1), "not ready\n"));
    assert_eq!(ask(&gate, "GET", "/healthz").status, 200, "alive all the same");
    let signed = Message::form("/a", "b=c").signed();
    assert_eq!(gate.answer(&signed).status, 200, "what still comes is answered");
}

/// The next message, as systemd reads it.
fn next(socket: &UnixDatagram) -> String {
    let mut message = [0; 1024];
    let length = socket.recv(&mut message).unwrap();
    String::from_utf8_lossy(&message[..length]).into_owned()
}

#[test]
fn systemd_is_notified_of_start_reload_and_stop() {
    let app = Upstream::start();
    let folder = Folder::new();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
    let variable = [("NOTIFY_SOCKET", path.to_str().unwrap())];
    let gate = Gate::start_in(folder, &guarded(&app, ""), &variable);
    assert!(next(&socket).starts_with("READY=1"));
    gate.hang_up();
    let reloading = next(&socket);
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert!(next(&socket).starts_with("READY=1"));
    gate.rewrite("no = 1");
    assert!(next(&socket).starts_with("RELOADING=1"));
    let failed = next(&socket);
    assert!(failed.starts_with("READY=1\nSTATUS=") && failed.contains("failed"), "{failed}");
    gate.terminate();
    assert!(next(&socket).starts_with("STOPPING=1"));
    std::thread::sleep(Duration::from_millis(10));
}
