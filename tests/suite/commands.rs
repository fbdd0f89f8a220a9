//! The commands that connect to a server: `send` and `health`.

use crate::support::{
    HOST, ORIGIN,
    gate::{Folder, Gate, run},
    tls::{Authority, Relay},
    upstream::{Answer, TWIML, Then, Upstream},
};

#[test]
fn send_accepts_a_certificate_for_the_urls_host_only() {
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
    let said = send(HOST, &authority);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stdout.starts_with("HTTP/1.1 200 OK") && said.stdout.contains(TWIML), "{said:?}");
    for said in [send("other.example.com", &authority), send(HOST, &stranger)] {
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.stderr.contains("certificate"), "{said:?}");
    }
    assert_eq!(app.requests().len(), 1);
}

/// Starts an admin listener that responds with this status.
fn saying(status: &str) -> Upstream {
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    Upstream::answering(Answer::raw(&answer).then(Then::Close))
}

#[test]
fn health_exits_with_0_or_1_and_prints_one_line() {
    for (status, code, line) in [
        ("200 OK", 0, "ready\n"),
        ("503 Service Unavailable", 1, "not ready\n"),
        ("404 Not Found", 1, "not ready: answered 404\n"),
        ("who?", 1, "no HTTP answer\n"),
    ] {
        let admin = saying(status);
        let said = run(&["health", "--url", &admin.url()]);
        assert_eq!(said.code, Some(code), "{said:?}");
        let all = said.stdout + &said.stderr;
        assert!(all.ends_with(line) && all.lines().count() == 1, "{all}");
        assert_eq!(admin.only().line(), "GET /readyz HTTP/1.1");
    }
    let gone = saying("200 OK").url();
    let said = run(&["health", "--url", &gone]);
    assert_eq!((said.code, said.stderr.lines().count()), (Some(1), 1), "{said:?}");
}

/// A health check has no access to tokens, so it reads this key only.
#[test]
fn health_reads_admin_listen_from_an_otherwise_faulty_file() {
    let folder = Folder::new();
    let admin = saying("200 OK");
    let config = format!(
        "upstream = 1\nno_such_key = true\nauth_tokens = [{{ file = \"gone\" }}]\n\
         [admin]\nlisten = \"{}\"\n",
        admin.address()
    );
    let file = folder.write("gatekeeper.toml", &config).display().to_string();
    let said = run(&["health", "-c", &file]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), "ready\n"), "{said:?}");
    let file = folder.write("gatekeeper.toml", "listen = \"127.0.0.1:1\"\n").display().to_string();
    let said = run(&["health", "-c", &file]);
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("[admin] listen"), "{said:?}");
}
