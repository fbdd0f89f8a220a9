//! A Media Stream: the handshake as Twilio signs it, then one second of silence.
//! <https://www.twilio.com/docs/voice/media-streams/websocket-messages>

use std::{
    io::{self, Read, Write},
    thread,
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};
use tungstenite::{
    ClientHandshake, Error, HandshakeError, Message, WebSocket,
    handshake::client::generate_key,
    http::{Request, Response, request::Builder},
};

use super::fixtures::ACCOUNT;
use crate::cli::{
    error::CliError,
    print,
    webhook::{Webhook, fresh_hex},
};
use crate::signature::Key;

/// Audio per message.
const FRAME_DURATION: Duration = Duration::from_millis(20);
/// Messages sent: one second of audio.
const FRAME_COUNT: u32 = 50;
/// 20 ms of silence in 8 kHz mu-law.
const SILENCE: [u8; 160] = [0xff; 160];
/// Maximum number of messages read from an app that does not close.
const MAX_MESSAGES: usize = 10_000;

/// A stream to open.
pub(super) struct Stream {
    webhook: Webhook,
    stream_sid: String,
    call_sid: String,
    parameters: Map<String, Value>,
}

/// The answer to a handshake.
pub(super) enum Opened<L> {
    Accepted(Box<WebSocket<L>>),
    /// With this status.
    Refused(u16),
}

impl Stream {
    pub(super) fn new(url: &str, parameters: &[(&str, &str)]) -> Self {
        let parameters = parameters.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        Self {
            webhook: Webhook::handshake(url),
            stream_sid: format!("MZ{}", fresh_hex()),
            call_sid: format!("CA{}", fresh_hex()),
            parameters: parameters.collect(),
        }
    }

    /// Returns the handshake as HTTP/1.1.
    pub(super) fn to_bytes(&self, key: &Key) -> Vec<u8> {
        let mut head = format!("GET {} HTTP/1.1\r\n", self.webhook.target());
        for (name, value) in self.fields(key) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// Sends the handshake and prints the response.
    pub(super) fn open<L: Read + Write>(
        &self,
        key: &Key,
        stream: L,
    ) -> Result<Opened<L>, CliError> {
        let handshake = ClientHandshake::start(stream, self.request(key)?, None);
        match handshake.map_err(io::Error::other)?.handshake() {
            Ok((connection, response)) => {
                print_response(&response, b"")?;
                Ok(Opened::Accepted(Box::new(connection)))
            }
            Err(HandshakeError::Failure(Error::Http(response))) => {
                print_response(&response, response.body().as_deref().unwrap_or_default())?;
                Ok(Opened::Refused(response.status().as_u16()))
            }
            Err(HandshakeError::Failure(other)) => Err(io::Error::other(other).into()),
            Err(HandshakeError::Interrupted(_)) => {
                Err(io::Error::from(io::ErrorKind::TimedOut).into())
            }
        }
    }

    fn request(&self, key: &Key) -> io::Result<Request<()>> {
        let request = Request::builder().uri(&self.webhook.url);
        let fields = self.fields(key).into_iter();
        let request = fields.fold(request, |request, (name, value)| request.header(name, value));
        Builder::body(request, ()).map_err(io::Error::other)
    }

    fn fields(&self, key: &Key) -> [(&'static str, String); 7] {
        [
            ("host", self.webhook.authority().to_owned()),
            ("connection", "Upgrade".to_owned()),
            ("upgrade", "websocket".to_owned()),
            ("sec-websocket-version", "13".to_owned()),
            ("sec-websocket-key", generate_key()),
            ("user-agent", "TwilioProxy/1.1".to_owned()),
            ("x-twilio-signature", self.webhook.signature(key)),
        ]
    }

    /// Sends the audio and closes, then prints the app's messages; counts its media messages.
    pub(super) fn run<L: Read + Write>(
        &self,
        mut connection: WebSocket<L>,
    ) -> Result<(), CliError> {
        self.send_audio(&mut connection).map_err(io::Error::other)?;
        let mut media = 0_usize;
        for _ in 0..MAX_MESSAGES {
            match connection.read() {
                Ok(Message::Text(text)) if is_media(&text) => media = media.saturating_add(1),
                Ok(Message::Text(text)) => print::line(&text)?,
                Ok(_) => {}
                Err(_) => break,
            }
        }
        print::error(&format!("sent {FRAME_COUNT} media messages, got {media}"));
        Ok(())
    }

    fn send_audio<L: Read + Write>(&self, connection: &mut WebSocket<L>) -> Result<(), Error> {
        let mut send = |message: Value| connection.send(Message::text(message.to_string()));
        send(json!({ "event": "connected", "protocol": "Call", "version": "1.0.0" }))?;
        send(self.start())?;
        let started = Instant::now();
        for chunk in 1..=FRAME_COUNT {
            let at = FRAME_DURATION.saturating_mul(chunk);
            thread::sleep(at.saturating_sub(started.elapsed()));
            send(self.media(chunk, at))?;
        }
        send(json!({
            "event": "stop",
            "sequenceNumber": FRAME_COUNT.saturating_add(2).to_string(),
            "stop": { "accountSid": ACCOUNT, "callSid": self.call_sid },
            "streamSid": self.stream_sid,
        }))?;
        connection.close(None)
    }

    fn start(&self) -> Value {
        json!({
            "event": "start",
            "sequenceNumber": "1",
            "start": {
                "accountSid": ACCOUNT,
                "streamSid": self.stream_sid,
                "callSid": self.call_sid,
                "tracks": ["inbound"],
                "mediaFormat": { "encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1 },
                "customParameters": self.parameters,
            },
            "streamSid": self.stream_sid,
        })
    }

    fn media(&self, chunk: u32, at: Duration) -> Value {
        json!({
            "event": "media",
            "sequenceNumber": chunk.saturating_add(1).to_string(),
            "media": {
                "track": "inbound",
                "chunk": chunk.to_string(),
                "timestamp": at.as_millis().to_string(),
                "payload": BASE64_STANDARD.encode(SILENCE),
            },
            "streamSid": self.stream_sid,
        })
    }
}

fn is_media(text: &str) -> bool {
    serde_json::from_str(text)
        .is_ok_and(|message: Value| message.get("event") == Some(&"media".into()))
}

/// Prints the head of the response, and its body if any.
fn print_response<B>(response: &Response<B>, body: &[u8]) -> io::Result<()> {
    print::line(&format!("{:?} {}", response.version(), response.status()))?;
    for (name, value) in response.headers() {
        print::line(&format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))?;
    }
    if body.is_empty() {
        Ok(())
    } else {
        print::line(&format!("\n{}", String::from_utf8_lossy(body).trim_end()))
    }
}
