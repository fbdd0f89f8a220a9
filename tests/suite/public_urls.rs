//! Several public URLs, queries in another order, and how both are shown.

use crate::support::{
    ORIGIN, TOKEN,
    gate::{Folder, Gate, check, command, guarded},
    message::Message,
    upstream::Upstream,
};

const OLD: &str = "https://old.example.com";
const NEW: &str = "https://new.example.com/twilio";

/// A gate with an old and a new domain, and one rewritten `Host`.
fn moving(upstream: &Upstream) -> Gate {
    Gate::start(&format!(
        "public_url = [\"{OLD}\", \"{NEW}\"]\nupstream = \"{}\"\nauth_tokens = [\"{TOKEN}\"]\n\
         allowed_hosts = [\"localhost:8080\"]\nforwarded_headers = \"append\"\n",
        upstream.url()
    ))
}

fn signed_for(origin: &str, host: &str) -> Message {
    let message = Message::form("/voice?a=1", "From=1").host(host);
    let signature = message.signature_at(TOKEN, origin);
    message.field("X-Twilio-Signature", &signature)
}

fn reason_of(gate: &Gate, message: &Message) -> (u16, String) {
    let status = gate.answer(message).status;
    (status, gate.outcome_of(message).reason().to_owned())
}

#[test]
fn public_url_of_the_requested_host_counts() {
    let upstream = Upstream::start();
    let gate = moving(&upstream);
    for (origin, host) in [
        (OLD, "old.example.com"),
        (OLD, "OLD.example.com:443"),
        (NEW, "new.example.com"),
        (OLD, "localhost:8080"),
        (NEW, "localhost:8080"),
    ] {
        let message = signed_for(origin, host);
        assert_eq!(reason_of(&gate, &message), (200, String::new()), "{origin} {host}");
    }
    let heard = upstream.bytes();
    for (origin, host, reason) in [
        (OLD, "new.example.com", "signature_mismatch"),
        (NEW, "old.example.com", "signature_mismatch"),
        ("https://new.example.com", "new.example.com", "signature_mismatch"),
        ("https://other.example.com", "localhost:8080", "signature_mismatch"),
        ("https://other.example.com", "other.example.com", "unknown_host"),
    ] {
        let message = signed_for(origin, host);
        assert_eq!(reason_of(&gate, &message), (403, reason.to_owned()), "{origin} {host}");
    }
    assert_eq!(upstream.bytes(), heard, "the app heard of what was refused");
}

#[test]
fn forwarded_scheme_is_that_of_the_url_that_was_signed() {
    let upstream = Upstream::start();
    let gate = Gate::start(&format!(
        "public_url = [\"https://h.example\", \"http://h.example\"]\nupstream = \"{}\"\n\
         auth_tokens = [\"{TOKEN}\"]\nforwarded_headers = \"append\"\n",
        upstream.url()
    ));
    for scheme in ["http", "https"] {
        let message = signed_for(&format!("{scheme}://h.example"), "h.example");
        assert_eq!(reason_of(&gate, &message), (200, String::new()), "{scheme}");
    }
    let told = upstream.requests();
    let told: Vec<_> = told.iter().map(|seen| seen.values("X-Forwarded-Proto")).collect();
    assert_eq!(told, [["http"], ["https"]]);
}

#[test]
fn trusted_proxy_may_state_any_of_several_public_urls() {
    let upstream = Upstream::start();
    let gate = Gate::start(&format!(
        "public_url = [\"{OLD}\", \"{NEW}\"]\nupstream = \"{}\"\nauth_tokens = [\"{TOKEN}\"]\n\
         [trust]\nproxies = [\"127.0.0.1\"]\nhosts = [\"*.ngrok-free.app\"]\n",
        upstream.url()
    ));
    let stated = |origin: &str, host: &str| {
        signed_for(origin, "localhost")
            .field("X-Forwarded-Host", host)
            .field("X-Forwarded-Proto", "https")
    };
    for (origin, host) in [(OLD, "old.example.com"), (NEW, "new.example.com")] {
        assert_eq!(reason_of(&gate, &stated(origin, host)), (200, String::new()), "{host}");
    }
    let refused = (403, "signature_mismatch".to_owned());
    assert_eq!(reason_of(&gate, &stated(OLD, "new.example.com")), refused);
}

