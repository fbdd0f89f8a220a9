//! Request lines, other protocols and HTTP/1.0.

use super::{Case, Expect, Expect::*, good, replaced, stage};
use crate::support::{HOST, message::Message};

/// Lines that replace `POST /voice HTTP/1.1`.
const LINES: &[(&str, &[u8], Expect)] = &[
    ("as it should be", b"POST /voice HTTP/1.1", Admitted),
    ("two spaces before the target", b"POST  /voice HTTP/1.1", Malformed),
    ("two spaces behind the target", b"POST /voice  HTTP/1.1", Malformed),
    ("a tab before the target", b"POST\t/voice HTTP/1.1", Malformed),
    ("a tab behind the target", b"POST /voice\tHTTP/1.1", Malformed),
    ("a space at the end", b"POST /voice HTTP/1.1 ", Malformed),
    ("a space at the beginning", b" POST /voice HTTP/1.1", Malformed),
    ("a tab at the beginning", b"\tPOST /voice HTTP/1.1", Malformed),
    ("no spaces", b"POST/voiceHTTP/1.1", Malformed),
    ("no target", b"POST HTTP/1.1", Malformed),
    ("an empty target", b"POST  HTTP/1.1", Malformed),
    ("no method", b"/voice HTTP/1.1", Malformed),
    ("an empty method", b" /voice HTTP/1.1", Malformed),
    ("no version", b"POST /voice", Malformed),
    ("an empty version", b"POST /voice ", Malformed),
    ("a word too many", b"POST /voice HTTP/1.1 x", Malformed),
    ("a space in the target", b"POST /voice x HTTP/1.1", Malformed),
    ("a form feed as space", b"POST\x0c/voice HTTP/1.1", Malformed),
    ("a bare CR in the line", b"POST /voice\rx HTTP/1.1", Malformed),
    ("a bare CR at the end", b"POST /voice HTTP/1.1\r", Malformed),
    ("a NUL in the line", b"POST /voice\0 HTTP/1.1", Malformed),
    ("HTTP/0.9", b"POST /voice HTTP/0.9", Malformed),
    ("HTTP/1.2", b"POST /voice HTTP/1.2", Open(&[200])),
    ("HTTP/1.9", b"POST /voice HTTP/1.9", Open(&[200])),
    ("HTTP/2.0", b"POST /voice HTTP/2.0", Malformed),
    ("HTTP/2", b"POST /voice HTTP/2", Malformed),
    ("HTTP/3.0", b"POST /voice HTTP/3.0", Malformed),
    ("HTTP/9.9", b"POST /voice HTTP/9.9", Malformed),
    ("HTTP/1", b"POST /voice HTTP/1", Malformed),
    ("HTTP/1.", b"POST /voice HTTP/1.", Malformed),
    ("HTTP/1.10", b"POST /voice HTTP/1.10", Malformed),
    ("HTTP/1.01", b"POST /voice HTTP/1.01", Malformed),
    ("HTTP/01.1", b"POST /voice HTTP/01.1", Malformed),
    ("HTTP/1,1", b"POST /voice HTTP/1,1", Malformed),
    ("HTTP/-1.1", b"POST /voice HTTP/-1.1", Malformed),
    ("HTTP 1.1", b"POST /voice HTTP 1.1", Malformed),
    ("http/1.1", b"POST /voice http/1.1", Malformed),
    ("HTTPS/1.1", b"POST /voice HTTPS/1.1", Malformed),
    ("RTSP/1.0", b"POST /voice RTSP/1.0", Malformed),
    ("SIP/2.0", b"POST /voice SIP/2.0", Malformed),
    ("ICY/1.1", b"POST /voice ICY/1.1", Malformed),
    ("post", b"post /voice HTTP/1.1", Refused(403)),
    ("Post", b"Post /voice HTTP/1.1", Refused(403)),
    ("POSTX", b"POSTX /voice HTTP/1.1", Refused(403)),
    ("PUT", b"PUT /voice HTTP/1.1", Refused(403)),
    ("PATCH", b"PATCH /voice HTTP/1.1", Refused(403)),
    ("DELETE", b"DELETE /voice HTTP/1.1", Refused(403)),
    ("OPTIONS", b"OPTIONS /voice HTTP/1.1", Refused(403)),
    ("TRACE", b"TRACE /voice HTTP/1.1", Refused(403)),
    ("TRACK", b"TRACK /voice HTTP/1.1", Refused(403)),
    ("DEBUG", b"DEBUG /voice HTTP/1.1", Refused(403)),
    ("PROPFIND", b"PROPFIND /voice HTTP/1.1", Refused(403)),
    ("QUERY", b"QUERY /voice HTTP/1.1", Refused(403)),
    ("M-SEARCH", b"M-SEARCH /voice HTTP/1.1", Refused(403)),
    ("BREW", b"BREW /voice HTTP/1.1", Refused(403)),
    ("a method of every token character", b"!#$%&'*+-.^_`|~ /voice HTTP/1.1", Refused(403)),
    ("CONNECT with a path", b"CONNECT /voice HTTP/1.1", Open(&[403])),
    ("CONNECT with an authority", b"CONNECT hooks.example.com:443 HTTP/1.1", Malformed),
    ("CONNECT with another authority", b"CONNECT 127.0.0.1:22 HTTP/1.1", Malformed),
    ("a method with a parenthesis", b"PO(ST /voice HTTP/1.1", Malformed),
    ("a method with a colon", b"POST: /voice HTTP/1.1", Malformed),
    ("a method with a quote", b"\"POST\" /voice HTTP/1.1", Malformed),
    ("a method with 8-bit", b"P\xd6ST /voice HTTP/1.1", Malformed),
    ("a method with a NUL", b"PO\0ST /voice HTTP/1.1", Malformed),
    ("absolute form, https", b"POST https://hooks.example.com/voice HTTP/1.1", Malformed),
    ("absolute form, http", b"POST http://hooks.example.com/voice HTTP/1.1", Malformed),
    ("absolute form, capitals", b"POST HTTP://HOOKS.EXAMPLE.COM/voice HTTP/1.1", Malformed),
    ("absolute form, another host", b"POST http://elsewhere.example/voice HTTP/1.1", Malformed),
    ("absolute form, a user", b"POST http://a@hooks.example.com/voice HTTP/1.1", Malformed),
    ("absolute form, no path", b"POST http://hooks.example.com HTTP/1.1", Malformed),
    ("absolute form, no host", b"POST http:///voice HTTP/1.1", Malformed),
    ("absolute form, one slash", b"POST http:/voice HTTP/1.1", Malformed),
    ("absolute form, ws", b"POST ws://hooks.example.com/voice HTTP/1.1", Malformed),
    ("absolute form, ftp", b"POST ftp://hooks.example.com/voice HTTP/1.1", Malformed),
    ("absolute form, file", b"POST file:///etc/passwd HTTP/1.1", Malformed),
    ("absolute form, gopher", b"POST gopher://127.0.0.1:6379/_ HTTP/1.1", Malformed),
    ("absolute form, javascript", b"POST javascript:alert(1) HTTP/1.1", Malformed),
    ("absolute form, data", b"POST data:text/plain,x HTTP/1.1", Malformed),
    ("authority form", b"POST hooks.example.com:443 HTTP/1.1", Malformed),
    ("authority form, no port", b"POST hooks.example.com HTTP/1.1", Malformed),
    ("an asterisk", b"POST * HTTP/1.1", Malformed),
    ("OPTIONS and an asterisk", b"OPTIONS * HTTP/1.1", Malformed),
    ("a relative target", b"POST voice HTTP/1.1", Malformed),
    ("a query alone", b"POST ?a=1 HTTP/1.1", Malformed),
    ("a backslash", b"POST \\voice HTTP/1.1", Malformed),
    ("a dot", b"POST ./voice HTTP/1.1", Malformed),
    ("an escaped slash first", b"POST %2fvoice HTTP/1.1", Malformed),
    ("a fragment", b"POST /voice#x HTTP/1.1", Malformed),
    ("a fragment in the query", b"POST /voice?a#x HTTP/1.1", Malformed),
    ("an empty fragment", b"POST /voice# HTTP/1.1", Malformed),
    ("a fragment alone", b"POST # HTTP/1.1", Malformed),
    ("a DEL in the target", b"POST /voice\x7f HTTP/1.1", Malformed),
    ("a control in the target", b"POST /voice\x01 HTTP/1.1", Malformed),
    ("8-bit in the path", b"POST /voice\xe4 HTTP/1.1", Open(&[403])),
    ("8-bit in the query", b"POST /voice?\xe4 HTTP/1.1", Open(&[403])),
    ("UTF-8 in the path", "POST /voicé HTTP/1.1".as_bytes(), Open(&[403])),
    ("another target than was signed", b"POST /voice?a=1 HTTP/1.1", Refused(403)),
    ("an empty query that was not signed", b"POST /voice? HTTP/1.1", Open(&[200, 403])),
    ("a line break, escaped", b"POST /voice%0d%0aX:%20y HTTP/1.1", Refused(403)),
];

