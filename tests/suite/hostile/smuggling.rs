//! Pipelined requests, requests inside bodies, and upgrades.

use super::{Case, Expect, Expect::*, framed, good, replaced, stage, with_line};
use crate::support::{
    HOST,
    message::{FORM, Message},
};

/// An unsigned request.
fn bad() -> Message {
    Message::form("/voice", "a=1")
}

#[test]
fn pipelined_requests_are_each_judged() {
    let (good, bad) = (good().bytes(), bad().bytes());
    let other = Message::form("/voice", "a=1").signed_by("other").bytes();
    let public = Message::get("/status/x").bytes();
    let get = Message::get("/voice").signed().bytes();
    let of = |parts: &[&[u8]]| parts.concat();
    let cases = [
        Case::new("good, good", of(&[&good, &good]), Each(&[200, 200])),
        Case::new("good, bad", of(&[&good, &bad]), Each(&[200, 418])),
        Case::new("bad, good", of(&[&bad, &good]), Each(&[418, 200])),
        Case::new("good, bad, good", of(&[&good, &bad, &good]), Each(&[200, 418, 200])),
        Case::new("bad, good, bad", of(&[&bad, &good, &bad]), Each(&[418, 200, 418])),
        Case::new("good, forged", of(&[&good, &other]), Each(&[200, 403])),
        Case::new("forged, good", of(&[&other, &good]), Each(&[403, 200])),
        Case::new("public, bad", of(&[&public, &bad]), Each(&[200, 418])),
        Case::new("bad, public", of(&[&bad, &public]), Each(&[418, 200])),
        Case::new("GET, bad", of(&[&get, &bad]), Each(&[200, 418])),
        Case::new("good, nonsense", of(&[&good, b"nonsense\r\n\r\n"]), EachThenMalformed(&[200])),
        Case::new("good, half a request", of(&[&good, &good[..30]]), EachThenMalformed(&[200])),
        Case::new("good, an empty line, bad", of(&[&good, b"\r\n", &bad]), Each(&[200, 418])),
        Case::new(
            "five bad ones, then good",
            of(&[&bad.repeat(5), &good]),
            Each(&[418, 418, 418, 418, 418, 200]),
        ),
        Case::new(
            "good and closed, bad",
            of(&[&with_line(b"Connection: close"), &bad]),
            Each(&[200]),
        ),
        Case::new(
            "bad and closed, good",
            of(&[&replaced(&bad, b"Host", b"Connection: close\r\nHost"), &good]),
            Each(&[418]),
        ),
    ];
    stage::play("smuggling", stage::ROUTES, &cases);
}

/// Bodies larger than the read buffer are followed by further requests.
#[test]
fn requests_behind_long_bodies_are_judged() {
    let bad = bad().bytes();
    let cases = [5_000, 60_000, 200_000].map(|length| {
        let long = Message::form("/voice", &format!("Body={}", "x".repeat(length))).signed();
        let all = [&long.bytes()[..], &bad, &long.bytes(), &good().bytes()].concat();
        Case::new(&format!("{length} bytes"), all, Each(&[200, 418, 200, 200]))
    });
    let config = "[limits]\nmax_body_bytes = 300000\n[[route]]\npath = \"/voice\"\n";
    stage::play("smuggling", config, &cases);
}

