//! Routes whose sender signs the body and no URL.

mod commands;
mod explain;
mod keys;
mod segment;
mod sendgrid;
mod vectors;

use crate::support::{gate::Gate, sendgrid::SigningKey, upstream::Upstream};

/// 2026-09-21
const TIME: &str = "1790000000";
const EVENT: &[u8] = b"[{\"event\":\"open\"},\r\n{\"event\":\"click\"}]\r\n";

/// A gate with a Twilio route, `/*`, and one for SendGrid, `/events`, with more keys.
fn sendgrid(upstream: &Upstream, key: &SigningKey, more: &str) -> Gate {
    let public = key.public();
    Gate::with(
        upstream,
        &format!(
            "[[route]]\npath = \"/*\"\n[[route]]\npath = \"/events\"\naccess = \"sendgrid\"\n\
             verification_keys = [\"{public}\"]\n{more}"
        ),
    )
}
