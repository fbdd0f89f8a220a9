//! Requests as Twilio sends them: names and order from requests that were captured.

use std::{borrow::Cow, time::SystemTime};

use clap::ValueEnum;
use serde_json::json;

use super::stream::Stream;
use crate::cli::{
    CliError,
    webhook::{Webhook, encode_form, fresh_hex},
};

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Preset {
    /// An incoming call
    Voice,
    /// An incoming message
    Sms,
    /// A message's status callback
    Status,
    /// An Event Streams batch, in JSON
    Events,
    /// A Media Stream: a WebSocket, and a second of silence; -d gives custom parameters
    MediaStream,
}

/// What a preset sends.
pub(super) enum Request {
    Webhook(Webhook),
    Stream(Stream),
}

impl Preset {
    pub(super) fn request(self, url: &str, own: &[(&str, &str)]) -> Result<Request, CliError> {
        let form = |preset| Request::Webhook(Webhook::form(url, form(preset, own)));
        Ok(match self {
            Self::Voice => form(VOICE),
            Self::Sms => form(SMS),
            Self::Status => form(STATUS),
            Self::Events if own.is_empty() => {
                Request::Webhook(Webhook::hashed(url, events().into_bytes()))
            }
            Self::Events => return Err(CliError::Usage("events are no form: leave out -d")),
            Self::MediaStream => Request::Stream(Stream::new(url, own)),
        })
    }
}

/// A preset with a user's own values: in the preset's place where it has the name, else at the end.
fn form(preset: &[(&str, &str)], own: &[(&str, &str)]) -> Vec<u8> {
    let fresh = fresh_hex();
    let mut pairs = Vec::new();
    for (name, value) in preset {
        let before = pairs.len();
        pairs.extend(own.iter().filter(|(n, _)| n == name).map(|(n, v)| (*n, Cow::Borrowed(*v))));
        if pairs.len() == before {
            let value = Cow::Owned(value.replace(NEW, &fresh));
            pairs.push((*name, value));
        }
    }
    let others = own.iter().filter(|(name, _)| preset.iter().all(|(known, _)| known != name));
    pairs.extend(others.map(|(name, value)| (*name, Cow::Borrowed(*value))));
    encode_form(pairs.iter().map(|(name, value)| (*name, &**value)))
}

pub(super) const ACCOUNT: &str = "AC00000000000000000000000000000000";
/// What is new each time, because apps tell calls and messages apart by it.
const NEW: &str = "{new}";
const CALL: &str = "CA{new}";
const MESSAGE: &str = "SM{new}";

/// The parameters of an incoming call (twilio.com/docs/voice/twiml).
const VOICE: &[(&str, &str)] = &[
    ("Called", "+14155550100"),
    ("ToState", "CA"),
    ("CallerCountry", "US"),
    ("Direction", "inbound"),
    ("CallerState", "CA"),
    ("ToZip", "94105"),
    ("CallSid", CALL),
    ("To", "+14155550100"),
    ("CallerZip", "94110"),
    ("ToCountry", "US"),
    ("StirVerstat", "TN-Validation-Passed-A"),
    ("CalledZip", "94105"),
    ("ApiVersion", "2010-04-01"),
    ("CalledCity", "SAN FRANCISCO"),
    ("CallStatus", "ringing"),
    ("From", "+14155550123"),
    ("AccountSid", ACCOUNT),
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
    ("SmsMessageSid", MESSAGE),
    ("NumMedia", "0"),
    ("ToCity", ""),
    ("FromZip", "94110"),
    ("SmsSid", MESSAGE),
    ("FromState", "CA"),
    ("SmsStatus", "received"),
    ("FromCity", "SAN FRANCISCO"),
    ("Body", "Is the court dry?"),
    ("FromCountry", "US"),
    ("To", "+14155550100"),
    ("ToZip", ""),
    ("NumSegments", "1"),
    ("MessageSid", MESSAGE),
    ("AccountSid", ACCOUNT),
    ("From", "+14155550123"),
    ("ApiVersion", "2010-04-01"),
];

/// The parameters of a status callback.
const STATUS: &[(&str, &str)] = &[
    ("SmsSid", MESSAGE),
    ("SmsStatus", "delivered"),
    ("MessageStatus", "delivered"),
    ("To", "+14155550123"),
    ("MessageSid", MESSAGE),
    ("AccountSid", ACCOUNT),
    ("From", "+14155550100"),
    ("ApiVersion", "2010-04-01"),
];

/// One CloudEvent, as Event Streams batches them.
fn events() -> String {
    let message = MESSAGE.replace(NEW, &fresh_hex());
    let event = json!([{
        "specversion": "1.0",
        "type": "com.twilio.messaging.message.delivered",
        "source": format!("/2010-04-01/Accounts/{ACCOUNT}/Messages/{message}.json"),
        "id": format!("EZ{}", fresh_hex()),
        "dataschema": "https://events-schemas.twilio.com/Messaging.MessageStatus/4",
        "datacontenttype": "application/json",
        "time": humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
        "data": { "messageSid": message, "accountSid": ACCOUNT, "messageStatus": "DELIVERED" },
    }]);
    event.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(form: Vec<u8>) -> String {
        String::from_utf8(form).unwrap()
    }

    #[test]
    fn a_state_is_no_sid() {
        assert!(text(form(VOICE, &[])).contains("&CallerState=CA&"));
    }

    #[test]
    fn own_values_take_the_presets_place() {
        let preset = [("To", "+1"), ("CallSid", CALL), ("From", "+2")];
        let own = [("From", "a"), ("Extra", "b"), ("From", "c"), ("CallSid", "CA1")];
        assert_eq!(text(form(&preset, &own)), "To=%2B1&CallSid=CA1&From=a&From=c&Extra=b");
    }

    #[test]
    fn every_message_is_another_one_under_one_sid() {
        let sids = || {
            let sent = text(form(SMS, &[]));
            let sids = sent.split('&').filter_map(|pair| pair.split_once("Sid=SM"));
            sids.map(|(_, sid)| sid.to_owned()).collect::<Vec<_>>()
        };
        let first = sids();
        assert_eq!(first.len(), 3);
        assert!(first.iter().all(|sid| sid.len() == 32 && *sid == first[0]));
        assert_ne!(first, sids());
    }
}