/// A request inside a body is data, whether or not the body is read.
#[test]
fn requests_inside_bodies_are_never_requests() {
    let inner = Message::form("/voice?inner=1", "a=1").signed().bytes();
    let public = Message::get("/status/inner").bytes();
    let within = |path: &str, inner: &[u8]| {
        Message::new("POST", path).field("Content-Type", FORM).body(inner)
    };
    let forged = |inner: &[u8]| {
        within("/voice", inner).field("X-Twilio-Signature", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=")
    };
    let cases = [
        Case::new("unsigned", within("/voice", &inner).bytes(), Refused(418)),
        Case::new("unsigned, a public one", within("/voice", &public).bytes(), Refused(418)),
        Case::new(
            "unsigned, in chunks",
            within("/voice", &inner).chunked_bytes(1000),
            Refused(418),
        ),
        Case::new("forged", forged(&inner).bytes(), Refused(403)),
        Case::new("forged, a public one", forged(&public).bytes(), Refused(403)),
        Case::new(
            "a signature that is none",
            within("/voice", &public).field("X-Twilio-Signature", "x").bytes(),
            Refused(403),
        ),
        Case::new("an unknown route", within("/nowhere", &public).signed().bytes(), Refused(403)),
        Case::new(
            "another host",
            within("/voice", &public).host("elsewhere.example").signed().bytes(),
            Refused(403),
        ),
        Case::new(
            "another method",
            Message::new("PUT", "/voice").body(&public).signed().bytes(),
            Refused(403),
        ),
        Case::new("too large", within("/voice", &public.repeat(40)).signed().bytes(), Refused(413)),
        Case::new("signed", within("/voice", &public).signed().bytes(), Admitted),
        Case::new("public", within("/status/x", &inner).bytes(), Admitted),
        Case::new("public, in chunks", within("/status/x", &inner).chunked_bytes(7), Admitted),
    ];
    stage::play("smuggling", stage::ROUTES, &cases);
}

#[test]
fn requests_inside_get_and_head_bodies_are_never_requests() {
    let public = Message::get("/status/inner").bytes();
    let cases = [
        Case::new("a GET's", Message::get("/voice").body(&public).bytes(), Refused(418)),
        Case::new("a HEAD's", Message::new("HEAD", "/voice").body(&public).bytes(), Refused(418)),
    ];
    stage::play("smuggling", stage::ROUTES, &cases);
}

/// CL.TE and TE.CL: one server uses `Content-Length`, the other `Transfer-Encoding`.
#[test]
fn content_length_with_transfer_encoding_is_refused() {
    let hidden = Message::get("/status/hidden").bytes();
    let chunk = [b"0\r\n\r\n", &hidden[..]].concat();
    let length = format!("Content-Length: {}\r\n", chunk.len());
    let both = [length.as_bytes(), b"Transfer-Encoding: chunked\r\n"].concat();
    let lines: [(&str, Vec<u8>); 8] = [
        ("CL.TE", both.clone()),
        ("TE.CL", [b"Transfer-Encoding: chunked\r\n", length.as_bytes()].concat()),
        ("TE.TE", [&both[..], b"Transfer-Encoding: x\r\n"].concat()),
        ("TE with a tab", [length.as_bytes(), b"Transfer-Encoding:\tchunked\r\n"].concat()),
        (
            "TE in the fold",
            [length.as_bytes(), b"X: y\r\n Transfer-Encoding: chunked\r\n"].concat(),
        ),
        ("TE before a space", [length.as_bytes(), b"Transfer-Encoding : chunked\r\n"].concat()),
        ("CL.0 twice", [b"Content-Length: 0\r\n", length.as_bytes()].concat()),
        ("CL 0 and hidden", [length.as_bytes(), b"Content-Length: 0\r\n"].concat()),
    ];
    let mut cases: Vec<_> = lines
        .iter()
        .map(|(name, lines)| Case::new(name, framed(lines, &chunk), Malformed))
        .collect();
    let public = |lines: &[u8]| {
        let head = format!("POST /status/x HTTP/1.1\r\nHost: {HOST}\r\n");
        [head.as_bytes(), lines, b"\r\n", &chunk].concat()
    };
    cases.extend(
        lines
            .iter()
            .map(|(name, lines)| Case::new(&format!("public {name}"), public(lines), Malformed)),
    );
    let look_alike = [length.as_bytes(), b"Transfer_Encoding: chunked\r\n"].concat();
    cases.push(Case::new("public, a look-alike", public(&look_alike), Admitted));
    let end = framed(b"Transfer-Encoding: chunked\r\n", &[b"3\r\na=1\r\n", &chunk[..]].concat());
    cases.push(Case::new("behind the last chunk", end, Each(&[200, 200])));
    stage::play("smuggling", stage::ROUTES, &cases);
}

type Fields = &'static [(&'static str, &'static str)];

/// Upgrade fields added to the good GET.
const UPGRADES: &[(&str, Fields, Expect)] = &[
    (
        "h2c",
        &[
            ("Connection", "Upgrade, HTTP2-Settings"),
            ("Upgrade", "h2c"),
            ("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA"),
        ],
        Admitted,
    ),
    (
        "h2c, without Connection",
        &[("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA")],
        Admitted,
    ),
    (
        "h2c, settings not named",
        &[
            ("Connection", "Upgrade"),
            ("Upgrade", "h2c"),
            ("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA"),
        ],
        Admitted,
    ),
    ("h2", &[("Connection", "Upgrade"), ("Upgrade", "h2")], Admitted),
    ("HTTP/2.0", &[("Connection", "Upgrade"), ("Upgrade", "HTTP/2.0")], Admitted),
    ("TLS", &[("Connection", "Upgrade"), ("Upgrade", "TLS/1.2")], Admitted),
    ("a foreign protocol", &[("Connection", "Upgrade"), ("Upgrade", "IRC/6.9")], Admitted),
    ("connect-udp", &[("Connection", "Upgrade"), ("Upgrade", "connect-udp")], Admitted),
    ("websocket, not named", &[("Upgrade", "websocket")], Admitted),
    ("websocket, closed", &[("Connection", "close"), ("Upgrade", "websocket")], Admitted),
    ("websocket and h2c", &[("Connection", "Upgrade"), ("Upgrade", "websocket, h2c")], Admitted),
    ("h2c and websocket", &[("Connection", "Upgrade"), ("Upgrade", "h2c, websocket")], Admitted),
    (
        "websocket and h2c on two lines",
        &[("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Upgrade", "h2c")],
        Admitted,
    ),
    (
        "websocket with a version",
        &[("Connection", "Upgrade"), ("Upgrade", "websocket/13")],
        Admitted,
    ),
    ("a look-alike", &[("Connection", "Upgrade"), ("Up_grade", "websocket")], Admitted),
    ("an empty one", &[("Connection", "Upgrade"), ("Upgrade", "")], Admitted),
];

#[test]
fn upgrades_other_than_a_websocket_handshake_are_dropped() {
    let with = |message: Message, fields: &[(&str, &str)]| {
        fields.iter().fold(message, |message, (name, value)| message.field(name, value)).bytes()
    };
    let mut cases = Vec::new();
    for (name, fields, expect) in UPGRADES {
        let signed = with(Message::get("/voice").signed(), fields);
        cases.push(Case::new(name, signed, *expect));
        let unsigned = with(Message::get("/voice"), fields);
        cases.push(Case::new(&format!("{name}, unsigned"), unsigned, Refused(418)));
        let public = with(Message::get("/status/x"), fields);
        cases.push(Case::new(&format!("{name}, public"), public, *expect));
    }
    stage::play("smuggling", stage::ROUTES, &cases);
}

#[test]
fn forged_handshakes_are_refused() {
    let handshake = || Message::handshake("/voice");
    let https = Message::get("/voice").signature(crate::support::TOKEN);
    let wss = handshake().signature(crate::support::TOKEN);
    let post = replaced(&handshake().signed().bytes(), b"GET", b"POST");
    let old = replaced(&handshake().signed().bytes(), b"HTTP/1.1", b"HTTP/1.0");
    let inner = bad().bytes();
    let cases = [
        Case::new("unsigned", handshake().bytes(), Refused(418)),
        Case::new(
            "signed as https",
            handshake().field("X-Twilio-Signature", &https).bytes(),
            Refused(403),
        ),
        Case::new(
            "a GET signed as wss",
            Message::get("/voice").field("X-Twilio-Signature", &wss).bytes(),
            Refused(403),
        ),
        Case::new("forged", handshake().signed_by("other").bytes(), Refused(403)),
        Case::new(
            "for another host",
            handshake().signed().host("elsewhere.example").bytes(),
            Refused(403),
        ),
        Case::new("with a body", handshake().body(b"a=1").signed().bytes(), Refused(403)),
        Case::new(
            "with a request as its body",
            handshake().body(&inner).signed().bytes(),
            Refused(403),
        ),
        Case::new("in chunks", handshake().body(b"x").signed().chunked_bytes(1), Refused(403)),
        Case::new("a POST", post, Refused(403)),
        Case::new("over HTTP/1.0", old, Refused(403)),
    ];
    stage::play("smuggling", stage::ROUTES, &cases);
}

/// The signed text has no separator between URL and parameters, so some targets share a signature
/// (SECURITY.md, limits of the scheme).
#[test]
fn handshakes_with_an_altered_target_are_refused_unless_the_signed_text_is_equal() {
    let targets = [
        ("/sms/x", Each(&[101])),
        ("/sms/x/", Each(&[101])),
        ("/sms/x?", Each(&[101])),
        ("/sms/?x", Each(&[101])),
        ("/sms/?x=", Each(&[101])),
        ("/sms?x", Each(&[101])),
        ("/sms/?y", Refused(403)),
        ("/sms/", Refused(403)),
        ("/sms/x?y", Refused(403)),
        ("/sms/x?=y", Refused(403)),
    ];
    let cases = targets.map(|(target, expect)| {
        let sent = Message::handshake("/sms/x").signed().aimed_at(target);
        Case::new(target, sent.bytes(), expect).finished()
    });
    let routes = format!("{}[[route]]\npath = \"/sms\"\n", stage::ROUTES);
    stage::play("smuggling", &routes, &cases);
}

/// Bytes after a refused handshake are not tunnelled.
#[test]
fn bytes_after_a_refused_handshake_are_judged_as_a_request() {
    let handshake = || Message::handshake("/voice");
    let behind = |head: Vec<u8>| [head, bad().bytes()].concat();
    let cases = [
        Case::new("unsigned, a request behind it", behind(handshake().bytes()), Each(&[418, 418])),
        Case::new(
            "forged, a request behind it",
            behind(handshake().signed_by("other").bytes()),
            Each(&[403, 418]),
        ),
        Case::new(
            "unsigned, a frame behind it",
            [handshake().bytes(), b"\x82\x05hello".to_vec()].concat(),
            EachThenMalformed(&[418]),
        ),
    ];
    stage::play("smuggling", stage::ROUTES, &cases);
}

/// `Connection` drops hop-by-hop fields only, never a field that was judged.
#[test]
fn fields_named_in_connection_are_judged_and_kept() {
    let names = [
        "Host",
        "Content-Type",
        "Content-Length",
        "X-Twilio-Signature",
        "Transfer-Encoding",
        "Authorization",
        "Cookie",
        "User-Agent",
        "X-Forwarded-For",
        "close, Content-Length",
        "keep-alive, Host",
        "Connection",
        "Upgrade",
        "upgrade, X",
        ",,,",
        "a b",
        "\"Host\"",
        "X-Twilio-Signature, X-Twilio-Signature",
        "I-Twilio-Idempotency-Token",
        "TE, Trailer",
    ];
    let cases: Vec<_> = names
        .iter()
        .map(|name| {
            let line = format!("Authorization: x\r\nCookie: y\r\nConnection: {name}");
            Case::new(name, with_line(line.as_bytes()), Admitted)
        })
        .collect();
    stage::play("smuggling", stage::ROUTES, &cases);
}
