//! `gatekeeper send`: one signed request, really sent.

mod preset;
mod stream;

use std::{
    io::{self, Read, Write},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Args;
use preset::{Preset, Request};

use super::{
    CliError,
    connect::{Destination, connect},
    print,
    sign::{from_data, key_from_env, pairs},
};

/// Twilio's own patience with a webhook.
pub(super) const IO_TIMEOUT: Duration = Duration::from_secs(15);

#[derive(Debug, Args)]
pub(super) struct SendArgs {
    /// The URL as Twilio has it on file
    url: String,
    /// A request as Twilio sends it
    #[arg(long, value_enum)]
    preset: Option<Preset>,
    /// A form parameter; may be repeated, and overrides the preset's
    #[arg(short = 'd', long = "data", value_name = "K=V")]
    data: Vec<String>,
    /// Connect here instead of to the URL's host, as http://127.0.0.1:8080
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// Trust these roots, in PEM, instead of the system's
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
}

pub(super) fn send(args: &SendArgs) -> Result<ExitCode, CliError> {
    let request = match args.preset {
        Some(preset) => preset.request(&args.url, &pairs(&args.data)?)?,
        None => Request::Webhook(from_data(&args.url, &args.data)?),
    };
    let key = key_from_env()?;
    let destination = Destination::of(&args.url, args.to.as_deref(), args.cacert.as_deref())?;
    let began = Instant::now();
    let timed = || print::error(&format!("answered in {} ms", began.elapsed().as_millis()));
    match request {
        Request::Webhook(webhook) => {
            let bytes = webhook.bytes(Some(&webhook.signature(&key)));
            let answer = converse(&bytes, destination.connect()?)?;
            print::line(String::from_utf8_lossy(&answer).trim_end())?;
            timed();
        }
        Request::Stream(stream) => {
            let connection = stream.open(&key, destination.connect()?)?;
            timed();
            connection.map_or(Ok(()), |connection| stream.talk(connection))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Sends these bytes and reads to the end of the connection.
pub(super) fn raw_exchange(request: &[u8], address: &str) -> io::Result<Vec<u8>> {
    converse(request, connect(address)?)
}

/// Some ends close without TLS's goodbye; what came before is the answer all the same.
fn converse(request: &[u8], mut line: impl Read + Write) -> io::Result<Vec<u8>> {
    line.write_all(request)?;
    let mut answer = Vec::new();
    match line.read_to_end(&mut answer) {
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof || answer.is_empty() => {
            Err(error)
        }
        _ => Ok(answer),
    }
}
