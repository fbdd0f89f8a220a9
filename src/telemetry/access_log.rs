//! The access log: one line per exchange. A line never contains a token, a signature, a query value
//! or a body.

use std::{
    borrow::Cow,
    io::{self, Write},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::Serialize;
use serde_json::ser::Formatter;

use super::{
    outcome::{ExchangeId, Outcome},
    verdict::Verdict,
};
use crate::gate::{Proven, Refusal};
use crate::http1::FieldName;

/// Format of the log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// Text.
    Text {
        /// Whether to write ANSI colours.
        colour: bool,
        /// Whether to write the date, or the time of day alone and verdicts in a column.
        date: bool,
    },
}

/// The fields of a line, in the order in which JSON shows them.
struct AccessLog<'a> {
    timestamp: humantime::Rfc3339Timestamp,
    level: &'static str,
    message: &'static str,
    id: ExchangeId,
    peer: Option<&'a str>,
    method: &'a str,
    path: Cow<'a, str>,
    route: Option<&'a str>,
    verdict: &'static str,
    reason: Option<&'static str>,
    key: Option<&'a str>,
    candidate: Option<Cow<'static, str>>,
    host: Option<Cow<'a, str>>,
    account: Option<&'a str>,
    upstream: Option<&'a str>,
    error: Option<&'a str>,
    status: Option<u16>,
    received: u64,
    sent: u64,
    micros: u64,
    upstream_micros: Option<u64>,
}

/// Formats one line, including its newline.
pub(super) fn format(
    outcome: &Outcome,
    duration: Duration,
    id: ExchangeId,
    format: LogFormat,
) -> Vec<u8> {
    let entry = AccessLog::new(outcome, duration, id, SystemTime::now());
    let mut line = Vec::with_capacity(512);
    // Writing to a `Vec` cannot fail.
    let _infallible = match format {
        LogFormat::Json => entry.write_json(&mut line),
        LogFormat::Text { colour, date } => {
            entry.write_text(&mut line, colour.then(|| ansi_colour(&outcome.verdict)), date)
        }
    };
    line.push(b'\n');
    line
}

/// The likeliest mistake with a refused request, as the log shows it.
pub(super) struct Explained {
    pub(super) mistake: &'static str,
    pub(super) proven: bool,
    pub(super) says: String,
    pub(super) cure: String,
    /// `FILE:LINE` of the cure.
    pub(super) place: Option<String>,
}

/// Appends the explanation to a formatted line.
pub(super) fn append(line: &mut Vec<u8>, format: LogFormat, explained: &Explained) {
    let Explained { mistake, proven, says, cure, place } = explained;
    // Writing to a `Vec` cannot fail.
    let _infallible = match format {
        LogFormat::Json => {
            line.truncate(line.len().saturating_sub(2)); // `}` and the newline
            append_json(line, explained)
        }
        LogFormat::Text { .. } => {
            line.truncate(line.len().saturating_sub(1));
            let doubt = if *proven { "" } else { " (a hint)" };
            let place = place.as_ref().map(|place| format!(" [{place}]")).unwrap_or_default();
            let (says, cure) = (says.escape_debug(), cure.escape_debug());
            writeln!(line, "\n    {mistake}{doubt}: {says}\n    cure: {cure}{place}")
        }
    };
}

