//! The line that an exchange leaves. Never a token, a signature, a query value or a body.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    time::{Duration, SystemTime},
};

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

/// What a line says, in its order.
struct Fields<'a> {
    timestamp: humantime::Rfc3339Timestamp,
    id: &'a str,
    peer: Option<&'a str>,
    method: &'a str,
    path: &'a str,
    route: Option<&'a str>,
    verdict: &'static str,
    reason: Option<&'static str>,
    key: Option<&'a str>,
    candidate: Option<&'a str>,
    status: u16,
    received: u64,
    sent: u64,
    micros: u64,
    upstream_micros: Option<u64>,
}

/// Tells an exchange from all others, those of another start included.
pub(super) fn id(start: u32, number: u64) -> String {
    let mut id = String::with_capacity(24);
    let _never_fails = write!(id, "{start:08x}-{number:x}");
    id
}

/// One line, with its end.
pub(super) fn written(outcome: &Outcome, duration: Duration, start: u32, look: Look) -> Vec<u8> {
    let id = id(start, outcome.number);
    let proof = outcome.verdict.proven().and_then(Proven::proof);
    let candidate = proof.map(|proof| proof.candidate.label());
    let fields = Fields {
        timestamp: humantime::format_rfc3339_micros(SystemTime::now()),
        id: &id,
        peer: outcome.peer.as_deref(),
        method: outcome.head.method(),
        path: &String::from_utf8_lossy(outcome.head.path()),
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

fn quote(line: &mut Vec<u8>, text: &str) -> io::Result<()> {
    let plain =
        text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'));
    if !plain {
        return serde_json::to_writer(line, text).map_err(io::Error::other);
    }
    line.push(b'"');
    line.extend_from_slice(text.as_bytes());
    line.push(b'"');
    Ok(())
}

impl Fields<'_> {
    /// Field by field: it is written for every request, and most of it needs no escaping.
    fn json(&self, line: &mut Vec<u8>) -> io::Result<()> {
        write!(line, "{{\"timestamp\":\"{}", self.timestamp)?;
        line.extend_from_slice(b"\",\"level\":\"INFO\",\"message\":\"request\"");
        for (name, text) in [
            (",\"id\":", Some(self.id)),
            (",\"peer\":", self.peer),
            (",\"method\":", Some(self.method)),
            (",\"path\":", Some(self.path)),
            (",\"route\":", self.route),
            (",\"verdict\":", Some(self.verdict)),
            (",\"reason\":", self.reason),
            (",\"key\":", self.key),
            (",\"candidate\":", self.candidate),
        ] {
            if let Some(text) = text {
                line.extend_from_slice(name.as_bytes());
                quote(line, text)?;
            }
        }
        for (name, number) in [
            (",\"status\":", (self.status > 0).then_some(self.status.into())),
            (",\"received\":", Some(self.received)),
            (",\"sent\":", Some(self.sent)),
            (",\"micros\":", Some(self.micros)),
            (",\"upstream_micros\":", self.upstream_micros),
        ] {
            if let Some(number) = number {
                line.extend_from_slice(name.as_bytes());
                line.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
            }
        }
        line.push(b'}');
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_escaping_is_escaped() {
        for text in ["/plain", "/a\"b", "/a\\b", "/\u{7}", "/ü", ""] {
            let mut line = Vec::new();
            quote(&mut line, text).unwrap();
            let read: String = serde_json::from_slice(&line).unwrap();
            assert_eq!(read, text);
        }
    }
}
