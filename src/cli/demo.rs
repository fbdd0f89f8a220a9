//! `gatekeeper demo`: the article's story as a program. The real gatekeeper stands before a weather
//! hotline, and one caller after another tries to get through.

mod cast;
mod hotline;

use std::{
    fs::File,
    io::{self, IsTerminal, Read},
    path::Path,
    process::ExitCode,
};

use clap::Args;

use super::{error::CliError, print, send::send_raw, signals::Signals};
use crate::config;
use crate::daemon;
use crate::telemetry::Exporters;
use cast::{PUBLIC_URL, Scene, Stage};
use hotline::Hotline;

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Exit after the table, with 0 if every response was the expected one
    #[arg(long)]
    once: bool,
}

pub(super) fn demo(args: &DemoArgs) -> Result<ExitCode, CliError> {
    let hotline = Hotline::open()?;
    let stage = Stage::new(token()?, token()?)?;
    let server = daemon::start(
        config::parse(&configuration(&hotline, &stage), "demo", Path::new("."))?,
        None,
        Exporters::default(),
    )?;
    let gate = server
        .addresses
        .first()
        .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?
        .to_string();
    print::line(&format!("Pickle:30, the weather hotline, answers on {}", hotline.address()))?;
    print::line(&format!("The gatekeeper stands before it on {gate}\n"))?;
    let scenes = stage.scenes();
    let acts = play(&scenes, &hotline, &gate)?;
    print::line(&print::table(&rows(&acts)))?;
    let right = acts.iter().all(|act| act.is_right());
    print::line(if right {
        "\nEvery answer was the right one."
    } else {
        "\nSome answers were wrong."
    })?;
    if !args.once {
        let line = stage.curl(&format!("http://{gate}"));
        print::line(&format!(
            "\nTry it yourself; change a letter and see it refused:\n\n  {line}\n\nCtrl-C ends."
        ))?;
        Signals::catch(true)?.wait();
    }
    server.stop();
    Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns the configuration that a reader of the article would write.
fn configuration(hotline: &Hotline, stage: &Stage) -> String {
    let (token, other) = (stage.token(), stage.other_token());
    format!(
        r#"
listen      = "127.0.0.1:0"
public_url  = "{PUBLIC_URL}"
upstream    = "http://{}"
auth_tokens = ["{token}"]

[[route]]
path = "/weather"

[[route]]
path = "/sms"

[[route]]
path = "/events"

[[route]]
path        = "/subaccount"
auth_tokens = ["{other}"]
"#,
        hotline.address()
    )
}

/// One scene, played.
struct Act<'s> {
    scene: &'s Scene,
    status: u16,
    app_saw_it: bool,
}

fn play<'s>(scenes: &'s [Scene], hotline: &Hotline, gate: &str) -> io::Result<Vec<Act<'s>>> {
    let acts = scenes.iter().map(|scene| {
        let before = hotline.calls();
        let answer = send_raw(&scene.request, gate)?;
        let app_saw_it = hotline.calls() > before;
        Ok(Act { scene, status: status(&answer), app_saw_it })
    });
    acts.collect()
}

impl Act<'_> {
    fn is_right(&self) -> bool {
        self.status == self.scene.expected && self.app_saw_it == (self.scene.expected == 200)
    }
}

fn rows(acts: &[Act<'_>]) -> Vec<Vec<String>> {
    let head = ["WHAT WAS SENT", "ANSWER", "THE APP", ""].map(String::from).to_vec();
    let colour = io::stdout().is_terminal();
    let painted = |text: &str, code: u8| {
        if colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    };
    let body = acts.iter().map(|act| {
        let saw = if act.app_saw_it { "answered" } else { "never heard of it" };
        let mark =
            if act.is_right() { painted("as it should be", 32) } else { painted("WRONG", 31) };
        vec![act.scene.title.to_owned(), act.status.to_string(), saw.to_owned(), mark]
    });
    std::iter::once(head).chain(body).collect()
}

/// Parses the status code of a response.
fn status(answer: &[u8]) -> u16 {
    let line = answer.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let number = line.split(|&byte| byte == b' ').nth(1).unwrap_or_default();
    std::str::from_utf8(number).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Returns a random token in the form of Twilio's.
fn token() -> io::Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
