//! A strict parser of responses that shares no code with the gate (RFC 9112).

use crate::support::{fields_of, find, latin1, values};

/// A response that was received whole.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) status: u16,
    pub(super) fields: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// What the first bytes of a connection are.
pub(super) enum Received {
    /// A response, and its length in bytes.
    Whole(Parsed, usize),
    /// The beginning of a response, or nothing.
    Part,
    /// Neither.
    Invalid(&'static str),
}

/// A decoded body, and its length in bytes as sent.
type Body = (Vec<u8>, usize);

impl Parsed {
    pub(super) fn values(&self, name: &str) -> Vec<&str> {
        values(&self.fields, name)
    }
}

/// Parses the first response. `is_end`: nothing follows these bytes.
pub(super) fn parse(bytes: &[u8], is_head: bool, is_end: bool) -> Received {
    let Some(end) = find(bytes, b"\r\n\r\n").map(|at| at + 4) else {
        let could_begin = b"HTTP/1.".starts_with(&bytes[..bytes.len().min(7)]);
        return if could_begin { Received::Part } else { Received::Invalid("no response") };
    };
    let head = match parse_head(&bytes[..end]) {
        Ok(head) => head,
        Err(what) => return Received::Invalid(what),
    };
    match parse_body(&head, &bytes[end..], is_head, is_end) {
        Ok(Some((body, length))) => Received::Whole(Parsed { body, ..head }, end + length),
        Ok(None) => Received::Part,
        Err(what) => Received::Invalid(what),
    }
}

fn parse_head(head: &[u8]) -> Result<Parsed, &'static str> {
    let text = latin1(head);
    let lines: Vec<_> = text.strip_suffix("\r\n\r\n").unwrap().split("\r\n").collect();
    if lines.iter().any(|line| line.contains(['\r', '\n', '\0'])) {
        return Err("a control character in the head");
    }
    let (version, rest) = lines[0].split_once(' ').ok_or("no status line")?;
    let status = rest.split(' ').next().unwrap_or_default();
    if !matches!(version, "HTTP/1.1" | "HTTP/1.0") || status.len() != 3 || rest.len() < 4 {
        return Err("no status line");
    }
    let status = status.parse().map_err(|_| "no status")?;
    if status < 200 {
        return Err("an interim response that nobody asked for");
    }
    let is_token = |name: &str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
    };
    let is_field = |line: &&str| line.split_once(':').is_some_and(|(name, _)| is_token(name));
    if !lines[1..].iter().all(is_field) {
        return Err("a line that is not a field");
    }
    Ok(Parsed { status, fields: fields_of(head), body: Vec::new() })
}

/// The body; `None` if it is not there whole.
fn parse_body(
    head: &Parsed,
    bytes: &[u8],
    is_head: bool,
    is_end: bool,
) -> Result<Option<Body>, &'static str> {
    let (lengths, codings) = (head.values("Content-Length"), head.values("Transfer-Encoding"));
    let length = match lengths[..] {
        [] => None,
        [text] if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() => {
            Some(text.parse::<usize>().map_err(|_| "a length beyond all bounds")?)
        }
        _ => return Err("invalid lengths"),
    };
    let is_chunked = match codings[..] {
        [] => false,
        ["chunked"] if length.is_none() => true,
        _ => return Err("contradicting framing"),
    };
    if head.status == 204 && (length.is_some() || is_chunked) || head.status == 304 && is_chunked {
        return Err("framing of a body that cannot be");
    }
    if is_head || matches!(head.status, 204 | 304) {
        return Ok(Some((Vec::new(), 0)));
    }
    if is_chunked {
        return parse_chunks(bytes);
    }
    match length {
        Some(length) => Ok(bytes.get(..length).map(|body| (body.to_vec(), length))),
        None if head.values("Connection") != ["close"] => Err("a body without an end"),
        None => Ok(is_end.then(|| (bytes.to_vec(), bytes.len()))),
    }
}

fn parse_chunks(bytes: &[u8]) -> Result<Option<Body>, &'static str> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let rest = &bytes[at..];
        let Some(end) = find(&rest[..rest.len().min(20)], b"\r\n") else {
            return if rest.len() < 20 { Ok(None) } else { Err("no chunk size") };
        };
        let size = latin1(&rest[..end]);
        let size = usize::from_str_radix(&size, 16).map_err(|_| "no chunk size")?;
        let (begin, end) = (end + 2, end + 2 + size);
        let Some(ending) = rest.get(end..end + 2) else { return Ok(None) };
        if ending != b"\r\n" {
            return Err("no line end after a chunk");
        }
        body.extend_from_slice(&rest[begin..end]);
        at += end + 2;
        if size == 0 {
            return Ok(Some((body, at)));
        }
    }
}
