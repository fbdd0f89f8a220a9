//! Bodies that the signature does not cover, that are altered, missing or too large.

use super::{Case, Expect, Expect::*, framed, good, replaced, stage, with_line};
use crate::support::{
    HOST, TOKEN,
    message::{FORM, Message},
    signer::sha256_hex,
};

/// Content types of a body that no hash covers.
const UNBOUND: &[(&str, &str)] = &[
    ("JSON", "application/json"),
    ("JSON in capitals", "APPLICATION/JSON"),
    ("JSON with a charset", "application/json; charset=utf-8"),
    ("CloudEvents", "application/cloudevents-batch+json"),
    ("multipart", "multipart/form-data; boundary=b"),
    ("multipart without a boundary", "multipart/form-data"),
    ("text", "text/plain"),
    ("XML", "application/xml"),
    ("SOAP", "application/soap+xml"),
    ("bytes", "application/octet-stream"),
    ("nonsense", "nonsense"),
    ("empty", ""),
    ("a star", "*/*"),
    ("two types in one", "application/json, application/x-www-form-urlencoded"),
    ("a form behind a comma", "text/plain,application/x-www-form-urlencoded"),
    ("a form behind a semicolon", "text/plain; application/x-www-form-urlencoded"),
    ("a form and a comma", "application/x-www-form-urlencoded,"),
    ("a form's beginning", "application/x-www-form"),
    ("a form and more", "application/x-www-form-urlencoded2"),
    ("a form in another tree", "text/x-www-form-urlencoded"),
    ("a form, quoted", "\"application/x-www-form-urlencoded\""),
    ("utf-16", "application/x-www-form-urlencoded; charset=utf-16"),
    ("utf-7", "application/x-www-form-urlencoded; charset=utf-7"),
    ("latin-1", "application/x-www-form-urlencoded; charset=iso-8859-1"),
    ("EBCDIC", "application/x-www-form-urlencoded; charset=ibm037"),
    ("two charsets", "application/x-www-form-urlencoded; charset=utf-8; charset=utf-16"),
    (
        "two charsets, turned around",
        "application/x-www-form-urlencoded; charset=utf-16; charset=utf-8",
    ),
    ("an extended charset", "application/x-www-form-urlencoded; charset*=utf-8''utf-7"),
    ("a charset in parts", "application/x-www-form-urlencoded; charset*0=utf-; charset*1=16"),
    ("another parameter", "application/x-www-form-urlencoded; charset=utf-8; x=y"),
    ("a charset without a value", "application/x-www-form-urlencoded; charset"),
];

/// A line added to the good request.
const LINES: &[(&str, &[u8], Expect)] = &[
    ("gzip", b"Content-Encoding: gzip", Refused(403)),
    ("deflate", b"Content-Encoding: deflate", Refused(403)),
    ("br", b"Content-Encoding: br", Refused(403)),
    ("identity", b"Content-Encoding: identity", Refused(403)),
    ("an empty encoding", b"Content-Encoding:", Refused(403)),
    ("a second type", b"Content-Type: application/json", Refused(403)),
    ("a second type, the same", b"Content-Type: application/x-www-form-urlencoded", Refused(403)),
    ("a second type, empty", b"Content-Type:", Refused(403)),
    ("a look-alike of the type", b"Content_Type: application/json", Admitted),
    ("an expectation that nobody knows", b"Expect: the-unexpected", Open(&[200, 417])),
    ("an empty expectation", b"Expect:", Open(&[200, 417])),
    ("a range", b"Range: bytes=0-0", Admitted),
    ("TE: trailers", b"TE: trailers", Admitted),
];

/// A POST of this body, its URL and parameters signed.
fn signed(content_type: &str, body: &[u8]) -> Vec<u8> {
    let message = Message::post("/voice", content_type, body);
    message.signed().bytes()
}

#[test]
fn uncovered_bodies_are_refused() {
    let body = b"{\"a\":1}";
    let url_only = Message::get("/voice").signature(TOKEN);
    let with_params = Message::form("/voice", "a=1").signature(TOKEN);
    let mut cases = Vec::new();
    for (name, content_type) in UNBOUND {
        for (kind, signature, body) in
            [("signed as a URL", &url_only, &body[..]), ("signed as a form", &with_params, b"a=1")]
        {
            let message = Message::post("/voice", content_type, body);
            let sent = message.field("X-Twilio-Signature", signature).bytes();
            cases.push(Case::new(&format!("{name}, {kind}"), sent, Refused(403)));
        }
    }
    stage::play("bodies", stage::ROUTES, &cases);
}

