//! `gatekeeper send`: signs one request and sends it.

mod fixtures;
mod posts;
mod preset;
mod refusal;
mod stream;

use std::{
    io::{self, Read, Write},
    path::PathBuf,
    process::ExitCode,
    time::Instant,
};

use clap::Args;
use preset::{Preset, Request};
use stream::{Opened, Stream};

use super::{
    args::FileArgs,
    connect::{Destination, connect},
    error::CliError,
    http::Answer,
    print,
    sign::{from_data, pairs, token_from_env},
    webhook::key_from_token,
};
use crate::signature::Key;

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
    /// The private key in PEM that signs the sendgrid presets [default: SENDGRID_PRIVATE_KEY]
    #[arg(long, value_name = "FILE")]
    sendgrid_key: Option<PathBuf>,
    #[command(flatten)]
    file: FileArgs,
}

/// The request that was sent, and the status of the answer; 101 for an accepted stream.
struct Exchanged {
    status: u16,
    request: Vec<u8>,
}

pub(super) fn send(args: &SendArgs) -> Result<ExitCode, CliError> {
    let request = match args.preset {
        Some(preset) => preset.request(&args.url, &pairs(&args.data)?)?,
        None => Request::Webhook(from_data(&args.url, &args.data)?),
    };
    let destination = Destination::parse(&args.url, args.to.as_deref(), args.cacert.as_deref())?;
    let (exchanged, token) = match &request {
        Request::Post(post) => {
            (exchange(post.to_bytes(args.sendgrid_key.as_deref())?, &destination)?, None)
        }
        Request::Webhook(webhook) => {
            let token = token_from_env()?;
            let signature = webhook.signature(&key_from_token(&token)?);
            (exchange(webhook.to_bytes(Some(&signature)), &destination)?, Some(token))
        }
        Request::Stream(stream) => {
            let token = token_from_env()?;
            (open(stream, &key_from_token(&token)?, &destination)?, Some(token))
        }
    };
    if exchanged.status < 400 {
        return Ok(ExitCode::SUCCESS);
    }
    refusal::explain(args, &exchanged, token.as_ref())?;
    Ok(ExitCode::FAILURE)
}

/// Sends the request and prints the answer and its time.
fn exchange(request: Vec<u8>, to: &Destination) -> Result<Exchanged, CliError> {
    let started = Instant::now();
    let response = round_trip(&request, to.connect()?)?;
    print::line(String::from_utf8_lossy(&response).trim_end())?;
    print_time(started);
    let answer = Answer::parse(&response);
    let answer = answer.ok_or_else(|| io::Error::other("the answer is not HTTP"))?;
    Ok(Exchanged { status: answer.status(), request })
}

/// Opens the stream, prints the answer and its time, and runs the stream to its end.
fn open(stream: &Stream, key: &Key, to: &Destination) -> Result<Exchanged, CliError> {
    let started = Instant::now();
    let opened = stream.open(key, to.connect()?)?;
    print_time(started);
    let request = stream.to_bytes(key);
    match opened {
        Opened::Accepted(connection) => stream.run(*connection)?,
        Opened::Refused(status) => return Ok(Exchanged { status, request }),
    }
    Ok(Exchanged { status: 101, request })
}

fn print_time(started: Instant) {
    print::error(&format!("answered in {} ms", started.elapsed().as_millis()));
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
