//! Sample requests as Twilio sends them: parameter names and order are from captured requests.

use std::{borrow::Cow, time::SystemTime};

use clap::ValueEnum;
use serde_json::json;

use super::{fixtures::ACCOUNT, posts::Post, stream::Stream};
use crate::cli::{
    error::CliError,
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
    /// A Media Stream: a WebSocket with one second of silence; -d sets custom parameters
    MediaStream,
    /// A batch of SendGrid's Event Webhook
    SendgridEvents,
    /// A mail of SendGrid's Inbound Parse; -d sets parts
    SendgridParse,
    /// An event of a Segment source, signed with SEGMENT_SECRET
    Segment,
}

/// The request of a preset.
pub(super) enum Request {
    Webhook(Webhook),
    Stream(Stream),
    Post(Post),
}

impl Preset {
    /// Builds the request with the user's own form parameters.
    pub(super) fn request(self, url: &str, own: &[(&str, &str)]) -> Result<Request, CliError> {
        let form = |preset| Request::Webhook(Webhook::form(url, form(preset, own)));
        Ok(match self {
            Self::Voice => form(VOICE),
            Self::Sms => form(SMS),
            Self::Status => form(STATUS),
            Self::Events if own.is_empty() => {
                Request::Webhook(Webhook::hashed(url, events().into_bytes()))
            }
            Self::SendgridEvents if own.is_empty() => Request::Post(Post::events(url)),
            Self::SendgridParse => Request::Post(Post::mail(url, own)),
            Self::Segment if own.is_empty() => Request::Post(Post::segment(url)),
            Self::Events | Self::SendgridEvents | Self::Segment => {
                return Err(CliError::Usage("this preset sends JSON: leave out -d"));
            }
            Self::MediaStream => Request::Stream(Stream::new(url, own)),
        })
    }
}

/// Encodes the preset with the user's values: they replace the preset's in order; other names follow.
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

/// Replaced by fresh digits in each request, because apps distinguish calls and messages by SID.
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

/// Returns a batch of one CloudEvent, in the format of Event Streams.
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
    fn caller_state_ca_is_not_replaced_as_a_call_sid() {
        assert!(text(form(VOICE, &[])).contains("&CallerState=CA&"));
    }

    #[test]
    fn own_values_replace_those_of_the_preset_and_others_follow() {
        let preset = [("To", "+1"), ("CallSid", CALL), ("From", "+2")];
        let own = [("From", "a"), ("Extra", "b"), ("From", "c"), ("CallSid", "CA1")];
        assert_eq!(text(form(&preset, &own)), "To=%2B1&CallSid=CA1&From=a&From=c&Extra=b");
    }

    #[test]
    fn each_message_has_one_fresh_sid_in_all_its_parameters() {
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