#[test]
fn content_encodings_and_repeated_content_types_are_refused() {
    let cases: Vec<_> = LINES
        .iter()
        .map(|(name, line, expect)| Case::new(name, with_line(line), *expect))
        .collect();
    stage::play("bodies", stage::ROUTES, &cases);
}

/// Queries of a signed JSON body; `OWN` is its hash, `OTHER` that of another one.
const HASHES: &[(&str, Expect)] = &[
    ("bodySHA256=OWN", Admitted),
    ("bodySHA256=OWN&bodySHA256=OWN", Admitted),
    ("a=b&bodySHA256=OWN&c=d", Admitted),
    ("bodySHA256=OTHER", Refused(403)),
    ("bodySHA256=OWN&bodySHA256=OTHER", Refused(403)),
    ("bodySHA256=OTHER&bodySHA256=OWN", Refused(403)),
    ("bodySHA256=OWN&bodySHA256=", Refused(403)),
    ("bodySHA256=OWN&bodySHA256", Refused(403)),
    ("bodySHA256=OWN&body%53HA256=OTHER", Refused(403)),
    ("bodySHA256=", Refused(403)),
    ("bodySHA256", Refused(403)),
    ("bodySHA256=0123456789abcdef0123456789abcdef", Refused(403)),
    ("bodySHA256=OWN0", Refused(403)),
    ("bodySHA256=0OWN", Refused(403)),
    ("bodySHA256=OWNOWN", Refused(403)),
    ("bodySHA256=gggggggggggggggggggggggggggggggggggggggggggggggggggggggggggggggg", Refused(403)),
    ("bodySHA256=+OWN", Refused(403)),
    ("bodySHA256=OWN,OWN", Refused(403)),
    ("bodySHA256[]=OWN", Refused(403)),
    ("bodysha256=OWN", Refused(403)),
    ("BODYSHA256=OWN", Refused(403)),
    ("xbodySHA256=OWN", Refused(403)),
    ("a=b;bodySHA256=OWN", Refused(403)),
    ("a=b?bodySHA256=OWN", Refused(403)),
    ("bodySHA256=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", Refused(403)),
];

#[test]
fn body_hash_in_the_query_admits_only_its_own_body() {
    let body = "{\"a\":1}";
    let (own, other) = (sha256_hex(body.as_bytes()), sha256_hex(b"{}"));
    let post = |query: &str| {
        let target = format!("/voice?{query}");
        Message::post(&target, "application/json", body.as_bytes()).signed().bytes()
    };
    let mut cases: Vec<_> = HASHES
        .iter()
        .map(|(query, expect)| {
            let sent = post(&query.replace("OWN", &own).replace("OTHER", &other));
            Case::new(query, sent, *expect)
        })
        .collect();
    cases.push(Case::new(
        "in capitals",
        post(&format!("bodySHA256={}", own.to_uppercase())),
        Admitted,
    ));
    stage::play("bodies", stage::ROUTES, &cases);
}

/// A hash covers the body only in the query of the signed URL.
#[test]
fn body_hash_outside_the_query_does_not_cover_the_body() {
    let body = format!("bodySHA256={}", sha256_hex(b"x"));
    let own = sha256_hex(b"{}");
    let json = |fields: &[(&str, &str)]| {
        let message = Message::post("/voice", "application/json", b"{}").signed();
        fields.iter().fold(message, |message, (name, value)| message.field(name, value)).bytes()
    };
    let path = Message::post(&format!("/sms/bodySHA256={own}"), "application/json", b"{}");
    let cases = [
        Case::new("in a header", json(&[("bodySHA256", &own)]), Refused(403)),
        Case::new("in Digest", json(&[("Digest", &own)]), Refused(403)),
        Case::new("in the path", path.signed().bytes(), Refused(403)),
        Case::new("in the body", signed("text/plain", body.as_bytes()), Refused(403)),
        Case::new("a form's own parameter", signed(FORM, body.as_bytes()), Admitted),
    ];
    stage::play("bodies", stage::ROUTES, &cases);
}

