//! The configurations in `tests/config`, read by the real binary.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::support::{
    gate::{CommandOutput, Folder, check, command, run},
    tls::{Authority, Pair},
};

fn files(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config").join(kind);
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    files
}

/// The secrets in a file, which a comment `# secret: …` names.
fn secrets(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.trim().strip_prefix("# secret: ")).collect()
}

/// What is wrong with what was output of a file.
fn wrong(file: &Path, code: i32, output: &CommandOutput) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let mut wrong = Vec::new();
    if output.code != Some(code) {
        wrong.push(format!("ended with {:?}", output.code));
    }
    for secret in secrets(&text) {
        assert!(text.matches(secret).count() > 1, "{}: unused secret", file.display());
        if output.all().contains(secret) {
            wrong.push(format!("shows the secret {secret}"));
        }
    }
    wrong
}

/// The faults expected of a file that are not told, and whether more are told than expected.
fn missed(file: &Path, output: &CommandOutput) -> Vec<String> {
    let expected = fs::read_to_string(file.with_extension("expected")).unwrap();
    assert!(!expected.trim().is_empty(), "{} expects nothing", file.display());
    let untold = expected.lines().filter(|line| !output.all().contains(line));
    let mut missed: Vec<_> = untold.map(|line| format!("does not say {line:?}")).collect();
    let told = output.all().lines().filter(|line| line.starts_with("    = ")).count();
    let wanted = expected.lines().filter(|line| !line.starts_with("    = ")).count();
    if told != wanted {
        missed.push(format!("tells {told} faults, not {wanted}"));
    }
    missed
}

