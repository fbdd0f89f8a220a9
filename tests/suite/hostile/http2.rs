//! HTTP/2 requests that HTTP/1.1 cannot express, and malformed ones (RFC 9113 section 8).

use super::{
    Expect, good,
    stage::{self, MALFORMED, Stage, Transport},
};
use crate::support::{
    HOST, TOKEN,
    frames::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, Field, Frames, HEADERS, RESET, SETTINGS,
        StreamResult, block, frame,
    },
    message::Message,
};

/// A request as HTTP/2 frames carry it.
#[derive(Clone)]
struct Http2Request {
    fields: Vec<Field>,
    body: Vec<u8>,
    trailers: Vec<Field>,
}

fn field(name: &str, value: &str) -> Field {
    (name.as_bytes().to_vec(), value.as_bytes().to_vec())
}

fn http2_request(message: &Message) -> Http2Request {
    let pseudo = [
        field(":method", &message.method),
        field(":scheme", "https"),
        field(":authority", &message.host),
        field(":path", &message.target),
    ];
    let own = message.fields.iter().map(|(name, value)| field(&name.to_lowercase(), value));
    let body = message.body.clone().unwrap_or_default();
    Http2Request { fields: pseudo.into_iter().chain(own).collect(), body, trailers: Vec::new() }
}

impl Http2Request {
    fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.push(field(name, value));
        self
    }

    fn before(mut self, name: &str, value: &str) -> Self {
        self.fields.insert(0, field(name, value));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(own, _)| own != name.as_bytes());
        self
    }

    /// Replaces the value of a field; its position stays the same.
    fn instead(mut self, name: &str, value: &str) -> Self {
        let found = self.fields.iter_mut().find(|(own, _)| own == name.as_bytes());
        found.expect("what is to be replaced").1 = value.as_bytes().to_vec();
        self
    }

    fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailers.push(field(name, value));
        self
    }

    fn send(&self, frames: &mut Frames) -> u32 {
        let stream = frames.stream();
        frames.fields(stream, &self.fields, self.body.is_empty() && self.trailers.is_empty());
        frames.data(stream, &self.body, self.trailers.is_empty());
        if !self.trailers.is_empty() {
            frames.fields(stream, &self.trailers, true);
        }
        stream
    }
}

fn transports() -> [Stage; 2] {
    let clear = format!("http2_cleartext = true\n{}", stage::ROUTES);
    [Stage::open(Transport::Plain, "", &clear), Stage::open(Transport::Tls, "h2", stage::ROUTES)]
}

/// Compares the result with the expected one; returns the number of admitted requests.
fn judged(result: StreamResult, expect: Expect) -> Result<usize, String> {
    let admitted = usize::from(result == StreamResult::Status(200));
    let malformed = match result {
        StreamResult::Status(status) => MALFORMED.contains(&status),
        StreamResult::Reset(_) | StreamResult::Gone => true,
    };
    let fine = match expect {
        Admitted => result == StreamResult::Status(200),
        Refused(status) => result == StreamResult::Status(status),
        Malformed => malformed,
        Open(statuses) => {
            malformed || statuses.iter().any(|&status| result == StreamResult::Status(status))
        }
        Expect::Each(_) | Expect::EachThenMalformed(_) => false,
    };
    if fine { Ok(admitted) } else { Err(format!("{result:?} instead of {expect:?}")) }
}

/// Sends one request, then a good one: on the same connection, or on a new one if it has ended.
fn play_one(stage: &Stage, request: &Http2Request, expect: Expect) -> Result<(), String> {
    let mut frames = Frames::open(stage.connect());
    let stream = request.send(&mut frames);
    let result = frames.result_of(stream);
    let admitted =
        usize::from(result == StreamResult::Status(200)) + goes_on(stage, frames, result)?;
    stage.app_saw(admitted)?;
    judged(result, expect).map(|_| ())
}

