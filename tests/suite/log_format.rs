//! The format and the level of the log, and signals of a gate without a file.

use crate::support::{
    HOST, TOKEN,
    gate::{CommandOutput, Folder, Gate, command, output_of},
    message::Message,
    upstream::Upstream,
};

/// A gate that is configured by flags and these variables.
fn of_flags(app: &Upstream, variables: &[(&str, &str)]) -> std::process::Command {
    let (url, public_url) = (app.url(), format!("https://{HOST}"));
    let mut command = command(&[
        "run",
        "--upstream",
        &url,
        "--public-url",
        &public_url,
        "--listen",
        "127.0.0.1:0",
    ]);
    command.env("TWILIO_AUTH_TOKEN", TOKEN).envs(variables.iter().copied());
    command
}

fn refused_to_start(variables: &[(&str, &str)]) -> CommandOutput {
    let (app, folder) = (Upstream::start(), Folder::new());
    output_of(of_flags(&app, variables).current_dir(folder.path()))
}

#[test]
fn unknown_log_level_is_a_usage_error() {
    for levels in ["verbose", "information", "info,loud"] {
        let output = refused_to_start(&[("GATEKEEPER_LOG", levels)]);
        assert_eq!(output.code, Some(64), "{levels}: {output:?}");
        assert!(output.stderr.contains("GATEKEEPER_LOG is a level (off, error"), "{output:?}");
    }
}

#[test]
fn unknown_log_format_is_a_usage_error() {
    let output = refused_to_start(&[("GATEKEEPER_LOG_FORMAT", "xml")]);
    assert_eq!(output.code, Some(64), "{output:?}");
    assert!(output.stderr.contains("auto, json or text"), "{output:?}");
}

#[test]
fn hangup_stops_a_gate_that_has_no_file_to_reload() {
    let (app, folder) = (Upstream::start(), Folder::new());
    let mut command = of_flags(&app, &[("GATEKEEPER_LOG_FORMAT", ""), ("GATEKEEPER_LOG", "info")]);
    command.current_dir(folder.path());
    let mut gate = Gate::launch(command, folder);
    assert_eq!(gate.answer(&Message::get("/voice").signed()).status, 200);
    gate.hang_up();
    assert_eq!(gate.log_entry("stopping", 0)["requests"], 0);
    assert_eq!(gate.exit_code(), Some(0));
}

#[test]
fn text_log_has_a_line_for_people() {
    let (app, folder) = (Upstream::start(), Folder::new());
    let config = folder.write("gatekeeper.toml", &format!(
        "listen = \"unix:{}\"\npublic_url = \"https://{HOST}\"\nupstream = \"{}\"\nauth_tokens = [\"{TOKEN}\"]\n",
        folder.path().join("gate.sock").display(), app.url(),
    ));
    let config = config.display().to_string();
    let mut child = command(&["run", "-c", &config, "--log-format", "text"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("listening") {
        line.clear();
        std::io::BufRead::read_line(&mut log, &mut line).unwrap();
    }
    assert!(line.starts_with("20") && line.contains(" INFO listening"), "{line}");
    child.kill().unwrap();
    child.wait().unwrap();
}