#[test]
fn bodies_of_methods_without_a_covered_body_are_refused() {
    let form =
        |method: &str| Message::new(method, "/voice").field("Content-Type", FORM).body(b"a=1");
    let bare = |method: &str| Message::new(method, "/voice").body(b"a=1").signed().bytes();
    let hash = Message::new("GET", &format!("/voice?bodySHA256={}", sha256_hex(b"a=1")));
    let with_params = Message::form("/voice", "a=1").signature(TOKEN);
    let get_form = form("GET").field("X-Twilio-Signature", &with_params).bytes();
    let chunked = Message::get("/voice").signed().field("Transfer-Encoding", "chunked").head();
    let cases = [
        Case::new("GET, URL signed", bare("GET"), Refused(403)),
        Case::new("GET, a form", get_form, Refused(403)),
        Case::new("GET, a form, URL signed", form("GET").signed().bytes(), Refused(403)),
        Case::new("GET, its hash", hash.body(b"a=1").signed().bytes(), Refused(403)),
        Case::new("GET, in chunks", [&chunked[..], b"1\r\nx\r\n0\r\n\r\n"].concat(), Refused(403)),
        Case::new("GET, no chunks", [&chunked[..], b"0\r\n\r\n"].concat(), Admitted),
        Case::new("GET, of length 0", Message::get("/voice").body(b"").signed().bytes(), Admitted),
        Case::new("HEAD", bare("HEAD"), Refused(403)),
        Case::new("DELETE", bare("DELETE"), Refused(403)),
        Case::new("OPTIONS", bare("OPTIONS"), Refused(403)),
        Case::new("TRACE", bare("TRACE"), Refused(403)),
        Case::new("POST of nothing", Message::new("POST", "/voice").signed().bytes(), Admitted),
        Case::new(
            "POST of length 0",
            Message::new("POST", "/voice").body(b"").signed().bytes(),
            Admitted,
        ),
        Case::new("POST of no type", bare("POST"), Refused(403)),
    ];
    stage::play("bodies", stage::ROUTES, &cases);
}

/// Bodies in place of the signed `a=1`, and whether they are admitted.
const ALTERED: &[(&str, bool)] = &[
    ("a=2", false),
    ("b=1", false),
    ("A=1", false),
    ("a=1 ", false),
    (" a=1", false),
    ("a=+1", false),
    ("a=1&b=2", false),
    ("b=2&a=1", false),
    ("a=1&a=2", false),
    ("a=1&a=", false),
    ("a=%001", false),
    ("a=1%00", false),
    ("a=1\r\n", false),
    ("a=1;b=2", false),
    ("a==1", false),
    ("a=%31%20", false),
    ("a=1#", false),
    ("a", false),
    ("a%3D1", false),
    ("{\"a\":1}", false),
    ("a[]=1", false),
    ("a=11", false),
    // The same parameters in another encoding: every app decodes the same form.
    ("a=%31", true),
    ("%61=1", true),
    ("a=1&", true),
    ("&a=1", true),
    ("&&a=1&&", true),
    ("a=1&a=1", true),
    ("a=1&%61=%31", true),
    // A boundary between parameters moved: Twilio does not sign boundaries.
    ("a1", true),
    ("a1=", true),
    ("=a1", true),
    ("a=1&=", true),
];

#[test]
fn altered_bodies_are_refused_unless_they_decode_to_the_signed_text() {
    let cases: Vec<_> = ALTERED
        .iter()
        .map(|(body, seen)| {
            let length = format!("Content-Length: {}\r\n", body.len());
            let sent = framed(length.as_bytes(), body.as_bytes());
            Case::new(body, sent, if *seen { Admitted } else { Refused(403) })
        })
        .collect();
    stage::play("bodies", stage::ROUTES, &cases);
}

#[test]
fn bodies_of_another_length_than_announced_are_refused() {
    let bytes = good().bytes();
    let less = replaced(&bytes, b"Length: 3", b"Length: 2");
    let more = replaced(&bytes, b"Length: 3", b"Length: 4");
    let none = replaced(&bytes, b"\r\n\r\na=1", b"\r\n\r\n");
    let cases = [
        Case::new("a byte less", less, EachThenMalformed(&[403])),
        Case::new("a byte more", more.clone(), Malformed).finished(),
        Case::new("a byte that does not come", more, Malformed),
        Case::new("nothing comes", none, Malformed),
        Case::new("bytes behind it", [&bytes[..], b"b"].concat(), EachThenMalformed(&[200]))
            .finished(),
    ];
    stage::play("bodies", stage::ROUTES, &cases);
}