/// Signed as written, sent sorted, as Twilio is reported to do.
fn sorted(written: &str, sent: &str, message: impl Fn(&str) -> Message) -> Message {
    message(written).signed().aimed_at(sent)
}

#[test]
fn query_in_another_order_is_accepted_only_where_the_route_says_so() {
    let upstream = Upstream::start();
    let any = "[[route]]\npath = \"/any/*\"\nquery_order = \"any\"\n[[route]]\npath = \"/as/*\"\n";
    let gate = Gate::start(&guarded(&upstream, any));
    let form = |target: &str| Message::form(target, "From=1");
    let admitted = [
        sorted("/any/1?b=2&a=1", "/any/1?a=1&b=2", form),
        sorted("/any/2?e=5&c=3&b=%3a&d&a=1", "/any/2?a=1&b=%3a&c=3&d&e=5", form),
        sorted("/any/3?b=2&a=1", "/any/3?a=1&b=2", Message::get),
        sorted("/any/4?a=2&b=1&a=1", "/any/4?a=2&a=1&b=1", form),
    ];
    for message in &admitted {
        assert_eq!(gate.answer(message).status, 200, "{message:?}");
        assert_eq!(gate.outcome_of(message).text("candidate"), "reordered");
    }
    let lines: Vec<_> = upstream.requests().iter().map(|seen| seen.line()).collect();
    assert_eq!(lines[0], "POST /any/1?a=1&b=2 HTTP/1.1", "it is forwarded as it came");
    let heard = upstream.bytes();
    for message in [
        sorted("/as/1?b=2&a=1", "/as/1?a=1&b=2", form),
        sorted("/any/1?b=2&a=1", "/any/1?a=2&b=1", form),
        sorted("/any/1?b=2&a=1", "/any/1?a=1", form),
        sorted("/any/1?b=2&a=1", "/any/1?a=1&b=2&c=3", form),
        sorted("/any/1?a=1&a=2", "/any/1?a=2&a=1", form),
        sorted("/any/1?a=1&b[]=2&b[]=3", "/any/1?a=1&b[]=3&b[]=2", form),
        sorted("/any/1?f=6&e=5&d=4&c=3&b=2&a=1", "/any/1?a=1&b=2&c=3&d=4&e=5&f=6", form),
    ] {
        assert_eq!(reason_of(&gate, &message), (403, "signature_mismatch".to_owned()));
    }
    assert_eq!(upstream.bytes(), heard, "the app heard of what was refused");
}

#[test]
fn handshake_with_its_query_in_another_order_is_accepted() {
    let upstream = Upstream::start();
    let gate = Gate::with(&upstream, "query_order = \"any\"");
    let message = sorted("/ws?b=2&a=1", "/ws?a=1&b=2", Message::handshake);
    gate.answer(&message);
    assert_eq!(gate.outcome_of(&message).text("candidate"), "reordered");
}

/// A configuration with one route of this path.
fn written(public_url: &str, path: &str) -> String {
    format!(
        "public_url = \"{public_url}\"\nupstream = \"http://127.0.0.1:1\"\n\
         auth_tokens = [{{ env = \"TWILIO_AUTH_TOKEN\" }}]\n[[route]]\npath = \"{path}\"\n"
    )
}

#[test]
fn path_of_the_webhook_in_public_url_is_warned_of() {
    let folder = Folder::new();
    let said = |url: &str, path: &str| {
        let output = check(&folder.write("gatekeeper.toml", &written(url, path)));
        assert_eq!(output.code, Some(0), "{output:?}");
        output.all()
    };
    for (url, path, why, signed) in [
        ("https://h/voice", "/voice", "its path comes before", "https://h/voice/voice"),
        ("https://h/voice/", "/voice", "its path comes before", "https://h/voice/voice"),
        ("https://h/app/voice", "/voice", "its path comes before", "https://h/app/voice/voice"),
        ("https://h/sms/in", "/sms/*", "its path comes before", "https://h/sms/in/sms/*"),
        ("https://h/*", "/voice", "a * is no pattern here", "https://h/*/voice"),
        ("https://h//", "/voice", "its path has empty segments", "https://h//voice"),
    ] {
        let said = said(url, path);
        assert!(said.contains(&format!("gatekeeper.toml:1:14: {why}")), "{url}: {said}");
        assert!(said.contains(&format!("signed as {signed} would match")), "{url}: {said}");
        assert!(said.contains("write public_url = \"https://h\","), "{url}: {said}");
    }
    for (url, path, signed) in [
        ("https://h/twilio", "/voice", "  https://h/twilio/voice  "),
        ("https://h/twilio/", "/*", "  https://h/twilio/*  "),
        ("https://u:p@h#rc=2", "/voice", "  https://h/voice  "),
    ] {
        let said = said(url, path);
        assert!(said.contains(signed) && !said.contains("warning"), "{url}: {said}");
    }
}