fn append_json(line: &mut Vec<u8>, explained: &Explained) -> io::Result<()> {
    let Explained { mistake, proven, says, cure, place } = explained;
    write!(line, r#","mistake":"{mistake}","proven":{proven},"says":"#)?;
    write_string(line, says)?;
    write!(line, r#","cure":"#)?;
    write_string(line, cure)?;
    if let Some(place) = place {
        write!(line, r#","where":"#)?;
        write_string(line, place)?;
    }
    line.write_all(b"}\n")
}

/// Longest `host` in a line, in bytes: that of a name in the DNS.
const MAX_HOST: usize = 255;

/// Returns the `Host` that no route knows.
fn unknown_host(outcome: &Outcome) -> Option<Cow<'_, str>> {
    let reason = match &outcome.verdict {
        Verdict::Refused(reason) => Some(*reason),
        verdict => verdict.proven().and_then(Proven::unenforced),
    };
    let host = outcome.head.fields.get(FieldName::Host).unwrap_or_default();
    let host = host.get(..MAX_HOST).unwrap_or(host);
    (reason == Some(Refusal::UnknownHost)).then(|| String::from_utf8_lossy(host))
}

/// Formats `time` by RFC 3339, in microseconds. humantime panics before 1970 and fails after 9999,
/// so a wrong clock is clamped to that range.
fn timestamp(time: SystemTime) -> humantime::Rfc3339Timestamp {
    const MAX: Duration = Duration::new(253_402_300_799, 999_999_999);
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default().min(MAX);
    humantime::format_rfc3339_micros(UNIX_EPOCH.checked_add(since_epoch).unwrap_or(UNIX_EPOCH))
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// SGR code for the verdict: green, yellow or red.
const fn ansi_colour(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Admitted(Proven::Signed(_) | Proven::DeclaredPublic) | Verdict::Doctor => 32,
        Verdict::Admitted(Proven::Unenforced(_)) | Verdict::Refused(_) | Verdict::Abandoned => 33,
        Verdict::Failed(..) | Verdict::Malformed(_) => 31,
    }
}

impl<'a> AccessLog<'a> {
    fn new(outcome: &'a Outcome, duration: Duration, id: ExchangeId, now: SystemTime) -> Self {
        let proof = outcome.verdict.proven().and_then(Proven::proof);
        let details = outcome.details.as_deref();
        let error = details.and_then(|details| details.error.as_ref());
        Self {
            timestamp: timestamp(now),
            level: "INFO",
            message: "request",
            id,
            peer: outcome.peer.as_deref(),
            method: outcome.head.method(),
            path: String::from_utf8_lossy(outcome.head.path()),
            route: outcome.route.as_ref().map(|route| route.path()),
            verdict: outcome.verdict.label(),
            reason: outcome.verdict.reason(),
            key: proof.map(|proof| &*proof.key),
            candidate: proof.and_then(|proof| Some(proof.candidate?.label())),
            host: unknown_host(outcome),
            account: details.and_then(|details| details.account.as_deref()),
            upstream: error.map(|error| &*error.upstream),
            error: error.map(|error| &*error.cause),
            status: (outcome.status > 0).then_some(outcome.status),
            received: outcome.received,
            sent: outcome.sent,
            micros: micros(duration),
            upstream_micros: outcome.upstream.map(micros),
        }
    }

    /// Writes field by field. A derived serializer escapes each key and each value byte by byte, which
    /// costs 4,500 instructions a line more; here that is left to values that need it.
    fn write_json(&self, line: &mut Vec<u8>) -> io::Result<()> {
        let Self { timestamp, level, message, id, .. } = self;
        write!(line, r#"{{"timestamp":"{timestamp}","level":"{level}","message":"{message}","#)?;
        write!(line, r#""id":"{id}""#)?;
        for (key, text) in [
            (r#","peer":"#, self.peer),
            (r#","method":"#, Some(self.method)),
            (r#","path":"#, Some(&*self.path)),
            (r#","route":"#, self.route),
            (r#","verdict":"#, Some(self.verdict)),
            (r#","reason":"#, self.reason),
            (r#","key":"#, self.key),
            (r#","candidate":"#, self.candidate.as_deref()),
            (r#","host":"#, self.host.as_deref()),
            (r#","account":"#, self.account),
            (r#","upstream":"#, self.upstream),
            (r#","error":"#, self.error),
        ] {
            if let Some(text) = text {
                line.extend_from_slice(key.as_bytes());
                write_string(line, text)?;
            }
        }
        for (key, number) in [
            (r#","status":"#, self.status.map(u64::from)),
            (r#","received":"#, Some(self.received)),
            (r#","sent":"#, Some(self.sent)),
            (r#","micros":"#, Some(self.micros)),
            (r#","upstream_micros":"#, self.upstream_micros),
        ] {
            if let Some(number) = number {
                line.extend_from_slice(key.as_bytes());
                line.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
            }
        }
        line.push(b'}');
        Ok(())
    }

    /// Writes `2026-11-24T09:00:00.000001Z 403 refused signature_mismatch POST /voice …`.
    fn write_text(&self, line: &mut Vec<u8>, colour: Option<u8>, date: bool) -> io::Result<()> {
        let on = colour.map(|code| format!("\u{1b}[{code}m")).unwrap_or_default();
        let off = if colour.is_some() { "\u{1b}[0m" } else { "" };
        let Self { timestamp, method, verdict, received, sent, micros, id, .. } = self;
        let status = self.status.unwrap_or_default();
        let status = format!("{on}{status:<3} {verdict}{off}");
        if date {
            write!(line, "{timestamp} {status}")?;
        } else {
            let time = timestamp.to_string();
            let padding = 9_usize.saturating_sub(verdict.len());
            write!(line, "{} {status}{:padding$}", time.get(11..).unwrap_or(&time), "")?;
        }
        if let Some(reason) = self.reason {
            write!(line, " {on}{reason}{off}")?;
        }
        write!(line, " {method} {}", self.path.escape_default())?;
        let candidate = self.candidate.as_deref().filter(|label| *label != "received");
        for (name, value) in [
            ("route", self.route),
            ("key", self.key),
            ("candidate", candidate),
            ("peer", self.peer),
            ("account", self.account),
            ("upstream", self.upstream),
        ] {
            if let Some(value) = value {
                write!(line, " {name}={value}")?;
            }
        }
        for (name, value) in [("host", self.host.as_deref()), ("error", self.error)] {
            if let Some(value) = value {
                write!(line, " {name}=\"{}\"", value.escape_debug())?;
            }
        }
        write!(line, " in={received}B out={sent}B {micros}µs id={id}")
    }
}

/// Writes a JSON string. Nearly every value is printable ASCII without quotes and is copied.
fn write_string(line: &mut Vec<u8>, text: &str) -> io::Result<()> {
    let is_plain = |byte| matches!(byte, b' '..=b'~') & !matches!(byte, b'"' | b'\\');
    // One pass without branches, which the compiler vectorizes.
    if !text.bytes().fold(true, |plain, byte| plain & is_plain(byte)) {
        let mut serializer = serde_json::Serializer::with_formatter(line, LogSafe);
        return text.serialize(&mut serializer).map_err(io::Error::other);
    }
    line.push(b'"');
    line.extend_from_slice(text.as_bytes());
    line.push(b'"');
    Ok(())
}

/// Compact JSON that also escapes characters which change how a terminal or a viewer shows a line.
///
/// JSON requires escapes only below U+0020 (RFC 8259 §7). A path comes from the client: a raw C1
/// control such as U+009B starts a terminal sequence, U+2028 breaks a line, and bidirectional
/// controls reorder what a person reads (CVE-2021-42574).
struct LogSafe;

impl Formatter for LogSafe {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        // All of them but U+007F are outside ASCII, and most strings are printable ASCII.
        while let Some(at) = rest.find(is_unsafe_in_log) {
            let (plain, tail) = rest.split_at_checked(at).unwrap_or((rest, ""));
            writer.write_all(plain.as_bytes())?;
            let mut characters = tail.chars();
            if let Some(character) = characters.next() {
                write!(writer, "\\u{:04x}", u32::from(character))?;
            }
            rest = characters.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

/// Whether this is a control character, a line separator or a bidirectional control (UAX #9).
const fn is_unsafe_in_log(character: char) -> bool {
    matches!(
        character,
        '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> AccessLog<'static> {
        AccessLog {
            timestamp: timestamp(
                UNIX_EPOCH.checked_add(Duration::from_micros(1_795_510_800_000_001)).unwrap(),
            ),
            level: "INFO",
            message: "request",
            id: ExchangeId { start: 0xABC, number: 31 },
            peer: Some("192.0.2.1"),
            method: "POST",
            path: "/vo\"ice\\\u{7}ü".into(),
            route: Some("/*"),
            verdict: "failed",
            reason: Some("connect"),
            key: Some("auth_tokens[0]"),
            candidate: Some("received".into()),
            host: None,
            account: None,
            upstream: Some("http://127.0.0.1:3030"),
            error: Some("connection refused"),
            status: Some(502),
            received: 12,
            sent: 34,
            micros: 567,
            upstream_micros: Some(89),
        }
    }

    fn json(entry: &AccessLog<'_>) -> String {
        let mut line = Vec::new();
        entry.write_json(&mut line).unwrap();
        String::from_utf8(line).unwrap()
    }

    fn text(entry: &AccessLog<'_>, colour: Option<u8>) -> String {
        let mut line = Vec::new();
        entry.write_text(&mut line, colour, true).unwrap();
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn json_line_has_every_field_in_order() {
        let expected = concat!(
            r#"{"timestamp":"2026-11-24T09:00:00.000001Z","level":"INFO","message":"request","#,
            r#""id":"00000abc-1f","peer":"192.0.2.1","method":"POST","path":"/vo\"ice\\\u0007ü","#,
            r#""route":"/*","verdict":"failed","reason":"connect","key":"auth_tokens[0]","#,
            r#""candidate":"received","upstream":"http://127.0.0.1:3030","error":"connection refused","status":502,"received":12,"sent":34,"micros":567,"#,
            r#""upstream_micros":89}"#,
        );
        assert_eq!(json(&entry()), expected);
    }

    #[test]
    fn json_line_omits_absent_fields() {
        let entry = AccessLog {
            peer: None,
            path: "/".into(),
            route: None,
            reason: None,
            key: None,
            candidate: None,
            upstream: None,
            error: None,
            status: None,
            upstream_micros: None,
            ..entry()
        };
        let expected = concat!(
            r#"{"timestamp":"2026-11-24T09:00:00.000001Z","level":"INFO","message":"request","#,
            r#""id":"00000abc-1f","method":"POST","path":"/","verdict":"failed","#,
            r#""received":12,"sent":34,"micros":567}"#,
        );
        assert_eq!(json(&entry), expected);
    }

    #[test]
    fn text_line_has_every_field_in_order() {
        let mut entry = entry();
        entry.candidate = Some("without_port".into());
        let tail = "POST /vo\\\"ice\\\\\\u{7}\\u{fc} route=/* key=auth_tokens[0] \
            candidate=without_port peer=192.0.2.1 \
            upstream=http://127.0.0.1:3030 error=\"connection refused\" in=12B out=34B 567µs id=00000abc-1f";
        let plain = format!("2026-11-24T09:00:00.000001Z 502 failed connect {tail}");
        assert_eq!(text(&entry, None), plain);
        let (on, off) = ("\u{1b}[31m", "\u{1b}[0m");
        let coloured =
            format!("2026-11-24T09:00:00.000001Z {on}502 failed{off} {on}connect{off} {tail}");
        assert_eq!(text(&entry, Some(31)), coloured);
        let aligned = format!("09:00:00.000001Z 502 failed    connect {tail}");
        let mut line = Vec::new();
        entry.write_text(&mut line, None, false).unwrap();
        assert_eq!(String::from_utf8(line).unwrap(), aligned);
        entry.status = None;
        assert!(text(&entry, None).contains("Z 0   failed connect"));
    }

    #[test]
    fn characters_that_act_on_a_terminal_or_viewer_are_escaped_in_every_string() {
        let ranges = [0..=0x1f, 0x7f..=0x9f, 0x61c..=0x61c, 0x200e..=0x200f];
        let more = [0x2028..=0x202e, 0x2066..=0x2069];
        for code in ranges.into_iter().chain(more).flatten() {
            let character = char::from_u32(code).unwrap();
            let value = format!("a{character}b{character}");
            let value = value.as_str();
            let line = json(&AccessLog {
                peer: Some(value),
                method: value,
                path: value.into(),
                route: Some(value),
                key: Some(value),
                candidate: Some(value.to_owned().into()),
                host: Some(value.into()),
                error: Some(value),
                ..entry()
            });
            assert!(!line.contains(character), "{code:x} {line}");
            let read: serde_json::Value = serde_json::from_str(&line).unwrap();
            for name in ["peer", "method", "path", "route", "key", "candidate", "host", "error"] {
                assert_eq!(read[name], value, "{code:x} {name}");
            }
            assert!(!text(&AccessLog { path: value.into(), ..entry() }, None).contains(character));
        }
        let line = json(&AccessLog { path: "/\u{9b}31m\u{2029}".into(), ..entry() });
        assert!(line.contains(r#""path":"/\u009b31m\u2029""#), "{line}");
    }

    #[test]
    fn other_characters_are_not_escaped() {
        for value in ["/plain", "/ü", "/日本", "/\u{a0}", "/\u{2010}", "/\u{1f600}", ""] {
            let line = json(&AccessLog { path: value.into(), ..entry() });
            assert!(line.contains(&format!("\"path\":\"{value}\"")), "{line}");
        }
    }

    #[test]
    fn timestamp_is_clamped_to_the_years_1970_to_9999() {
        let at = |seconds| timestamp(UNIX_EPOCH + Duration::from_secs(seconds)).to_string();
        assert_eq!(at(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(at(1_795_510_800), "2026-11-24T09:00:00.000000Z");
        assert_eq!(at(300_000_000_000), "9999-12-31T23:59:59.999999Z");
        let before_1970 = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(timestamp(before_1970).to_string(), "1970-01-01T00:00:00.000000Z");
    }
}
