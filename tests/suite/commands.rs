//! The commands that open connections: `send` and `health`.

use crate::support::{
    HOST, ORIGIN,
    gate::{Folder, Gate, run},
    tls::{Authority, Relay},
    upstream::{Answer, TWIML, Then, Upstream},
};

#[test]
fn send_verifies_the_server_certificate_against_the_url_host() {
    let app = Upstream::start();
    let gate = Gate::before(&app);
    let (authority, stranger) = (Authority::new(), Authority::new());
    let send = |name: &str, issuer: &Authority| {
        let server = issuer.server(&issuer.issue(name, 2099), false, &["http/1.1"]);
        let relay = Relay::from_tls(server, gate.address());
        let to = format!("https://{}", relay.address);
        let url = format!("{ORIGIN}/voice");
        let ca = authority.ca().display().to_string();
        run(&["send", &url, "--preset", "voice", "--to", &to, "--cacert", &ca])
    };
    let output = send(HOST, &authority);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(
        output.stdout.starts_with("HTTP/1.1 200 OK") && output.stdout.contains(TWIML),
        "{output:?}"
    );
    for output in [send("other.example.com", &authority), send(HOST, &stranger)] {
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(output.stderr.contains("certificate"), "{output:?}");
    }
    assert_eq!(app.requests().len(), 1);
}

/// An admin listener that answers with this status.
fn saying(status: &str) -> Upstream {
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    Upstream::answering(Answer::raw(&answer).then(Then::Close))
}

#[test]
fn health_exits_with_zero_or_one_and_prints_one_line() {
    for (status, code, line) in [
        ("200 OK", 0, "ready\n"),
        ("503 Service Unavailable", 1, "not ready\n"),
        ("404 Not Found", 1, "not ready: answered 404\n"),
        ("who?", 1, "no HTTP answer\n"),
    ] {
        let admin = saying(status);
        let output = run(&["health", "--url", &admin.url()]);
        assert_eq!(output.code, Some(code), "{output:?}");
        let all = output.stdout + &output.stderr;
        assert!(all.ends_with(line) && all.lines().count() == 1, "{all}");
        assert_eq!(admin.only().line(), "GET /readyz HTTP/1.1");
    }
    let gone = saying("200 OK").url();
    let output = run(&["health", "--url", &gone]);
    assert_eq!((output.code, output.stderr.lines().count()), (Some(1), 1), "{output:?}");
}

/// A health check has no tokens and reads one key of the configuration only.
#[test]
fn health_ignores_faults_outside_the_admin_section() {
    let folder = Folder::new();
    let admin = saying("200 OK");
    let config = format!(
        "upstream = 1\nno_such_key = true\nauth_tokens = [{{ file = \"gone\" }}]\n\
         [admin]\nlisten = \"{}\"\n",
        admin.address()
    );
    let file = folder.write("gatekeeper.toml", &config).display().to_string();
    let output = run(&["health", "-c", &file]);
    assert_eq!((output.code, output.stdout.as_str()), (Some(0), "ready\n"), "{output:?}");
    let file = folder.write("gatekeeper.toml", "listen = \"127.0.0.1:1\"\n").display().to_string();
    let output = run(&["health", "-c", &file]);
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("[admin] listen"), "{output:?}");
}
