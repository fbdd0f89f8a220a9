//! The commands that open connections: `send` and `health`.

use std::path::Path;

use crate::support::{
    HOST, ORIGIN, TOKEN,
    gate::{CommandOutput, Folder, Gate, command, output_of, run},
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

/// Runs `send` in this folder against this gate.
fn send_in(folder: &Path, gate: &Gate, arguments: &[&str]) -> CommandOutput {
    let to = format!("http://{}", gate.address());
    let mut send = command(&[&["send"], arguments, &["--to", &to]].concat());
    output_of(send.current_dir(folder))
}

/// The refusal of a gate is explained with the configuration that `-c` names, or that lies here.
#[test]
fn send_explains_a_refusal_and_exits_with_1() {
    let app = Upstream::start();
    let gate = Gate::before(&app);
    let (elsewhere, here) = (Folder::new(), gate.folder().path());
    let config = here.join("gatekeeper.toml").display().to_string();
    let url = "http://hooks.example.com/voice";
    let voice = [url, "--preset", "voice"];
    for said in [
        send_in(elsewhere.path(), &gate, &[&voice[..], &["-c", &config]].concat()),
        send_in(here, &gate, &voice),
        send_in(here, &gate, &[url, "--preset", "media-stream"]),
    ] {
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.stdout.starts_with("HTTP/1.1 403 Forbidden"), "{said:?}");
        for part in ["refused: signature_mismatch", "1. wrong_scheme (proven)", "cure: "] {
            assert!(said.stderr.contains(part), "{part}: {said:?}");
        }
        assert!(!said.all().contains(TOKEN), "{said:?}");
    }
    let said = send_in(elsewhere.path(), &gate, &voice);
    assert!(said.code == Some(1) && said.stderr.contains("name its configuration with -c"));
    let right = ["https://hooks.example.com/voice", "--preset", "voice"];
    let said = send_in(here, &gate, &right);
    assert!(said.code == Some(0) && !said.stderr.contains("cure"), "{said:?}");
    assert_eq!(app.requests().len(), 1);
}

#[test]
fn send_names_the_token_that_is_not_the_gates() {
    let app = Upstream::start();
    let config = format!(
        "public_url = \"{ORIGIN}\"\nupstream = \"{}\"\nauth_tokens = [\"{}\"]\n",
        app.url(),
        "00000000000000000000000000000000"
    );
    let gate = Gate::start(&config);
    let url = format!("{ORIGIN}/voice");
    let said = send_in(gate.folder().path(), &gate, &[&url, "--preset", "voice"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("1. wrong_token (proven)"), "{said:?}");
    assert!(said.stderr.contains("TWILIO_AUTH_TOKEN signed it"), "{said:?}");
}

/// The gate has let it pass: nothing of its is to be explained.
#[test]
fn send_tells_an_apps_403_from_a_refusal() {
    for (status, told) in [("403 Forbidden", true), ("404 Not Found", false), ("302 Found", false)]
    {
        let app = saying(status);
        let gate = Gate::before(&app);
        let url = format!("{ORIGIN}/voice");
        let said = send_in(gate.folder().path(), &gate, &[&url, "--preset", "voice"]);
        assert_eq!(said.code, Some(i32::from(!status.starts_with('3'))), "{said:?}");
        assert_eq!(said.stderr.contains("would let it pass"), told, "{said:?}");
    }
}

#[test]
fn send_says_that_nothing_listens() {
    let gone = Upstream::start().address();
    let to = format!("http://{gone}");
    let said = run(&["send", "https://hooks.example.com/voice", "--preset", "voice", "--to", &to]);
    let line =
        format!("gatekeeper: cannot reach {gone}: connection refused. Is the gate running?\n");
    assert_eq!((said.code, said.stderr), (Some(1), line));
}

#[test]
fn every_commands_help_names_its_variables_and_two_examples() {
    let help = run(&["--help"]).stdout;
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = listed.map_while(|line| line.strip_prefix("  ")?.split(' ').next());
    let commands: Vec<&str> = commands.filter(|name| *name != "help").collect();
    assert!(commands.len() >= 10, "{commands:?}");
    for name in &commands {
        let help = run(&[name, "--help"]).stdout;
        let example = format!("\n  gatekeeper {name}");
        assert_eq!(help.matches(&example).count(), 2, "{help}");
        let needs_token = ["run", "check", "sign", "send", "explain", "doctor"].contains(name);
        assert_eq!(help.contains("TWILIO_AUTH_TOKEN"), needs_token, "{help}");
        assert_eq!(help.contains("GATEKEEPER_LOG"), *name == "run", "{help}");
    }
}