/// Runs a check of each file and fails with all deviations.
fn assert_right(files: &[PathBuf], ask: impl Fn(&Path) -> (CommandOutput, Vec<String>)) {
    let mut failures = Vec::new();
    for file in files {
        let (output, wrong) = ask(file);
        if !wrong.is_empty() {
            let name = file.file_name().unwrap().display();
            failures.push(format!("{name}: {}\n{}", wrong.join("; "), output.all()));
        }
    }
    assert!(failures.is_empty(), "{} files:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn valid_configurations_are_accepted() {
    let files = files("valid");
    assert!(files.len() >= 8, "{files:?}");
    assert_right(&files, |file| {
        let output = check(file);
        let wrong = wrong(file, 0, &output);
        (output, wrong)
    });
}

#[test]
fn invalid_configurations_report_every_fault_with_its_line() {
    let files = files("invalid");
    assert!(files.len() >= 20, "{files:?}");
    assert_right(&files, |file| {
        let output = check(file);
        let wrong = [wrong(file, 78, &output), missed(file, &output)].concat();
        (output, wrong)
    });
}

#[test]
fn run_refuses_every_configuration_that_check_refuses() {
    assert_right(&files("invalid"), |file| {
        let output = run(&["run", "-c", &file.display().to_string()]);
        let wrong = wrong(file, 78, &output);
        (output, wrong)
    });
}

#[test]
fn missing_configuration_file_is_a_fault() {
    let output = check(Path::new("/nonexistent/gatekeeper.toml"));
    assert_eq!(output.code, Some(78), "{output:?}");
    assert!(output.all().contains("cannot read it"), "{output:?}");
}

#[test]
fn tokens_are_read_from_files_and_environment_variables() {
    let folder = Folder::new();
    folder.write("token", "7d3c9f1e5a2b48060c1d9e8f7a6b5c40\r\n");
    let config = "public_url = \"https://h.example\"\nupstream = \"http://127.0.0.1:1\"\n\
        auth_tokens = [{ file = \"token\" }, { env = \"TWILIO_AUTH_TOKEN\" }]\n";
    let output = check(&folder.write("gatekeeper.toml", config));
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(!output.all().contains("7d3c9f1e5a2b"), "{output:?}");
    folder.write("token", "\n");
    let output = check(&folder.write("gatekeeper.toml", config));
    assert_eq!(output.code, Some(78), "{output:?}");
    assert!(
        output.all().contains("gatekeeper.toml:3:16: auth_tokens: the token is empty"),
        "{output:?}"
    );
}

/// Each is named with its line and its cure, and none is shown.
#[test]
fn tokens_that_are_hardly_auth_tokens_are_warned_about() {
    let folder = Folder::new();
    let token = "7d3c9f1e5a2b48060c1d9e8f7a6b5c40";
    let marked = format!("\u{feff}{token}");
    folder.write("marked", &marked);
    let (sid, key) = (format!("AC{token}"), format!("SK{token}"));
    let (spaced, quoted) = (token.replace("5a", " "), format!("'{token}'"));
    let lines = [
        (format!("\"{sid}\""), "it is a SID"),
        (format!("{{ value = \"{key}\" }}"), "it is a SID"),
        ("{ file = \"marked\" }".to_owned(), "it begins with a byte order mark"),
        (format!("\"{spaced}\""), "it has a blank in it"),
        (format!("\"{quoted}\""), "quotes or blanks stand around it"),
    ];
    let tokens: Vec<&str> = lines.iter().map(|(token, _)| token.as_str()).collect();
    let config = format!(
        "public_url = \"https://h.example\"\nupstream = \"http://127.0.0.1:1\"\nauth_tokens = [\n{}\n]\n",
        tokens.join(",\n")
    );
    let output = check(&folder.write("gatekeeper.toml", &config));
    assert_eq!(output.code, Some(0), "{output:?}");
    for (number, (_, says)) in (4..).zip(&lines) {
        let warning = format!("gatekeeper.toml:{number}:1: this is hardly an auth token: {says}; ");
        assert!(output.all().contains(&warning), "{warning}: {output:?}");
    }
    assert!(!output.all().contains(&token[..12]) && !output.all().contains(&token[20..]));
}

#[test]
fn a_variable_that_is_unset_empty_or_in_capitals_is_named_without_a_file() {
    let folder = Folder::new();
    let checked = |value: Option<&str>| {
        let flags = ["--upstream", "http://127.0.0.1:1", "--public-url", "https://h.example"];
        let mut command = command(&[&["check"], &flags[..]].concat());
        command.current_dir(folder.path()).env_remove("TWILIO_AUTH_TOKEN");
        command.envs(value.map(|value| ("TWILIO_AUTH_TOKEN", value)));
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for (value, says) in [
        (None, "the variable TWILIO_AUTH_TOKEN is not set"),
        (Some(""), "the variable TWILIO_AUTH_TOKEN is set, but empty"),
        (Some("7D3C9F1E5A2B48060C1D9E8F7A6B5C40"), "this cannot be an auth token: it has capitals"),
    ] {
        let (code, said) = checked(value);
        assert!(code == Some(78) && said.starts_with("TWILIO_AUTH_TOKEN: "), "{said}");
        assert!(said.contains(says), "{said}");
    }
}

#[test]
fn risky_settings_are_warned_about() {
    let folder = Folder::new();
    folder.write("accounts.toml", "AC00000000000000000000000000000001 = \"correct-horse\"\n");
    let config = "public_url = \"http://hooks.example.com\"\nupstream = \"http://127.0.0.1:1\"\n\
        auth_tokens = [{ env = \"TWILIO_AUTH_TOKEN\" }, \"battery-staple\"]\n\
        accounts_file = \"accounts.toml\"\n\
        [[route]]\npath = \"/voice\"\n\
        [[route]]\npath = \"/Voice/*\"\naccess = \"public\"\n\
        [[route]]\npath = \"/open\"\naccess = \"public\"\n\
        [admin]\nlisten = \"0.0.0.0:9090\"\n\
        [trust]\nproxies = [\"0.0.0.0/0\"]\nhosts = [\"*.ngrok.app\"]\n\
        [limits]\nresponse_timeout = \"16s\"\n";
    let file = folder.write("gatekeeper.toml", config);
    std::process::Command::new("chmod").arg("640").arg(&file).status().unwrap();
    let output = check(&file);
    assert_eq!(output.code, Some(0), "{output:?}");
    let expected = [
        "gatekeeper.toml:1:14: it begins with http://",
        "gatekeeper.toml:3:47: this file contains a token",
        "gatekeeper.toml:3:47: this is hardly an auth token: it is not 32 digits and small letters",
        "accounts.toml:1:38: this is hardly an auth token: it is not 32 digits and small letters",
        "accounts.toml:1:38: this file contains tokens, and every user",
        "gatekeeper.toml:7:1: /Voice/* is public and overlaps /voice, which is guarded",
        "gatekeeper.toml:10:1: /open is public",
        "gatekeeper.toml:13:1: the admin listener is not on loopback",
        "gatekeeper.toml:15:1: every peer is trusted",
        "gatekeeper.toml:19:20: Twilio times out after 15 s",
    ];
    for warning in expected {
        assert!(output.all().contains(warning), "{warning}: {output:?}");
    }
    assert_eq!(output.all().matches("warning: ").count(), expected.len(), "{output:?}");
    assert!(
        !output.all().contains("correct-horse") && !output.all().contains("battery"),
        "{output:?}"
    );
}

#[test]
fn safe_settings_are_not_warned_about() {
    let folder = Folder::new();
    let config = "public_url = \"http://localhost:8080\"\nupstream = \"unix:/run/app\"\n\
        listen = [\"127.0.0.1:8080\", \"unix:/run/gate\"]\n\
        auth_tokens = [{ env = \"TWILIO_AUTH_TOKEN\" }]\n\
        [admin]\nlisten = \"127.0.0.1:9090\"\n\
        [trust]\nproxies = [\"127.0.0.1\", \"unix\"]\nhosts = [\"*.ngrok.app\", \"h.example\"]\n\
        [limits]\nresponse_timeout = \"15s\"\n";
    let output = check(&folder.write("gatekeeper.toml", config));
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(!output.all().contains("warning"), "{output:?}");
    for line in [
        "listening on 127.0.0.1:8080, unix:/run/gate",
        "admin on 127.0.0.1:9090",
        "trusting 127.0.0.1/32, unix about *.ngrok.app, h.example",
        "unix:/run/app",
    ] {
        assert!(output.all().contains(line), "{line}: {output:?}");
    }
}

/// The name of the README's tunnel, and the lists that are written down for such names.
#[test]
fn trust_examples_list_the_name_of_the_readme() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let name = readme.lines().find_map(|line| {
        line.split("--public-url https://")
            .nth(1)?
            .split(' ')
            .next()
            .filter(|name| name.contains("ngrok"))
    });
    let name = name.expect("README has a tunnel's name");
    for file in ["docs/configuration.md", "config/gatekeeper.toml", "deploy/ngrok/trust.toml"] {
        let text = fs::read_to_string(root.join(file)).unwrap();
        let line =
            text.lines().find(|line| line.trim_start_matches("# ").starts_with("hosts ")).unwrap();
        let mut trust = gatekeeper::routes::Trust::default();
        for host in line.split('"').skip(1).step_by(2).filter(|host| host.contains('.')) {
            trust.add_host(host).unwrap();
        }
        assert!(trust.lists(name), "{file} does not list {name}: {line}");
    }
}

/// Event Streams waits 5 s for a response, a third of what other webhooks have.
#[test]
fn slow_events_route_is_warned_of() {
    let folder = Folder::new();
    let said = |path: &str, more: &str| {
        let config = format!(
            "public_url = \"https://h.example\"\nupstream = \"http://127.0.0.1:1\"\n\
             auth_tokens = [{{ env = \"TWILIO_AUTH_TOKEN\" }}]\n[[route]]\npath = \"{path}\"\n{more}"
        );
        let output = check(&folder.write("gatekeeper.toml", &config));
        assert_eq!(output.code, Some(0), "{output:?}");
        output.all()
    };
    let warning =
        "is named like a sink of Event Streams, which waits 5 s: write response_timeout = \"5s\"";
    for (path, more) in [
        ("/events", ""),
        ("/twilio/Event-sink/*", ""),
        ("/events/*", "response_timeout = \"6s\"\n"),
        ("/call_events", "[limits]\nresponse_timeout = \"10s\"\n"),
    ] {
        assert!(said(path, more).contains(warning), "{path} {more}");
    }
    for (path, more) in [
        ("/events", "response_timeout = \"5s\"\n"),
        ("/events", "[limits]\nresponse_timeout = \"5s\"\n"),
        ("/events", "access = \"public\"\n"),
        ("/eventually", ""),
        ("/*", ""),
    ] {
        assert!(!said(path, more).contains("Event Streams"), "{path} {more}");
    }
    let said = said("/voice", "response_timeout = \"20s\"\n");
    assert!(said.contains("gatekeeper.toml:6:20: Twilio times out after 15 s"), "{said}");
}

/// A flag's cure is a flag, not a line of a file.
#[test]
fn cures_of_flags_are_flags() {
    let flags = |listen: &str, url: &str, upstream: &str| {
        run(&["check", "--listen", listen, "--public-url", url, "--upstream", upstream])
    };
    let output = flags("localhost:8000", "hooks.example.com", "127.0.0.1:3030");
    assert_eq!(output.code, Some(78), "{output:?}");
    for cure in [
        "    = write --listen 127.0.0.1:8000\n",
        "    = write it as configured at Twilio: --public-url https://hooks.example.com\n",
        "    = write where your app listens: --upstream http://127.0.0.1:3030",
    ] {
        assert!(output.all().contains(cure), "{cure}: {output:?}");
    }
    let output = flags("127.0.0.1:8000", "https://h.example", "http://localhost:8000");
    assert!(output.all().contains("--upstream: the gate listens there"), "{output:?}");
}

#[test]
fn public_routes_are_listed() {
    let folder = Folder::new();
    let config = "public_url = \"https://h.example\"\nupstream = \"http://127.0.0.1:1\"\n\
        auth_tokens = [{ env = \"TWILIO_AUTH_TOKEN\" }]\n[[route]]\npath = \"/voice\"\n\
        [[route]]\npath = \"/open/*\"\naccess = \"public\"\n";
    let output = check(&folder.write("gatekeeper.toml", config));
    assert_eq!(output.code, Some(0), "{output:?}");
    let table = output.all();
    assert!(table.contains("/voice") && table.contains("/open/*"), "{table}");
    assert!(table.to_lowercase().contains("public"), "{table}");
}

#[test]
fn usage_errors_and_configuration_errors_have_different_exit_codes() {
    assert_eq!(run(&["run", "--no-such-flag"]).code, Some(64));
    assert_eq!(run(&["no-such-command"]).code, Some(64));
    assert_eq!(run(&["explain"]).code, Some(64), "the name is reserved");
    let help = run(&["--help"]);
    assert_eq!(help.code, Some(0));
    assert!(help.stdout.contains("check"), "{help:?}");
}

/// Other users can read the arguments of a process.
#[test]
fn no_flag_accepts_a_token() {
    let help = run(&["run", "--help"]).all();
    assert!(!help.contains("--auth-token") && !help.contains("--token"), "{help}");
}

#[test]
fn schema_covers_every_key_of_the_valid_files() {
    let schema: serde_json::Value = serde_json::from_str(&run(&["schema"]).stdout).unwrap();
    for file in files("valid") {
        let text = fs::read_to_string(&file).unwrap();
        let table: toml::Table = toml::from_str(&text).unwrap();
        for key in table.keys() {
            assert!(schema["properties"][key].is_object(), "{key} of {}", file.display());
        }
    }
}

/// What `check` says of a file with these lines at its end, the pair `gate.pem` and `gate.key` beside
/// it.
fn check_tls(pair: &Pair, lines: &str) -> CommandOutput {
    let folder = Folder::new();
    pair.write(&folder, "gate");
    folder.write("empty.pem", "");
    let config = "public_url = \"https://h.example\"\nupstream = \"http://127.0.0.1:1\"\n\
        auth_tokens = [{ env = \"TWILIO_AUTH_TOKEN\" }]\n";
    check(&folder.write("gatekeeper.toml", &format!("{config}{lines}")))
}

#[test]
fn unusable_certificate_or_key_is_a_fault() {
    let authority = Authority::new();
    let pair = authority.issue("h.example", 2099);
    let mut mixed = authority.issue("h.example", 2099);
    mixed.key = authority.issue("h.example", 2099).key;
    let right = "[tls]\ncert = \"gate.pem\"\nkey = \"gate.key\"\n";
    let output = check_tls(&pair, &format!("{right}client_ca = \"gate.pem\"\n"));
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(!output.all().contains("the certificate expire"), "{output:?}");
    for (pair, lines, fault) in [
        (&mixed, right, ":6:7: tls.key: the private key in "),
        (
            &pair,
            "[tls]\ncert = \"gate.key\"\nkey = \"gate.key\"\n",
            ":5:8: tls.cert: there is no certificate in ",
        ),
        (
            &pair,
            "[tls]\ncert = \"gate.pem\"\nkey = \"gate.pem\"\n",
            ":6:7: tls.key: there is no private key in ",
        ),
        (&pair, "[tls]\ncert = \"no.pem\"\nkey = \"gate.key\"\n", ":5:8: tls.cert: the file "),
        (
            &pair,
            &format!("{right}client_ca = \"empty.pem\"\n"),
            ":7:13: tls.client_ca: there is no certificate in ",
        ),
        (
            &mixed,
            "[upstream_tls]\ncert = \"gate.pem\"\nkey = \"gate.key\"\n",
            ":6:7: upstream_tls.key: the private key in ",
        ),
    ] {
        let output = check_tls(pair, lines);
        assert_eq!(output.code, Some(78), "{lines} {output:?}");
        assert!(output.all().contains(fault), "{fault} {output:?}");
        assert!(!output.all().contains(&pair.key[40..80]), "the key is shown: {output:?}");
    }
}

#[test]
fn expiring_certificate_is_warned_about() {
    let authority = Authority::new();
    let lines = "[tls]\ncert = \"gate.pem\"\nkey = \"gate.key\"\n";
    let output = check_tls(&authority.issue("h.example", 2020), lines);
    assert_eq!(output.code, Some(0), "{output:?}");
    let warning = ":5:8: the certificate expired on 2020-01-01T00:00:00Z";
    assert!(output.all().contains(warning), "{output:?}");
}
