//! `gatekeeper send`: signs one request and sends it.

mod fixtures;
mod preset;
mod stream;

use std::{
    io::{self, Read, Write},
    path::PathBuf,
    process::ExitCode,
    time::Instant,
};

use clap::Args;
use preset::{Preset, Request};

use super::{
    connect::{Destination, connect},
    error::CliError,
    print,
    sign::{from_data, key_from_env, pairs},
};

#[derive(Debug, Args)]
pub(super) struct SendArgs {
    /// The URL as configured at Twilio
    url: String,
    /// A request as Twilio sends it
    #[arg(long, value_enum)]
    preset: Option<Preset>,
    /// A form parameter; may be repeated, and overrides the preset's
    #[arg(short = 'd', long = "data", value_name = "K=V")]
    data: Vec<String>,
    /// Connect to this address instead of the URL's host, such as http://127.0.0.1:8080
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// Trust the CA certificates in this PEM file instead of the system's
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
}

pub(super) fn send(args: &SendArgs) -> Result<ExitCode, CliError> {
    let request = match args.preset {
        Some(preset) => preset.request(&args.url, &pairs(&args.data)?)?,
        None => Request::Webhook(from_data(&args.url, &args.data)?),
    };
    let key = key_from_env()?;
    let destination = Destination::parse(&args.url, args.to.as_deref(), args.cacert.as_deref())?;
    let started = Instant::now();
    let timed = || print::error(&format!("answered in {} ms", started.elapsed().as_millis()));
    match request {
        Request::Webhook(webhook) => {
            let bytes = webhook.to_bytes(Some(&webhook.signature(&key)));
            let response = round_trip(&bytes, destination.connect()?)?;
            print::line(String::from_utf8_lossy(&response).trim_end())?;
            timed();
        }
        Request::Stream(stream) => {
            let connection = stream.open(&key, destination.connect()?)?;
            timed();
            connection.map_or(Ok(()), |connection| stream.run(connection))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Sends a request as raw bytes over plain TCP and returns the response.
pub(super) fn send_raw(request: &[u8], address: &str) -> io::Result<Vec<u8>> {
    round_trip(request, connect(address)?)
}

/// Writes the request and reads until the connection closes. A close without TLS `close_notify`
/// (`UnexpectedEof`) after some data is accepted: many servers omit it.
fn round_trip(request: &[u8], mut stream: impl Read + Write) -> io::Result<Vec<u8>> {
    stream.write_all(request)?;
    let mut response = Vec::new();
    match stream.read_to_end(&mut response) {
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof || response.is_empty() => {
            Err(error)
        }
        _ => Ok(response),
    }
}
