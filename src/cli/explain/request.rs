//! Reads the request to explain: from a file, or from arguments.

use std::{
    fs,
    io::{self, Read},
    path::Path,
    sync::Arc,
};

use bytes::{Bytes, BytesMut};

use super::ExplainArgs;
use crate::cli::{error::CliError, sign::pairs, webhook::encode_form};
use crate::config::Config;
use crate::http1::{BodyDecoder, FieldName, FramedHead, Framing, HeadScanner, RequestHead};

/// Far more than the gate itself accepts: a head that is too long is explained too.
const MAX_HEAD: usize = 1 << 20;
const MAX_FIELDS: usize = 1000;

/// A request as it was received.
pub(super) struct Received {
    pub(super) head: Arc<RequestHead>,
    pub(super) body: Bytes,
    /// The URL of the arguments: the one on file, unless `--told` says otherwise.
    pub(super) url: Option<String>,
}

impl Received {
    pub(super) fn read(args: &ExplainArgs, config: &Config) -> Result<Self, CliError> {
        match (&args.request, &args.url) {
            (Some(file), _) => Self::parse(&read_file(file)?),
            (None, Some(url)) => from_arguments(args, url, config),
            (None, None) => Err(CliError::Usage("give --request FILE, or a URL with --signature")),
        }
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, CliError> {
        let malformed = CliError::Usage(
            "the request is not HTTP/1.1: a request line, header fields, an empty line, a body",
        );
        let mut buffer = BytesMut::from(&with_line_ends(bytes)[..]);
        let head =
            RequestHead::parse(&mut buffer, &mut HeadScanner::default(), MAX_HEAD, MAX_FIELDS);
        let Ok(Some(head)) = head else { return Err(malformed) };
        let head = Arc::new(head);
        let framing = FramedHead::new(Arc::clone(&head)).ok().map(|framed| framed.framing());
        Ok(Self { body: body(&head, framing, buffer), head, url: None })
    }
}

fn read_file(file: &Path) -> io::Result<Vec<u8>> {
    if file == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    fs::read(file)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))
}

/// Editors write LF where the wire has CRLF: both are read. The body is left alone.
fn with_line_ends(bytes: &[u8]) -> Vec<u8> {
    let crlf = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let feed = bytes.windows(2).position(|window| window == b"\n\n");
    let (Some(end), true) = (feed, crlf.is_none_or(|crlf| feed.is_some_and(|feed| feed < crlf)))
    else {
        let ends = crlf.is_some();
        return if ends { bytes.to_vec() } else { [bytes.trim_ascii_end(), b"\r\n\r\n"].concat() };
    };
    let (head, rest) = bytes.split_at_checked(end).unwrap_or_default();
    let lines =
        head.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let head = lines.collect::<Vec<_>>().join(&b"\r\n"[..]);
    [&head, &b"\r\n\r\n"[..], rest.get(2..).unwrap_or_default()].concat()
}

/// Takes the body by its framing; where that is faulty or the file shorter, all that is there.
fn body(head: &RequestHead, framing: Option<Framing>, mut rest: BytesMut) -> Bytes {
    match framing {
        Some(Framing::Chunked) => decoded(&mut rest.clone()).unwrap_or_else(|| rest.freeze()),
        Some(Framing::Length(length)) if head.fields.contains(FieldName::ContentLength) => {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            rest.truncate(length);
            rest.freeze()
        }
        _ => rest.freeze(),
    }
}

fn decoded(rest: &mut BytesMut) -> Option<Bytes> {
    let mut decoder = BodyDecoder::from(Framing::Chunked);
    let mut whole = BytesMut::new();
    while !decoder.is_complete() {
        whole.extend_from_slice(&decoder.decode(rest).ok()??);
    }
    Some(whole.freeze())
}

/// Builds the request that Twilio's request inspector shows.
fn from_arguments(args: &ExplainArgs, url: &str, config: &Config) -> Result<Received, CliError> {
    let body = match &args.body {
        Some(file) => fs::read(file)?,
        None => encode_form(pairs(&args.data)?),
    };
    let (authority, target) = split_url(url)?;
    let target = without_prefix(target, config);
    let has_body = args.body.is_some() || !args.data.is_empty();
    let method = args.method.as_deref().unwrap_or(if has_body { "POST" } else { "GET" });
    let fields = fields(args, url, authority, method)?;
    let mut text = format!("{method} {target} HTTP/1.1\r\n");
    for (name, value) in fields {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    let mut buffer = BytesMut::from(text.as_bytes());
    let head = RequestHead::parse(&mut buffer, &mut HeadScanner::default(), MAX_HEAD, MAX_FIELDS);
    let Ok(Some(head)) = head else {
        return Err(CliError::Usage("URL, method and headers make no HTTP request"));
    };
    Ok(Received { head: Arc::new(head), body: body.into(), url: Some(url.to_owned()) })
}

fn fields(
    args: &ExplainArgs,
    url: &str,
    authority: &str,
    method: &str,
) -> Result<Vec<(String, String)>, CliError> {
    let split = |header: &String| {
        let (name, value) = header.split_once(':')?;
        Some((name.trim().to_owned(), value.trim().to_owned()))
    };
    let own: Option<Vec<(String, String)>> = args.headers.iter().map(split).collect();
    let mut fields = own.ok_or(CliError::Usage("-H takes 'NAME: VALUE'"))?;
    let mut add = |name: &str, value: &str| {
        if !fields.iter().any(|(own, _)| own.eq_ignore_ascii_case(name)) {
            fields.push((name.to_owned(), value.to_owned()));
        }
    };
    add("Host", authority);
    if url.starts_with("ws") {
        add("Connection", "Upgrade");
        add("Upgrade", "websocket");
    }
    if args.body.is_none() && method != "GET" {
        add("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8");
    } else if args.body.is_some() {
        add("Content-Type", "application/json");
    }
    if let Some(signature) = &args.signature {
        add("X-Twilio-Signature", signature);
    }
    Ok(fields)
}

fn split_url(url: &str) -> Result<(&str, &str), CliError> {
    let url = url.split('#').next().unwrap_or_default();
    let (_, rest) = url.split_once("://").ok_or(CliError::Usage(
        "the URL is to be whole, such as https://hooks.example.com/voice",
    ))?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at_checked(end).unwrap_or_default();
    let authority = authority.rsplit('@').next().unwrap_or_default();
    Ok((authority, if target.is_empty() { "/" } else { target }))
}

/// A configured prefix is one that a proxy strips: it does not arrive.
fn without_prefix<'t>(target: &'t str, config: &Config) -> &'t str {
    let origins = config.table.routes().iter().flat_map(|route| &route.origins);
    let mut prefixes = origins.map(crate::signature::Origin::prefix).filter(|p| !p.is_empty());
    let rest = prefixes.find_map(|prefix| target.strip_prefix(prefix));
    rest.filter(|rest| rest.starts_with('/')).unwrap_or(target)
}
