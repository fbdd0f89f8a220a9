//! A minimal HTTP/1.1 client for the commands: one request, one response, one connection.

use std::io::{self, Read, Write};

use bytes::BytesMut;

use crate::http1::{HeadScanner, ResponseHead};

/// Most bytes that are read of a response.
const MAX_RESPONSE: u64 = 64 * 1024;

/// A response.
pub(super) struct Answer {
    head: ResponseHead,
    /// The body as received, at most 64 KiB with the head.
    pub(super) body: Vec<u8>,
}

/// Sends a request that asks for `Connection: close`, and reads the response. An end without TLS
/// `close_notify`, or none before the timeout, is accepted after some data: many servers do that.
pub(super) fn exchange(request: &[u8], mut stream: impl Read + Write) -> io::Result<Answer> {
    stream.write_all(request)?;
    stream.flush()?;
    let mut response = Vec::new();
    match stream.take(MAX_RESPONSE).read_to_end(&mut response) {
        Err(error) if response.is_empty() => Err(error),
        _ => Answer::parse(&response).ok_or_else(|| io::Error::other("no HTTP answer")),
    }
}

/// Formats a GET or POST without a body, for [`exchange`].
pub(super) fn request(method: &str, target: &str, host: &str) -> Vec<u8> {
    let length = if method == "POST" { "Content-Length: 0\r\n" } else { "" };
    format!(
        "{method} {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: gatekeeper\r\nAccept: */*\r\n\
         {length}Connection: close\r\n\r\n"
    )
    .into_bytes()
}

impl Answer {
    /// Parses a response; interim ones before it are skipped.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = BytesMut::from(bytes);
        loop {
            let head = ResponseHead::parse(&mut rest, &mut HeadScanner::default(), bytes.len());
            let head = head.ok()??;
            if head.status >= 200 || head.status == 101 {
                return Some(Self { head, body: rest.to_vec() });
            }
        }
    }

    pub(super) const fn status(&self) -> u16 {
        self.head.status
    }

    /// Returns the value of a field, without control characters.
    pub(super) fn field(&self, name: &str) -> Option<String> {
        let named = |raw: &[u8]| raw.eq_ignore_ascii_case(name.as_bytes());
        let field = self.head.fields.iter().find(|field| named(field.raw_name))?;
        let value = String::from_utf8_lossy(field.value);
        Some(value.chars().filter(|character| !character.is_control()).take(200).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_final_response_is_parsed() {
        let text = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nSERVER: a\r\n\r\n";
        let answer = Answer::parse(text).unwrap();
        assert_eq!((answer.status(), answer.field("Server").as_deref()), (204, Some("a")));
        assert!(answer.body.is_empty());
        for text in [&b"who?"[..], b"", b"HTTP/1.1 204 No Content\r\n"] {
            assert!(Answer::parse(text).is_none());
        }
    }
}