#[test]
fn form_bytes_that_are_not_utf8_are_judged_as_sent() {
    let raw: [&[u8]; 6] =
        [b"a=\xff", b"a=%FF", b"a=%EF%BF%BD", b"a=\0", b"a=%00", b"\xff\xfe=\x80"];
    let mut cases: Vec<_> = raw
        .iter()
        .map(|body| Case::new(&String::from_utf8_lossy(body), signed(FORM, body), Admitted))
        .collect();
    let replacement = Message::form("/voice", "a=%EF%BF%BD").signature(TOKEN);
    let lossy = Message::form("/voice", "a=%FF").field("X-Twilio-Signature", &replacement);
    cases.push(Case::new("signed as U+FFFD", lossy.bytes(), Refused(403)));
    for body in ["", "&", "&&&&"] {
        cases.push(Case::new(
            &format!("no parameter: {body}"),
            signed(FORM, body.as_bytes()),
            Refused(400),
        ));
    }
    for body in ["=", "=&=", "a", "%"] {
        cases.push(Case::new(
            &format!("hardly a parameter: {body}"),
            signed(FORM, body.as_bytes()),
            Admitted,
        ));
    }
    stage::play("bodies", stage::ROUTES, &cases);
}

/// `max_body_bytes` is 1000 here.
#[test]
fn bodies_over_the_limit_are_refused() {
    let of =
        |length: usize| Message::form("/voice", &format!("a={}", "x".repeat(length - 2))).signed();
    let announced = |length: &str| framed(format!("Content-Length: {length}\r\n").as_bytes(), b"");
    let chunks = |body: &[u8]| framed(b"Transfer-Encoding: chunked\r\n", body);
    let many = b"1\r\nx\r\n".repeat(1001);
    let cases = [
        Case::new("at the limit", of(1000).bytes(), Admitted),
        Case::new("at the limit, in chunks", of(1000).chunked_bytes(100), Admitted),
        Case::new("at the limit, in bytes", of(1000).chunked_bytes(1), Admitted),
        Case::new("over it", of(1001).bytes(), Refused(413)),
        Case::new("over it, in chunks", of(1001).chunked_bytes(100), Refused(413)),
        Case::new("over it, in one chunk", of(1001).chunked_bytes(2000), Refused(413)),
        Case::new("far over it", of(300_000).bytes(), Refused(413)),
        Case::new("far over it, in chunks", of(300_000).chunked_bytes(999), Refused(413)),
        Case::new("announced over it", announced("1001"), Refused(413)),
        Case::new("10 GiB announced", announced("10737418240"), Refused(413)),
        Case::new("a chunk of 10 GiB", chunks(b"280000000\r\nx"), Open(&[413])),
        Case::new("chunks without end", chunks(&many), Refused(413)),
    ];
    stage::play("bodies", stage::ROUTES, &cases);
}

/// The limit also holds on public routes; on guarded ones an unsigned body is not read.
#[test]
fn unsigned_bodies_are_refused_unread() {
    let message = |path: &str, length: usize| Message::form(path, &"x".repeat(length));
    let announced = |path: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 10737418240\r\n\r\n")
    };
    let waiting = message("/voice", 3).field("Expect", "100-continue").head();
    let cases = [
        Case::new("small", message("/voice", 3).bytes(), Refused(418)),
        Case::new("large", message("/voice", 300_000).bytes(), Refused(418)),
        Case::new("10 GiB announced", announced("/voice"), Refused(418)),
        Case::new("100-continue", waiting, Refused(418)),
        Case::new("public, small", message("/status/x", 3).bytes(), Admitted),
        Case::new("public, too large", message("/status/x", 1001).bytes(), Refused(413)),
        Case::new(
            "public, too large in chunks",
            message("/status/x", 1001).chunked_bytes(10),
            Refused(413),
        ),
        Case::new("public, 10 GiB announced", announced("/status/x"), Refused(413)),
    ];
    stage::play("bodies", stage::ROUTES, &cases);
}

/// The gate sends 100 only for a request that it is going to read.
#[test]
fn refused_requests_get_no_100_continue() {
    let waits = |message: Message| message.field("Expect", "100-continue").bytes();
    let big = Message::form("/voice", &"x".repeat(1001)).signed();
    let old = replaced(&waits(good()), b"HTTP/1.1", b"HTTP/1.0");
    let cases = [
        Case::new("unsigned", waits(Message::form("/voice", "a=1")), Refused(418)),
        Case::new(
            "a malformed signature",
            waits(Message::form("/voice", "a=1").field("X-Twilio-Signature", "x")),
            Refused(403),
        ),
        Case::new("another host", waits(good().host("elsewhere.example")), Refused(403)),
        Case::new("too large", waits(big), Refused(413)),
        Case::new("over HTTP/1.0", old, Admitted),
        Case::new("an unknown route", waits(good().aimed_at("/nowhere")), Refused(403)),
    ];
    stage::play("bodies", stage::ROUTES, &cases);
}