#[test]
fn start_says_which_urls_it_expects_to_be_signed() {
    let folder = Folder::new();
    let lists = written(ORIGIN, "/voice").replacen(
        &format!("\"{ORIGIN}\""),
        &format!("[\"{OLD}\", \"{NEW}\"]"),
        1,
    );
    let output = check(&folder.write("gatekeeper.toml", &lists));
    let both = format!("{OLD}/voice or {NEW}/voice");
    assert!(output.all().contains(&both), "{output:?}");
    let gate = Gate::start(&lists);
    let line = gate.log_entry("guarding", 0);
    assert_eq!(
        (&line["signed_as"], &line["upstream"]),
        (&both.into(), &"http://127.0.0.1:1".into())
    );
    let twice = Gate::start(&written(&format!("{ORIGIN}/voice"), "/voice"));
    twice.log_entry("guarding", 0);
    assert!(twice.log().contains("/voice/voice would match"), "{}", twice.log());
}

#[test]
fn flags_are_enough_where_the_file_of_the_variable_does_not_exist() {
    let folder = Folder::new();
    let upstream = Upstream::start();
    let url = upstream.url();
    let flags = ["run", "--upstream", &url, "--public-url", ORIGIN, "--listen", "127.0.0.1:0"];
    let mut from_image = command(&flags);
    from_image.env("GATEKEEPER_CONFIG", folder.path().join("gatekeeper.toml"));
    let gate = Gate::launch(from_image, Folder::new());
    let line = gate.log_entry("no such file: running from the flags", 0);
    assert!(line["file"].as_str().unwrap().ends_with("gatekeeper.toml"), "{line}");
    let message = Message::form("/voice", "a=1").signed();
    assert_eq!(gate.answer(&message).status, 200);
    let unsigned = Message::form("/voice", "a=1");
    assert_eq!(gate.answer(&unsigned).status, 418);
}

#[test]
fn missing_file_is_a_fault_where_flags_do_not_say_everything() {
    let gone = "/nonexistent/gatekeeper.toml";
    let code = |arguments: &[&str], variable: &str| {
        let mut command = command(arguments);
        let output = command.env("GATEKEEPER_CONFIG", variable).output().unwrap();
        output.status.code()
    };
    let complete = ["check", "--upstream", "http://127.0.0.1:1", "--public-url", ORIGIN];
    assert_eq!(code(&complete, gone), Some(0));
    assert_eq!(code(&complete, ""), Some(0));
    assert_eq!(code(&complete[..3], gone), Some(78));
    assert_eq!(code(&["check"], gone), Some(78));
    assert_eq!(code(&[&complete[..], &["-c", "/nonexistent/other.toml"]].concat(), gone), Some(78));
}

#[test]
fn empty_variables_count_as_unset() {
    let folder = Folder::new();
    let file = folder.write("gatekeeper.toml", &written(ORIGIN, "/voice"));
    let mut check = command(&["check", "-c", &file.display().to_string()]);
    for name in ["GATEKEEPER_LISTEN", "GATEKEEPER_PUBLIC_URL", "GATEKEEPER_UPSTREAM"] {
        check.env(name, "");
    }
    let output = check.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("127.0.0.1:8080") && said.contains(ORIGIN), "{output:?}");
    let upstream = Upstream::start();
    let gate = Gate::start_in(Folder::new(), &guarded(&upstream, ""), &[("GATEKEEPER_LOG", "")]);
    gate.log_entry("listening", 0);
}
