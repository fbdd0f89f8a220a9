//! The line that an exchange leaves. Never a token, a signature, a query value or a body.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    time::{Duration, SystemTime},
};

use serde::{Serialize, Serializer};

use super::{Outcome, Verdict};
use crate::gate::Proven;

/// For whom lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// One JSON object a line.
    Json,
    /// For a person, in colour where the terminal shows it.
    Terminal {
        /// Whether colours are shown.
        colour: bool,
    },
}

#[derive(Serialize)]
struct Fields<'a> {
    #[serde(serialize_with = "shown")]
    timestamp: humantime::Rfc3339Timestamp,
    level: &'static str,
    message: &'static str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<std::net::IpAddr>,
    method: &'a str,
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'a str>,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    candidate: Option<&'a str>,
    #[serde(skip_serializing_if = "is_zero")]
    status: u16,
    received: u64,
    sent: u64,
    micros: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_micros: Option<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde asks for")]
const fn is_zero(status: &u16) -> bool {
    *status == 0
}

fn shown<S: Serializer>(
    timestamp: &humantime::Rfc3339Timestamp,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(timestamp)
}

/// One line, with its end.
pub(super) fn written(outcome: &Outcome, duration: Duration, start: u32, look: Look) -> Vec<u8> {
    let mut id = String::with_capacity(24);
    let _never_fails = write!(id, "{start:08x}-{:x}", outcome.number);
    let proof = outcome.verdict.proven().and_then(Proven::proof);
    let candidate = proof.map(|proof| proof.candidate.label());
    let fields = Fields {
        timestamp: humantime::format_rfc3339_micros(SystemTime::now()),
        level: "INFO",
        message: "request",
        id: &id,
        peer: outcome.peer,
        method: outcome.method.as_str(),
        path: outcome.target.path(),
        route: outcome.route.as_ref().map(|route| route.path()),
        verdict: outcome.verdict.label(),
        reason: outcome.verdict.reason(),
        key: proof.map(|proof| &*proof.key),
        candidate: candidate.as_deref(),
        status: outcome.status,
        received: outcome.received,
        sent: outcome.sent,
        micros: micros(duration),
        upstream_micros: outcome.upstream.map(micros),
    };
    let mut line = Vec::with_capacity(512);
    let _never_fails = match look {
        Look::Json => fields.json(&mut line),
        Look::Terminal { colour } => fields.text(&mut line, outcome, colour),
    };
    line.push(b'\n');
    line
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl Fields<'_> {
    fn json(&self, line: &mut Vec<u8>) -> io::Result<()> {
        serde_json::to_writer(line, self).map_err(io::Error::other)
    }

    /// `2026-11-24T09:00:00.000001Z 403 POST /voice refused: signature_mismatch …`
    fn text(&self, line: &mut Vec<u8>, outcome: &Outcome, colour: bool) -> io::Result<()> {
        let code = match outcome.verdict {
            Verdict::Admitted(_) => 32,
            Verdict::Refused(_) | Verdict::Abandoned => 33,
            Verdict::Failed(..) | Verdict::Malformed(_) => 31,
        };
        let (on, off) =
            if colour { (format!("\u{1b}[{code}m"), "\u{1b}[0m") } else { (String::new(), "") };
        let Self { timestamp, method, verdict, status, .. } = self;
        let path = self.path.escape_default();
        write!(line, "{timestamp} {on}{status:<3} {verdict}{off}")?;
        if let Some(reason) = self.reason {
            write!(line, " {on}{reason}{off}")?;
        }
        write!(line, " {method} {path}")?;
        for (name, value) in [("route", self.route), ("key", self.key)] {
            if let Some(value) = value {
                write!(line, " {name}={value}")?;
            }
        }
        if let Some(candidate) = self.candidate.filter(|label| *label != "received") {
            write!(line, " candidate={candidate}")?;
        }
        if let Some(peer) = self.peer {
            write!(line, " peer={peer}")?;
        }
        let Self { received, sent, micros, id, .. } = self;
        write!(line, " in={received}B out={sent}B {micros}µs id={id}")
    }
}