/// Bytes of other protocols.
const OTHER_PROTOCOLS: &[(&str, &[u8])] = &[
    ("nothing", b""),
    ("nonsense", b"nonsense\r\n\r\n"),
    ("NULs", &[0; 64]),
    ("ones", &[255; 64]),
    ("an HTTP/0.9 request", b"GET /voice\r\n"),
    ("the HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("the HTTP/2 preface and SETTINGS", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"),
    ("half of the HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\n"),
    ("a TLS ClientHello", b"\x16\x03\x01\x00\x31\x01\x00\x00\x2d\x03\x03\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\x00\x00\x02\x13\x01\x01\x00\x00\x02\x00\x00"),
    ("an SSLv2 hello", b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\x01\x00\x80\x03\x00\x80"),
    ("a PROXY line", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"),
    ("a PROXY header", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01\0\x01\0\x02"),
    ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n"),
    ("SMTP", b"EHLO elsewhere.example\r\n"),
    ("Redis", b"*1\r\n$4\r\nPING\r\n"),
    ("FastCGI", b"\x01\x01\0\x01\0\x08\0\0\0\x01\0\0\0\0\0\0"),
    ("AJP", b"\x12\x34\0\x01\x0a"),
    ("RDP", b"\x03\0\0\x13\x0e\xe0\0\0\0\0\0\x01\0\x08\0\x03\0\0\0"),
    ("a response", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ("many empty lines", b"\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n"),
    ("one byte", b"P"),
];

#[test]
fn malformed_request_lines_are_refused() {
    let bytes = good().bytes();
    let cases: Vec<_> = LINES
        .iter()
        .map(|(name, line, expect)| {
            Case::new(name, replaced(&bytes, b"POST /voice HTTP/1.1", line), *expect)
        })
        .collect();
    stage::play("request line", stage::ROUTES, &cases);
}

/// The same without a signature: malformed lines stay malformed, all others are unsigned.
#[test]
fn unsigned_malformed_request_lines_are_refused() {
    let bytes = Message::form("/voice", "a=1").bytes();
    let cases: Vec<_> = LINES
        .iter()
        .map(|(name, line, expect)| {
            let expect = match expect {
                Malformed => Malformed,
                Open(_) => Open(&[418]),
                _ => Refused(418),
            };
            Case::new(name, replaced(&bytes, b"POST /voice HTTP/1.1", line), expect)
        })
        .collect();
    stage::play("request line", stage::ROUTES, &cases);
}

#[test]
fn other_protocols_are_refused() {
    let with = |finished: bool| {
        OTHER_PROTOCOLS.iter().map(move |(name, bytes)| {
            let case = Case::new(name, *bytes, Malformed);
            if finished { case.finished() } else { case }
        })
    };
    let followed = OTHER_PROTOCOLS.iter().filter(|(_, bytes)| bytes.len() > 1 && bytes[0] != b'\r');
    let followed = followed.map(|(name, bytes)| {
        let sent = [bytes, &good().bytes()[..]].concat();
        Case::new(&format!("{name}, then a good request"), sent, Malformed)
    });
    let cases: Vec<_> = with(true).chain(with(false)).chain(followed).collect();
    stage::play("no HTTP", stage::ROUTES, &cases);
}

#[test]
fn http10_requests_are_judged_like_http11() {
    let bytes = good().bytes();
    let old = replaced(&bytes, b"HTTP/1.1", b"HTTP/1.0");
    let chunked = Message::form("/voice", "a=1").signed().chunked_bytes(3);
    let host = format!("Host: {HOST}\r\n").into_bytes();
    let kept = |value: &str| {
        let line = format!("HTTP/1.0\r\nConnection: {value}\r\n");
        replaced(&bytes, b"HTTP/1.1\r\n", line.as_bytes())
    };
    let head = Message::new("HEAD", "/voice").signed().bytes();
    let cases = [
        Case::new("HTTP/1.0", old.clone(), Admitted),
        Case::new("HTTP/1.0, kept alive", kept("keep-alive"), Admitted),
        Case::new("HTTP/1.0, closed", kept("close"), Admitted),
        Case::new("HTTP/1.0 without a host", replaced(&old, &host, b""), Open(&[403])),
        Case::new("HTTP/1.0 in chunks", replaced(&chunked, b"HTTP/1.1", b"HTTP/1.0"), Malformed),
        Case::new(
            "HTTP/1.0, pipelined without keep-alive",
            [old, bytes.clone()].concat(),
            Each(&[200]),
        ),
        Case::new("HEAD", head.clone(), Refused(403)),
        Case::new("HEAD, HTTP/1.0", replaced(&head, b"HTTP/1.1", b"HTTP/1.0"), Refused(403)),
    ];
    stage::play("request line", stage::ROUTES, &cases);
}
