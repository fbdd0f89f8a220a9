//! `gatekeeper send`: one signed request, really sent.

use std::{
    io::{self, Read, Write},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};

use super::{
    Failed,
    connect::{Destination, connect},
    print,
    sign::{from_data, key_from_env},
    webhook::{Webhook, encode_form},
};

/// Twilio's own patience with a webhook.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

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

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Preset {
    /// An incoming call
    Voice,
    /// An incoming message
    Sms,
    /// A message's status callback
    Status,
    /// An Event Streams batch, in JSON
    Events,
}

pub(super) fn send(args: &SendArgs) -> Result<ExitCode, Failed> {
    let webhook = match args.preset {
        Some(preset) => preset.webhook(&args.url, &args.data)?,
        None => from_data(&args.url, &args.data)?,
    };
    let key = key_from_env()?;
    let destination = Destination::of(&args.url, args.to.as_deref(), args.cacert.as_deref())?;
    let began = Instant::now();
    let request = webhook.bytes(Some(&webhook.signature(&key)));
    let answer = converse(&request, destination.connect()?)?;
    print::line(String::from_utf8_lossy(&answer).trim_end())?;
    print::error(&format!("answered in {} ms", began.elapsed().as_millis()));
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

const ACCOUNT: (&str, &str) = ("AccountSid", "AC00000000000000000000000000000000");

impl Preset {
    fn webhook(self, url: &str, data: &[String]) -> Result<Webhook, Failed> {
        let overrides: Option<Vec<_>> = data.iter().map(|pair| pair.split_once('=')).collect();
        let overrides = overrides.ok_or(Failed::Usage("-d takes NAME=VALUE"))?;
        let pairs = match self {
            Self::Voice => VOICE,
            Self::Sms => SMS,
            Self::Status => STATUS,
            Self::Events => return Ok(Webhook::hashed(url, EVENTS.as_bytes().to_vec())),
        };
        let kept = pairs.iter().filter(|(name, _)| overrides.iter().all(|(own, _)| own != name));
        Ok(Webhook::form(url, encode_form(kept.copied().chain(overrides.iter().copied()))))
    }
}

/// The parameters of an incoming call (twilio.com/docs/voice/twiml).
const VOICE: &[(&str, &str)] = &[
    ("Called", "+14155550100"),
    ("ToState", "CA"),
    ("CallerCountry", "US"),
    ("Direction", "inbound"),
    ("CallerState", "CA"),
    ("ToZip", "94105"),
    ("CallSid", "CA00000000000000000000000000000000"),
    ("To", "+14155550100"),
    ("CallerZip", "94110"),
    ("ToCountry", "US"),
    ("StirVerstat", "TN-Validation-Passed-A"),
    ("CalledZip", "94105"),
    ("ApiVersion", "2010-04-01"),
    ("CalledCity", "SAN FRANCISCO"),
    ("CallStatus", "ringing"),
    ("From", "+14155550123"),
    ACCOUNT,
    ("CalledCountry", "US"),
    ("CallerCity", "SAN FRANCISCO"),
    ("ToCity", "SAN FRANCISCO"),
    ("FromCountry", "US"),
    ("Caller", "+14155550123"),
    ("FromCity", "SAN FRANCISCO"),
    ("CalledState", "CA"),
    ("FromZip", "94110"),
    ("FromState", "CA"),
];

/// The parameters of an incoming message (twilio.com/docs/messaging/guides/webhook-request).
const SMS: &[(&str, &str)] = &[
    ("ToCountry", "US"),
    ("ToState", "CA"),
    ("SmsMessageSid", "SM00000000000000000000000000000000"),
    ("NumMedia", "0"),
    ("ToCity", ""),
    ("FromZip", "94110"),
    ("SmsSid", "SM00000000000000000000000000000000"),
    ("FromState", "CA"),
    ("SmsStatus", "received"),
    ("FromCity", "SAN FRANCISCO"),
    ("Body", "Is the court dry?"),
    ("FromCountry", "US"),
    ("To", "+14155550100"),
    ("ToZip", ""),
    ("NumSegments", "1"),
    ("MessageSid", "SM00000000000000000000000000000000"),
    ACCOUNT,
    ("From", "+14155550123"),
    ("ApiVersion", "2010-04-01"),
];

/// The parameters of a status callback.
const STATUS: &[(&str, &str)] = &[
    ("SmsSid", "SM00000000000000000000000000000000"),
    ("SmsStatus", "delivered"),
    ("MessageStatus", "delivered"),
    ("To", "+14155550123"),
    ("MessageSid", "SM00000000000000000000000000000000"),
    ACCOUNT,
    ("From", "+14155550100"),
    ("ApiVersion", "2010-04-01"),
];

/// One CloudEvent, as Event Streams batches them.
const EVENTS: &str = r#"[{"specversion":"1.0","type":"com.twilio.messaging.message.delivered","source":"/2010-04-01/Accounts/AC00000000000000000000000000000000/Messages/SM00000000000000000000000000000000.json","id":"EZ00000000000000000000000000000000","dataschema":"https://events-schemas.twilio.com/Messaging.MessageStatus/4","datacontenttype":"application/json","time":"2026-01-01T00:00:00.000Z","data":{"messageStatus":"DELIVERED"}}]"#;