fn goes_on(stage: &Stage, frames: Frames, result: StreamResult) -> Result<usize, String> {
    let mut frames =
        if result == StreamResult::Gone { Frames::open(stage.connect()) } else { frames };
    let stream = http2_request(&stage.next_good()).send(&mut frames);
    match frames.result_of(stream) {
        StreamResult::Status(200) => Ok(1),
        other => Err(format!("the next good request: {other:?}")),
    }
}

fn play(class: &str, cases: &[(&str, Http2Request, Expect)]) {
    let cases = stage::select(class, cases, |(name, ..)| name);
    if cases.is_empty() {
        return;
    }
    let mut wrong = Vec::new();
    for stage in transports() {
        for (name, request, expect) in &cases {
            if let Err(what) = play_one(&stage, request, *expect) {
                wrong.push(format!("{class}: {name}: {what}"));
            }
        }
    }
    println!("{class}: {} cases over HTTP/2, twice", cases.len());
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

fn call() -> Http2Request {
    http2_request(&good())
}

use Expect::{Admitted, Malformed, Open, Refused};

#[test]
fn authorities_other_than_the_listed_host_are_refused() {
    let of = |authority: &str| call().instead(":authority", authority);
    play(
        "authorities",
        &[
            ("as it should be", call(), Admitted),
            ("the same host", call().with("host", HOST), Admitted),
            ("a host alone", call().without(":authority").with("host", HOST), Admitted),
            ("another host", call().with("host", "elsewhere.example"), Malformed),
            ("another authority", of("elsewhere.example").with("host", HOST), Malformed),
            ("a host with a port", call().with("host", "hooks.example.com:443"), Malformed),
            ("an empty host", call().with("host", ""), Malformed),
            ("neither", call().without(":authority"), Malformed),
            ("the look-alike alone", call().without(":authority").with("host_", HOST), Malformed),
            ("two hosts", call().with("host", HOST).with("host", HOST), Malformed),
            (
                "two hosts alone",
                call().without(":authority").with("host", HOST).with("host", HOST),
                Malformed,
            ),
            ("two authorities", call().before(":authority", HOST), Malformed),
            ("an empty one", of(""), Open(&[403])),
            ("another", of("elsewhere.example"), Refused(403)),
            ("capitals", of("HOOKS.example.com"), Admitted),
            ("a port", of("hooks.example.com:443"), Admitted),
            ("another port", of("hooks.example.com:8443"), Refused(403)),
            ("a port that is none", of("hooks.example.com:x"), Open(&[403])),
            ("a user", of("user@hooks.example.com"), Open(&[403])),
            ("ours as a user", of("hooks.example.com@elsewhere.example"), Open(&[403])),
            ("a path", of("hooks.example.com/voice"), Open(&[403])),
            ("a fragment", of("hooks.example.com#"), Open(&[403])),
            ("a space", of("hooks.example.com elsewhere.example"), Open(&[403])),
            ("a CRLF", of("hooks.example.com\r\nX: y"), Open(&[403])),
            ("a NUL", of("hooks.example.com\0"), Open(&[403])),
            (
                "unsigned, another",
                of("elsewhere.example").without("x-twilio-signature"),
                Refused(418),
            ),
        ],
    );
}

#[test]
fn targets_other_than_a_path_are_refused() {
    let of = |path: &str| call().instead(":path", path);
    let signed = |target: &str| http2_request(&Message::form(target, "a=1").signed());
    play(
        "targets",
        &[
            ("a query", signed("/voice?a=b%20c&d"), Admitted),
            ("absolute", of("https://hooks.example.com/voice"), Malformed),
            ("absolute and signed", signed("https://hooks.example.com/voice"), Malformed),
            ("an asterisk", of("*").instead(":method", "OPTIONS"), Malformed),
            ("empty", of(""), Malformed),
            ("none", call().without(":path"), Malformed),
            ("two", call().before(":path", "/status/x"), Malformed),
            ("no slash", of("voice"), Malformed),
            ("a query alone", of("?a=b"), Malformed),
            ("a fragment", of("/voice#x"), Open(&[200, 403])),
            ("a fragment that hides a query", of("/voice#?a=b"), Open(&[200, 403])),
            ("a space", of("/voice x"), Open(&[403])),
            ("a CRLF", of("/voice\r\nX: y"), Malformed),
            ("HTTP/1.1 within", of("/voice HTTP/1.1\r\nHost: x\r\n\r\n"), Malformed),
            ("a NUL", of("/voice\0"), Open(&[403])),
            ("two slashes", of("//voice"), Refused(403)),
            ("an authority within", of("//elsewhere.example/voice"), Refused(403)),
            ("dots out of a public route", of("/status/../voice"), Refused(403)),
            ("escaped dots", of("/status/%2e%2e/voice"), Refused(403)),
            ("an escaped slash", of("/status/..%2fvoice"), Refused(403)),
            ("another", of("/voice?x"), Refused(403)),
            ("an unknown one", of("/nowhere"), Refused(403)),
        ],
    );
}

#[test]
fn unknown_methods_are_refused_and_the_scheme_is_ignored() {
    let by = |method: &str| call().instead(":method", method);
    let connect = call().instead(":method", "CONNECT").without(":path").without(":scheme");
    play(
        "methods and schemes",
        &[
            ("CONNECT", connect, Malformed),
            ("CONNECT with a path", by("CONNECT"), Malformed),
            ("CONNECT for WebSockets", by("CONNECT").before(":protocol", "websocket"), Malformed),
            ("a lower-case method", by("post"), Refused(403)),
            ("an unknown method", by("BREW"), Refused(403)),
            ("a method with a space", by("POST /x"), Malformed),
            ("a method with a CRLF", by("POST\r\n"), Malformed),
            ("an empty method", by(""), Malformed),
            ("no method", call().without(":method"), Malformed),
            ("two methods", call().before(":method", "GET"), Malformed),
            ("no scheme", call().without(":scheme"), Malformed),
            ("two schemes", call().before(":scheme", "http"), Malformed),
            ("the scheme http", call().instead(":scheme", "http"), Open(&[200])),
            ("the scheme ftp", call().instead(":scheme", "ftp"), Open(&[200])),
            ("an empty scheme", call().instead(":scheme", ""), Open(&[200])),
        ],
    );
}

#[test]
fn connection_specific_fields_are_refused() {
    let with = |name: &str, value: &str| call().with(name, value);
    play(
        "fields of a connection",
        &[
            ("connection", with("connection", "close"), Malformed),
            ("connection that names ours", with("connection", "x-twilio-signature"), Malformed),
            ("keep-alive", with("keep-alive", "timeout=5"), Malformed),
            ("proxy-connection", with("proxy-connection", "keep-alive"), Malformed),
            ("transfer-encoding", with("transfer-encoding", "chunked"), Malformed),
            ("upgrade", with("upgrade", "websocket"), Malformed),
            (
                "upgrade to h2c",
                with("upgrade", "h2c").with("http2-settings", "AAMAAABk"),
                Malformed,
            ),
            ("te: gzip", with("te", "gzip"), Malformed),
            ("te: trailers", with("te", "trailers"), Admitted),
            ("http2-settings", with("http2-settings", "AAMAAABk"), Admitted),
            ("proxy-authorization", with("proxy-authorization", "Basic eDp5"), Admitted),
            ("expect", with("expect", "100-continue"), Admitted),
        ],
    );
}

#[test]
fn malformed_fields_are_refused() {
    let with = |name: &str, value: &str| call().with(name, value);
    let only = |name: &str| {
        let signature = good().signature(TOKEN);
        call().without("x-twilio-signature").with(name, &signature)
    };
    play(
        "fields that are none",
        &[
            ("a capital letter", with("X-Twilio", "x"), Malformed),
            ("our name in capitals", only("X-Twilio-Signature"), Malformed),
            ("a space in a name", with("x y", "z"), Malformed),
            ("a colon in a name", with("x:y", "z"), Malformed),
            ("a CRLF in a name", with("x\r\ny", "z"), Malformed),
            ("an empty name", with("", "z"), Malformed),
            ("a CRLF in a value", with("x", "y\r\nx-twilio-signature: z"), Malformed),
            ("a line feed in a value", with("x", "y\nz"), Malformed),
            ("a NUL in a value", with("x", "y\0"), Malformed),
            ("a pseudo-field behind a field", with(":path", "/status/x"), Malformed),
            ("an unknown pseudo-field", call().before(":route", "/voice"), Malformed),
            ("a pseudo-field of answers", call().before(":status", "200"), Malformed),
            ("a look-alike besides", with("x_twilio_signature", "x"), Admitted),
            ("the look-alike alone", only("x_twilio_signature"), Refused(418)),
            (
                "other look-alikes",
                with("content_length", "9").with("transfer_encoding", "chunked"),
                Admitted,
            ),
            ("two signatures", with("x-twilio-signature", "x"), Refused(403)),
            ("forwarded", with("x-forwarded-host", "elsewhere.example"), Admitted),
        ],
    );
}

#[test]
fn http2_bodies_are_judged_like_http1_bodies() {
    let long =
        |length: usize| http2_request(&Message::form("/voice", &"x".repeat(length)).signed());
    let unsigned = http2_request(&Message::form("/voice", "a=1"));
    let json = Message::json("/voice", "{}");
    let unbound = Message::post("/voice", "application/json", b"{}").signed();
    let altered = Http2Request { body: b"a=2".to_vec(), ..call() };
    let none = Http2Request { body: Vec::new(), ..call() };
    let public = http2_request(&Message::form("/status/x", "a=1"));
    play(
        "bodies",
        &[
            ("unsigned", unsigned, Refused(418)),
            (
                "signed by another",
                http2_request(&Message::form("/voice", "a=1").signed_by("other")),
                Refused(403),
            ),
            ("altered", altered, Refused(403)),
            ("left out", none, Refused(400)),
            ("at the limit", long(1000), Admitted),
            ("over it", long(1001), Refused(413)),
            ("far over it", long(60_000), Refused(413)),
            ("JSON", http2_request(&json.clone().signed()), Admitted),
            ("JSON of another hash", http2_request(&json.body(b"[]").signed()), Refused(403)),
            ("JSON without a hash", http2_request(&unbound), Refused(403)),
            ("public", public, Admitted),
        ],
    );
}

#[test]
fn http2_content_length_must_match_the_body_and_trailers_are_dropped() {
    let length = |value: &str| call().with("content-length", value);
    let none = Http2Request { body: Vec::new(), ..call() };
    let unsigned = http2_request(&Message::form("/voice", "a=1"));
    let signature = good().signature(TOKEN);
    play(
        "lengths and trailers",
        &[
            ("its length", length("3"), Admitted),
            ("a length too short", length("2"), Malformed),
            ("a length too long", length("4"), Malformed),
            ("a length of 0", length("0"), Malformed),
            ("a length without a body", none.with("content-length", "3"), Malformed),
            ("two lengths", length("3").with("content-length", "4"), Malformed),
            ("a length that is none", length("x"), Malformed),
            ("a length with a sign", length("+3"), Malformed),
            ("a length of 2^64 and 3", length("18446744073709551619"), Malformed),
            ("a list of lengths", length("3, 3"), Malformed),
            ("10 GiB announced", length("10737418240"), Malformed),
            ("trailers", call().trailer("x-a", "b"), Admitted),
            (
                "a signature in a trailer",
                unsigned.trailer("x-twilio-signature", &signature),
                Refused(418),
            ),
            ("a length in a trailer", call().trailer("content-length", "9"), Open(&[200])),
            ("a pseudo-field in a trailer", call().trailer(":path", "/status/x"), Open(&[200])),
            ("a CRLF in a trailer", call().trailer("x", "y\r\nz"), Malformed),
        ],
    );
}

/// Frames that no client sends end the connection or the stream.
#[test]
fn unexpected_frames_end_the_connection() {
    let request = block(&call().fields);
    let whole = END_HEADERS | END_STREAM;
    let cases: [(&str, Vec<u8>); 20] = [
        ("data without a stream", frame(DATA, END_STREAM, 0, b"a=1")),
        ("data of a stream that is not", frame(DATA, END_STREAM, 1, b"a=1")),
        ("data of an even stream", frame(DATA, END_STREAM, 2, b"a=1")),
        ("fields without a stream", frame(HEADERS, whole, 0, &request)),
        ("fields of an even stream", frame(HEADERS, whole, 2, &request)),
        ("fields that go on without a beginning", frame(CONTINUATION, END_HEADERS, 1, &request)),
        ("no fields at all", frame(HEADERS, whole, 1, b"")),
        ("padding longer than the frame", frame(HEADERS, whole | 8, 1, b"\xffabc")),
        ("a field of index 0", frame(HEADERS, whole, 1, b"\x80")),
        ("a field of an index that is not", frame(HEADERS, whole, 1, b"\xff\xff\xff\x7f")),
        ("a field without an end", frame(HEADERS, whole, 1, b"\x00\x7f\xff\xff\xff\xff\xff\xff")),
        ("bad Huffman", frame(HEADERS, whole, 1, b"\x00\x84\xff\xff\xff\xff\x00")),
        ("a table as large as can be", frame(HEADERS, whole, 1, b"\x3f\xff\xff\xff\xff\x0f")),
        ("a reset of a stream that is not", frame(RESET, 0, 1, &[0; 4])),
        ("settings of half a line", frame(SETTINGS, 0, 0, b"abc")),
        ("settings of a stream", frame(SETTINGS, 0, 1, b"")),
        ("a promise", frame(5, END_HEADERS, 1, &[0, 0, 0, 2])),
        ("a ping of a stream", frame(6, 0, 1, &[0; 8])),
        ("a window of no bytes", frame(8, 0, 0, &[0; 4])),
        ("a frame of 16 MB", [&[0xff, 0xff, 0xff, HEADERS, 0, 0, 0, 0, 1][..], &[0; 64]].concat()),
    ];
    let cases = stage::select("frames out of place", &cases, |(name, _)| name);
    if cases.is_empty() {
        return;
    }
    for stage in transports() {
        for (name, bytes) in &cases {
            let mut frames = Frames::open(stage.connect());
            frames.bytes(bytes);
            let result = frames.result_of(1);
            let is_ended = matches!(result, StreamResult::Gone | StreamResult::Reset(_));
            assert!(is_ended, "{name}: {result:?}");
            let more = goes_on(&stage, Frames::open(stage.connect()), result).unwrap();
            stage.app_saw(more).unwrap_or_else(|what| panic!("{name}: {what}"));
        }
    }
}

/// The header block of one request is interrupted by that of another (RFC 9113 section 4.3).
#[test]
fn interleaved_header_blocks_end_the_connection() {
    for stage in transports() {
        let mut frames = Frames::open(stage.connect());
        let (one, other) = (frames.stream(), frames.stream());
        frames.send(HEADERS, 0, one, &block(&call().fields[..4]));
        frames.send(HEADERS, END_HEADERS, other, &block(&call().fields));
        assert_eq!(frames.result_of(one), StreamResult::Gone);
        stage.app_saw(0).unwrap();
    }
}

#[test]
fn split_cookie_is_joined() {
    for stage in transports() {
        let crumbs = call().with("cookie", "a=1").with("cookie", "b=2");
        let mut frames = Frames::open(stage.connect());
        let stream = crumbs.send(&mut frames);
        assert_eq!(frames.result_of(stream), StreamResult::Status(200));
        assert_eq!(stage.upstream.only().values("Cookie"), ["a=1; b=2"]);
    }
}

/// One of 100 concurrent streams is forged.
#[test]
fn forged_stream_among_signed_ones_is_refused() {
    for stage in transports() {
        let mut frames = Frames::open(stage.connect());
        let sent: Vec<_> = (0..15)
            .map(|at| {
                let message = stage.next_good();
                let forged = at == 7;
                let message = if forged { message.aimed_at("/voice?forged") } else { message };
                (http2_request(&message).send(&mut frames), if forged { 403 } else { 200 })
            })
            .collect();
        for (stream, status) in sent {
            assert_eq!(frames.result_of(stream), StreamResult::Status(status));
        }
        stage.app_saw(14).unwrap();
    }
}

/// Streams are reset as soon as they are open (CVE-2023-44487).
#[test]
fn rapid_reset_ends_the_connection() {
    for stage in transports() {
        let mut frames = Frames::open(stage.connect());
        for _ in 0..3000 {
            let stream = frames.stream();
            frames.fields(stream, &call().fields, false);
            frames.send(RESET, 0, stream, &[0, 0, 0, 8]);
        }
        let stream = http2_request(&stage.next_good()).send(&mut frames);
        assert_eq!(frames.result_of(stream), StreamResult::Gone);
        let more = goes_on(&stage, Frames::open(stage.connect()), StreamResult::Gone).unwrap();
        stage.app_saw(more).unwrap();
    }
}

/// `body_timeout` holds for each stream; other streams are not delayed.
#[test]
fn unfinished_stream_is_refused_after_body_timeout() {
    for stage in transports() {
        let mut frames = Frames::open(stage.connect());
        let stream = frames.stream();
        frames.fields(stream, &call().fields, false);
        frames.data(stream, b"a=", false);
        let other = http2_request(&stage.next_good()).send(&mut frames);
        assert_eq!(frames.result_of(other), StreamResult::Status(200));
        assert_eq!(frames.result_of(stream), StreamResult::Status(408));
        assert_eq!(goes_on(&stage, frames, StreamResult::Status(408)).unwrap(), 1);
        stage.app_saw(2).unwrap();
    }
}

/// The client opens no flow-control window for the response.
#[test]
fn http2_client_that_never_reads_is_closed() {
    let limits = "response_timeout = \"1s\"\nresponse_idle_timeout = \"1s\"\n[[route]]";
    let config = stage::ROUTES.replacen("[[route]]", limits, 1);
    let clear = format!("http2_cleartext = true\n{config}");
    for stage in
        [Stage::open(Transport::Plain, "", &clear), Stage::open(Transport::Tls, "h2", &config)]
    {
        let mut frames = Frames::open(stage.connect());
        frames.send(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]); // SETTINGS_INITIAL_WINDOW_SIZE
        let stream = http2_request(&stage.next_good()).send(&mut frames);
        assert_eq!(frames.result_of(stream), StreamResult::Reset(8));
        let more = goes_on(&stage, Frames::open(stage.connect()), StreamResult::Gone).unwrap();
        stage.app_saw(1 + more).unwrap();
    }
}

