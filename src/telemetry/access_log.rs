//! The line that an exchange leaves. Never a token, a signature, a query value or a body.

use std::{
    cell::Cell,
    io::{self, Write as _},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{Outcome, Verdict};
use crate::gate::Proven;

/// For whom lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
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
    start: u32,
    number: u64,
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
#[cfg(any(feature = "otlp", test))]
pub(super) fn id(start: u32, number: u64) -> String {
    let mut id = Vec::with_capacity(25);
    put_id(start, number, &mut id);
    String::from_utf8_lossy(&id).into_owned()
}

/// `start`, eight hex digits, and `number`, as many as it takes.
fn put_id(start: u32, number: u64, line: &mut Vec<u8>) {
    put_hex(start.into(), 8, line);
    line.push(b'-');
    put_hex(number, 1, line);
}

fn put_hex(number: u64, least: usize, line: &mut Vec<u8>) {
    let digit = |nibble: u8| nibble.wrapping_add(if nibble < 10 { b'0' } else { b'a' - 10 });
    let mut text = [0; 16];
    for ([high, low], byte) in text.as_chunks_mut().0.iter_mut().zip(number.to_be_bytes()) {
        (*high, *low) = (digit(byte >> 4), digit(byte & 15));
    }
    let zeros = text.iter().take_while(|&&digit| digit == b'0').count();
    let begin = zeros.min(text.len().saturating_sub(least));
    line.extend_from_slice(text.get(begin..).unwrap_or_default());
}

/// A second, as RFC 3339 has it: `2026-11-24T09:00:00`.
type Second = [u8; 19];

thread_local! {
    /// Most lines are of the same second as the one before.
    static LATEST: Cell<(u64, Second)> = const { Cell::new((u64::MAX, [0; 19])) };
}

fn second_of(seconds: u64) -> Second {
    const FLUSH_TIMEOUT: u64 = 253_402_300_799; // of 9999, and of RFC 3339
    let moment = UNIX_EPOCH.checked_add(Duration::from_secs(seconds.min(FLUSH_TIMEOUT)));
    let text = humantime::format_rfc3339_seconds(moment.unwrap_or(UNIX_EPOCH)).to_string();
    text.as_bytes().first_chunk().copied().unwrap_or([b'?'; 19])
}

/// `2026-11-24T09:00:00.000001Z`
fn put_time(line: &mut Vec<u8>) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (mut latest, mut second) = LATEST.get();
    if now.as_secs() != latest {
        latest = now.as_secs();
        second = second_of(latest);
        LATEST.set((latest, second));
    }
    line.extend_from_slice(&second);
    // A million more, so that there are seven digits: the first becomes the point.
    let begin = line.len();
    let micros = now.subsec_micros().saturating_add(1_000_000);
    line.extend_from_slice(itoa::Buffer::new().format(micros).as_bytes());
    if let Some(first) = line.get_mut(begin) {
        *first = b'.';
    }
    line.push(b'Z');
}

/// One line, with its end.
pub(super) fn format(
    outcome: &Outcome,
    duration: Duration,
    start: u32,
    look: LogFormat,
) -> Vec<u8> {
    let proof = outcome.verdict.proven().and_then(Proven::proof);
    let candidate = proof.map(|proof| proof.candidate.label());
    let fields = Fields {
        start,
        number: outcome.number,
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
        LogFormat::Json => fields.json(&mut line),
        LogFormat::Terminal { colour } => fields.text(&mut line, outcome, colour),
    };
    line.push(b'\n');
    line
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn quote(line: &mut Vec<u8>, text: &str) -> io::Result<()> {
    let is_plain = |byte| matches!(byte, b' '..=b'~') & !matches!(byte, b'"' | b'\\');
    let plain = text.bytes().fold(true, |plain, byte| plain & is_plain(byte)); // all at once
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
        line.extend_from_slice(b"{\"timestamp\":\"");
        put_time(line);
        line.extend_from_slice(b"\",\"level\":\"INFO\",\"message\":\"request\",\"id\":\"");
        put_id(self.start, self.number, line);
        line.push(b'"');
        for (name, text) in [
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
        let Self { method, verdict, status, .. } = self;
        let path = self.path.escape_default();
        put_time(line);
        write!(line, " {on}{status:<3} {verdict}{off}")?;
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
        let Self { received, sent, micros, .. } = self;
        write!(line, " in={received}B out={sent}B {micros}µs id=")?;
        put_id(self.start, self.number, line);
        Ok(())
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

    #[test]
    fn a_second_is_told_as_far_as_it_can_be() {
        assert_eq!(&second_of(0), b"1970-01-01T00:00:00");
        assert_eq!(&second_of(1_795_510_800), b"2026-11-24T09:00:00");
        assert_eq!(&second_of(u64::MAX), b"9999-12-31T23:59:59");
        assert_eq!(&second_of(300_000_000_000), b"9999-12-31T23:59:59");
    }

    #[test]
    fn an_id_is_in_hex() {
        assert_eq!(id(0xABC, 0), "00000abc-0");
        assert_eq!(id(u32::MAX, 0x10), "ffffffff-10");
        assert_eq!(id(0, u64::MAX), "00000000-ffffffffffffffff");
    }

    #[test]
    fn a_time_is_read_as_now_in_any_second() {
        for pause in [0, 1100, 0] {
            std::thread::sleep(Duration::from_millis(pause));
            let before = SystemTime::now() - Duration::from_micros(1);
            let mut text = Vec::new();
            put_time(&mut text);
            let text = String::from_utf8(text).unwrap();
            let told = humantime::parse_rfc3339(&text).unwrap();
            assert!(before <= told && told <= SystemTime::now(), "{text}");
            assert_eq!(text.len(), "2026-11-24T09:00:00.000001Z".len());
        }
    }
}
