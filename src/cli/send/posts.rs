//! Sample requests of senders that sign the body and no URL.

use std::{io, path::Path};

use serde_json::json;

use crate::cli::{
    error::CliError,
    signing_key::{SigningKey, now},
    webhook::{Webhook, fresh_hex},
};
use crate::config::Secret;
use crate::signature::{Algorithm, Key};

/// The variable with Segment's shared secret.
const SEGMENT_SECRET: &str = "SEGMENT_SECRET";

/// The boundary of a mail's parts, as SendGrid writes it.
const BOUNDARY: &str = "xYzZY";

/// A POST.
pub(in crate::cli) struct Post {
    url: String,
    content_type: String,
    user_agent: &'static str,
    sender: Sender,
    pub(in crate::cli) body: Vec<u8>,
}

/// The signer.
enum Sender {
    SendGrid,
    Segment,
}

impl Post {
    /// A batch of two events. SendGrid writes one a line, and a line end behind the last.
    pub(super) fn events(url: &str) -> Self {
        let message = format!("{}.filterdrecv-5645d9c87f-78xgx-1-6707C2E9-2B.0", fresh_hex());
        let event = |kind: &str| {
            json!({
                "email": "recipient@example.com",
                "event": kind,
                "sg_event_id": fresh_hex(),
                "sg_message_id": message,
                "smtp-id": format!("<{message}@geopod-ismtpd-1>"),
                "timestamp": now().parse::<u64>().unwrap_or_default(),
            })
        };
        let body = format!("[{},\r\n{}]\r\n", event("processed"), event("delivered"));
        Self::json(url, "SendGrid Event API", Sender::SendGrid, body)
    }

    /// A mail with an attachment; own parts replace those of the same name.
    pub(super) fn mail(url: &str, own: &[(&str, &str)]) -> Self {
        let parts = [
            ("headers", "Subject: Is the court dry?\nFrom: Sender <sender@example.com>\n"),
            ("dkim", "{@example.com : pass}"),
            ("to", "hotline@parse.example.com"),
            ("from", "Sender <sender@example.com>"),
            ("text", "Is the court dry?\r\n"),
            ("sender_ip", "192.0.2.1"),
            (
                "envelope",
                "{\"to\":[\"hotline@parse.example.com\"],\"from\":\"sender@example.com\"}",
            ),
            ("attachments", "1"),
            ("subject", "Is the court dry?"),
            (
                "charsets",
                "{\"to\":\"UTF-8\",\"from\":\"UTF-8\",\"subject\":\"UTF-8\",\"text\":\"utf-8\"}",
            ),
            ("SPF", "pass"),
        ];
        let kept = parts.iter().filter(|(name, _)| own.iter().all(|(other, _)| other != name));
        let mut body = String::new();
        for (name, value) in kept.chain(own) {
            body.push_str(&format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            ));
        }
        body.push_str(&format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"attachment1\"; \
             filename=\"court.txt\"\r\nContent-Type: text/plain\r\n\r\n"
        ));
        body.push_str(&format!("the court: dry\r\n--{BOUNDARY}--\r\n"));
        let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
        let (url, user_agent) = (url.to_owned(), "Sendlib/1.0");
        Self { url, content_type, user_agent, sender: Sender::SendGrid, body: body.into_bytes() }
    }

    /// One event of a source.
    pub(super) fn segment(url: &str) -> Self {
        let event = json!({
            "channel": "server",
            "event": "Order Completed",
            "messageId": fresh_hex(),
            "properties": { "total": 27.5 },
            "type": "track",
            "userId": "user-1",
            "version": 2,
        });
        Self::json(url, "Segment.io", Sender::Segment, event.to_string())
    }

    fn json(url: &str, user_agent: &'static str, sender: Sender, body: String) -> Self {
        let content_type = "application/json;charset=utf-8".to_owned();
        Self { url: url.to_owned(), content_type, user_agent, sender, body: body.into_bytes() }
    }

    /// Serializes the HTTP/1.1 request, signed.
    pub(super) fn to_bytes(&self, key_file: Option<&Path>) -> Result<Vec<u8>, CliError> {
        let fields: Vec<(&str, String)> = match self.sender {
            Sender::SendGrid => SigningKey::load(key_file)?.fields(&now(), &self.body)?.into(),
            Sender::Segment => vec![("X-Signature", segment_signature(&self.body)?)],
        };
        let url = Webhook::get(&self.url);
        let mut head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: {}\r\nContent-Type: {}\r\n\
             Content-Length: {}\r\n",
            url.target(),
            url.authority(),
            self.user_agent,
            self.content_type,
            self.body.len()
        );
        for (name, value) in fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("Connection: close\r\n\r\n");
        Ok([head.as_bytes(), &self.body].concat())
    }
}

/// The lower-case hex of the MAC under the secret in the environment.
fn segment_signature(body: &[u8]) -> Result<String, CliError> {
    let secret = Secret::from_env(SEGMENT_SECRET)
        .map_err(|_| CliError::Usage("set SEGMENT_SECRET to the shared secret to sign with"))?;
    let key = Key::new("secret", secret.bytes(), Algorithm::HmacSha1).map_err(io::Error::other)?;
    Ok(key.sign_hex(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(post: &Post) -> String {
        String::from_utf8_lossy(&post.body).into_owned()
    }

    #[test]
    fn events_stand_one_a_line_and_end_with_a_line_end() {
        let body = text(&Post::events("https://h/"));
        assert_eq!(body.lines().count(), 2);
        assert!(body.contains("},\r\n{") && body.ends_with("]\r\n"), "{body}");
        assert_ne!(body, text(&Post::events("https://h/")));
        let events: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(events[1]["event"], "delivered");
    }

    #[test]
    fn own_parts_of_a_mail_replace_those_of_the_preset() {
        let body = text(&Post::mail("https://h/", &[("subject", "Rain?"), ("x", "y")]));
        assert!(body.contains("name=\"subject\"\r\n\r\nRain?\r\n"), "{body}");
        assert_eq!(body.matches("name=\"subject\"").count(), 1);
        assert!(body.contains("name=\"x\"\r\n\r\ny\r\n--xYzZY\r\n"), "{body}");
        assert!(body.ends_with("--xYzZY--\r\n"));
    }
}