#[test]
fn large_http2_heads_are_refused() {
    let value = |length: usize| call().with("x-a", &"x".repeat(length));
    let many =
        |count: usize| (0..count).fold(call(), |call, at| call.with(&format!("x-{at}"), "y"));
    play(
        "large heads",
        &[
            ("a value of 8 KB", value(8_000), Admitted),
            ("a value of 20 KB", value(20_000), Admitted),
            ("a value of 40 KB", value(40_000), Malformed),
            ("a value of 150 KB", value(150_000), Malformed),
            ("a value of 1 MB", value(1_000_000), Malformed),
            ("90 fields", many(90), Admitted),
            ("1000 fields", many(1000), Malformed),
            ("20,000 fields", many(20_000), Malformed),
        ],
    );
}

/// CONTINUATION frames without END_HEADERS (CVE-2024-27983 and related).
#[test]
fn endless_continuation_frames_end_the_connection() {
    for stage in transports() {
        let mut frames = Frames::open(stage.connect());
        let stream = frames.stream();
        frames.send(HEADERS, END_STREAM, stream, &block(&call().fields));
        for _ in 0..5000 {
            frames.send(CONTINUATION, 0, stream, b"");
            frames.send(CONTINUATION, 0, stream, &block(&[field("x", "y")]));
        }
        assert_eq!(frames.result_of(stream), StreamResult::Gone);
        stage.app_saw(0).unwrap();
    }
}
