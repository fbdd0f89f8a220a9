//! Missing, malformed and wrong signatures.

use super::{Case, Expect, Expect::*, framed, good, replaced, stage, with_line};
use crate::support::{
    HOST, ORIGIN, TOKEN,
    message::{FORM, Message},
    signer::{self, Mac},
};

/// A MAC of zero bytes in base64.
const ZEROS: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// Lines added to an unsigned request; `GOOD` stands for the valid signature.
const UNSIGNED: &[(&str, &str, Expect)] = &[
    ("none", "X: y", Refused(418)),
    ("a look-alike", "X_Twilio_Signature: GOOD", Refused(418)),
    ("a look-alike with a dash", "X-Twilio_Signature: GOOD", Refused(418)),
    ("a prefix", "X-Twilio-Signature-Key-Sid: GOOD", Refused(418)),
    ("something behind the name", "X-Twilio-Signature-: GOOD", Refused(418)),
    ("something before the name", "XX-Twilio-Signature: GOOD", Refused(418)),
    ("another product's", "X-Twilio-Email-Event-Webhook-Signature: GOOD", Refused(418)),
    ("Authy's", "X-Authy-Signature: GOOD", Refused(418)),
    ("a hop-by-hop one", "Proxy-Authorization: X-Twilio-Signature GOOD", Refused(418)),
    ("in Authorization", "Authorization: X-Twilio-Signature GOOD", Refused(418)),
    ("in a cookie", "Cookie: X-Twilio-Signature=GOOD", Refused(418)),
    ("promised as a trailer", "Trailer: X-Twilio-Signature", Refused(418)),
    ("named by Connection", "Connection: X-Twilio-Signature", Refused(418)),
    ("in another value", "X-A: b, X-Twilio-Signature: GOOD", Refused(418)),
    ("behind a bare CR", "X-A: b\rX-Twilio-Signature: GOOD", Malformed),
    ("behind a bare LF", "X-A: b\nX-Twilio-Signature: GOOD", Malformed),
    ("a space before the colon", "X-Twilio-Signature : GOOD", Malformed),
    ("a folded line", "X-A: b\r\n X-Twilio-Signature: GOOD", Malformed),
    ("folded itself", "X-Twilio-Signature:\r\n GOOD", Malformed),
    ("the good one", "X-Twilio-Signature: GOOD", Admitted),
    ("another spelling of the name", "x-TWILIO-sIgNaTuRe: GOOD", Admitted),
    ("spaces around it", "X-Twilio-Signature: \t GOOD \t", Admitted),
    ("no space before it", "X-Twilio-Signature:GOOD", Admitted),
    ("a look-alike beside it", "X-Twilio-Signature: GOOD\r\nX_Twilio_Signature: x", Admitted),
    ("a look-alike before it", "X_Twilio-Signature: x\r\nX-Twilio-Signature: GOOD", Admitted),
    (
        "named by Connection, too",
        "X-Twilio-Signature: GOOD\r\nConnection: X-Twilio-Signature",
        Admitted,
    ),
    (
        "everything named by Connection",
        "X-Twilio-Signature: GOOD\r\nConnection: Host, Content-Type, Content-Length, X-Twilio-Signature",
        Admitted,
    ),
    ("empty", "X-Twilio-Signature:", Refused(403)),
    ("a space", "X-Twilio-Signature: ", Refused(403)),
    ("twice", "X-Twilio-Signature: GOOD\r\nX-Twilio-Signature: GOOD", Refused(403)),
    (
        "twice, in two spellings",
        "X-Twilio-Signature: GOOD\r\nx-twilio-signature: GOOD",
        Refused(403),
    ),
    ("good and empty", "X-Twilio-Signature: GOOD\r\nX-Twilio-Signature:", Refused(403)),
    ("empty and good", "X-Twilio-Signature:\r\nX-Twilio-Signature: GOOD", Refused(403)),
    (
        "good and zeros",
        "X-Twilio-Signature: GOOD\r\nX-Twilio-Signature: AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        Refused(403),
    ),
    (
        "zeros and good",
        "X-Twilio-Signature: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\nX-Twilio-Signature: GOOD",
        Refused(403),
    ),
    ("a list", "X-Twilio-Signature: GOOD, GOOD", Refused(403)),
    ("a list of good and nothing", "X-Twilio-Signature: GOOD,", Refused(403)),
    ("a list of nothing and good", "X-Twilio-Signature: ,GOOD", Refused(403)),
    ("quoted", "X-Twilio-Signature: \"GOOD\"", Refused(403)),
    ("in angle brackets", "X-Twilio-Signature: <GOOD>", Refused(403)),
    ("with its algorithm", "X-Twilio-Signature: sha1=GOOD", Refused(403)),
    ("with a parameter", "X-Twilio-Signature: GOOD;v=1", Refused(403)),
    ("a dot behind it", "X-Twilio-Signature: GOOD.", Refused(403)),
    ("twice in a row", "X-Twilio-Signature: GOODGOOD", Refused(403)),
    ("more padding", "X-Twilio-Signature: GOOD=", Refused(403)),
    ("zeros", "X-Twilio-Signature: AAAAAAAAAAAAAAAAAAAAAAAAAAA=", Refused(403)),
    ("one letter", "X-Twilio-Signature: A", Refused(403)),
    ("null", "X-Twilio-Signature: null", Refused(403)),
    ("true", "X-Twilio-Signature: true", Refused(403)),
    ("8-bit", "X-Twilio-Signature: GOODé", Refused(403)),
    ("a no-break space behind it", "X-Twilio-Signature: GOOD\u{a0}", Refused(403)),
    (
        "a SharedKey that is not ours",
        "X-Twilio-Signature: GOOD\r\nX-Twilio-Webhooks-Signature-Settings: key=k,algorithm=HMAC_SHA1",
        Refused(403),
    ),
    (
        "a SharedKey without a name",
        "X-Twilio-Signature: GOOD\r\nX-Twilio-Webhooks-Signature-Settings: key=,algorithm=HMAC_SHA1",
        Refused(403),
    ),
    (
        "empty settings",
        "X-Twilio-Signature: GOOD\r\nX-Twilio-Webhooks-Signature-Settings:",
        Refused(403),
    ),
    (
        "settings without a key",
        "X-Twilio-Signature: GOOD\r\nX-Twilio-Webhooks-Signature-Settings: algorithm=NONE",
        Refused(403),
    ),
    (
        "a key sid that is not ours",
        "X-Twilio-Signature: GOOD\r\nX-Twilio-Signature-Key-Sid: k",
        Refused(403),
    ),
    ("an empty key sid", "X-Twilio-Signature: GOOD\r\nX-Twilio-Signature-Key-Sid:", Refused(403)),
    (
        "two key sids",
        "X-Twilio-Signature: GOOD\r\nX-Twilio-Signature-Key-Sid: k\r\nX-Twilio-Signature-Key-Sid: l",
        Refused(403),
    ),
];

/// The unsigned request with these lines added.
fn with_lines(lines: &str) -> Vec<u8> {
    let fields =
        format!("Host: {HOST}\r\nContent-Type: {FORM}\r\n{lines}\r\nContent-Length: 3\r\n\r\na=1");
    [b"POST /voice HTTP/1.1\r\n", fields.as_bytes()].concat()
}

fn presented(value: &str) -> Vec<u8> {
    with_lines(&format!("X-Twilio-Signature: {value}"))
}

fn good_signature() -> String {
    Message::form("/voice", "a=1").signature(TOKEN)
}

#[test]
fn missing_or_malformed_signatures_are_refused() {
    let good = good_signature();
    let cases: Vec<_> = UNSIGNED
        .iter()
        .map(|(name, lines, expect)| {
            Case::new(name, with_lines(&lines.replace("GOOD", &good)), *expect)
        })
        .collect();
    stage::play("signature", stage::ROUTES, &cases);
}

/// Twilio's libraries compare strings, so each MAC has one valid encoding.
#[test]
fn non_canonical_base64_signatures_are_refused() {
    let good = good_signature();
    let bare = good.trim_end_matches('=');
    let swapped = |from: char, to: char| good.replace(from, &to.to_string());
    let mut texts = vec![
        ("unpadded", bare.to_owned()),
        ("padded twice", format!("{bare}==")),
        ("padded with a dot", format!("{bare}.")),
        ("padding in front", format!("={bare}")),
        ("escaped padding", format!("{bare}%3D")),
        ("lower case", good.to_lowercase()),
        ("upper case", good.to_uppercase()),
        ("a letter less", good[1..].to_owned()),
        ("a letter more", format!("A{good}")),
        ("a quantum less", good[4..].to_owned()),
        ("a quantum more", format!("AAAA{good}")),
        ("a space within", format!("{} {}", &good[..9], &good[9..])),
        ("a tab within", format!("{}\t{}", &good[..9], &good[9..])),
        ("a line break within, escaped", format!("{}%0A{}", &good[..9], &good[9..])),
        ("the other alphabet", format!("{}-_", &good[..26])),
        ("a star", format!("{}*=", &good[..26])),
        ("reversed", good.chars().rev().collect()),
        (
            "hexadecimal",
            signer::bytes_of_base64(&good).iter().map(|b| format!("{b:02x}")).collect(),
        ),
        ("base64 of hexadecimal", "N".repeat(56)),
    ];
    texts.extend([("url-safe +", swapped('+', '-')), ("url-safe /", swapped('/', '_'))]);
    texts.retain(|(_, text)| *text != good);
    let mut cases: Vec<_> =
        texts.iter().map(|(name, text)| Case::new(name, presented(text), Refused(403))).collect();
    // The last character carries four bits; its other two must be zero (RFC 4648 section 3.5).
    let last = good.chars().nth(26).unwrap();
    for other in ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['+', '/']) {
        if other != last {
            let text = format!("{}{other}=", &good[..26]);
            cases.push(Case::new(&format!("ends in {other}"), presented(&text), Refused(403)));
        }
    }
    stage::play("signature", stage::ROUTES, &cases);
}

#[test]
fn signature_with_one_changed_character_is_refused() {
    let good = good_signature();
    let cases: Vec<_> = (0..27)
        .map(|at| {
            let other = if good.as_bytes()[at] == b'A' { "E" } else { "A" };
            let text = format!("{}{other}{}", &good[..at], &good[at + 1..]);
            Case::new(&format!("letter {at}"), presented(&text), Refused(403))
        })
        .collect();
    stage::play("signature", stage::ROUTES, &cases);
}

/// URLs other than that of the good request, `https://hooks.example.com/voice`.
const OTHER_URLS: &[&str] = &[
    "",
    "/voice",
    "http://hooks.example.com/voice",
    "wss://hooks.example.com/voice",
    "HTTPS://hooks.example.com/voice",
    "hooks.example.com/voice",
    "https://elsewhere.example/voice",
    "https://HOOKS.EXAMPLE.COM/voice",
    "https://hooks.example.com:8443/voice",
    "https://hooks.example.com:80/voice",
    "https://user@hooks.example.com/voice",
    "https://hooks.example.com./voice",
    "https://hooks.example.com/voice/",
    "https://hooks.example.com//voice",
    "https://hooks.example.com/Voice",
    "https://hooks.example.com/",
    "https://hooks.example.com",
    "https://hooks.example.com/voice?x=y",
    "https://hooks.example.com/voice?",
    "https://hooks.example.com/voice#x",
    "https://hooks.example.com/%76oice",
    "https://hooks.example.com/voice\n",
    "https://hooks.example.com/sms/in",
];

/// Valid signatures of other URLs.
#[test]
fn signatures_for_other_urls_are_refused() {
    let pairs = [(b"a".to_vec(), b"1".to_vec())];
    let cases: Vec<_> = OTHER_URLS
        .iter()
        .map(|url| {
            let signature = signer::sign(Mac::Sha1, TOKEN, url.as_bytes(), &pairs);
            Case::new(url, presented(&signature), Refused(403))
        })
        .collect();
    stage::play("signature", stage::ROUTES, &cases);
}

#[test]
fn signatures_over_other_data_are_refused() {
    let voice = format!("{ORIGIN}/voice");
    let by = |token: &str| signer::sign_text(Mac::Sha1, token, format!("{voice}a1").as_bytes());
    let of = |text: &str| signer::sign_text(Mac::Sha1, TOKEN, text.as_bytes());
    let signatures = [
        ("another token", by("00000000000000000000000000000000")),
        ("the token in capitals", by(&TOKEN.to_uppercase())),
        ("the token and a line break", by(&format!("{TOKEN}\n"))),
        ("the token and a space", by(&format!("{TOKEN} "))),
        ("half of the token", by(&TOKEN[..16])),
        ("no token", by("")),
        ("the other algorithm", signer::sign_text(Mac::Sha256, TOKEN, voice.as_bytes())),
        ("no parameters", of(&voice)),
        ("nothing", of("")),
        ("parameters alone", of("a1")),
        ("the raw body", of(&format!("{voice}a=1"))),
        ("the raw body alone", of("a=1")),
        ("the raw body as a query", of(&format!("{voice}?a=1"))),
    ];
    assert_ne!(by(TOKEN), signatures[0].1);
    let cases: Vec<_> = signatures
        .iter()
        .map(|(name, signature)| Case::new(name, presented(signature), Refused(403)))
        .collect();
    stage::play("signature", stage::ROUTES, &cases);
}

/// Twilio's products sign a URL with or without the default port; both are accepted.
#[test]
fn signature_with_default_https_port_is_admitted() {
    let pairs = [(b"a".to_vec(), b"1".to_vec())];
    let url = format!("{ORIGIN}:443/voice");
    let signature = signer::sign(Mac::Sha1, TOKEN, url.as_bytes(), &pairs);
    stage::play(
        "signature",
        stage::ROUTES,
        &[Case::new("with :443", presented(&signature), Admitted)],
    );
}

#[test]
fn signature_in_a_trailer_is_ignored() {
    let late = |lines: &str, trailer: &str| {
        let head =
            format!("POST /voice HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: {FORM}\r\n{lines}");
        let body = format!("Transfer-Encoding: chunked\r\n\r\n3\r\na=1\r\n0\r\n{trailer}\r\n\r\n");
        [head, body].concat()
    };
    let good = format!("X-Twilio-Signature: {}", good_signature());
    let zeros = format!("X-Twilio-Signature: {ZEROS}");
    let cases = [
        Case::new("only there", late("", &good), Refused(418)),
        Case::new("promised", late("Trailer: X-Twilio-Signature\r\n", &good), Refused(418)),
        Case::new("in place of zeros", late(&format!("{zeros}\r\n"), &good), Refused(403)),
        Case::new("a good one in the head", late(&format!("{good}\r\n"), &zeros), Admitted),
    ];
    stage::play("signature", stage::ROUTES, &cases);
}

/// Fields that some servers use instead of the request line.
#[test]
fn override_headers_are_ignored() {
    let lines: [&[u8]; 6] = [
        b"X-HTTP-Method-Override: DELETE",
        b"X-Original-URL: /sms/in",
        b"X-Rewrite-URL: /sms/in",
        b"X-Forwarded-Prefix: /sms",
        b"X-Forwarded-Proto: http",
        b"Forwarded: for=127.0.0.1;proto=http;host=elsewhere.example",
    ];
    let named = |line: &[u8]| String::from_utf8_lossy(line).into_owned();
    let admitted = lines.iter().map(|line| Case::new(&named(line), with_line(line), Admitted));
    let unsigned = lines.iter().map(|line| {
        Case::new(&format!("unsigned, {}", named(line)), with_lines(&named(line)), Refused(418))
    });
    let cases: Vec<_> = admitted.chain(unsigned).collect();
    stage::play("signature", stage::ROUTES, &cases);
}

/// The signature is sent with other requests whose signed text is similar or equal.
#[test]
fn signature_reused_for_another_request_is_refused() {
    let signature = good_signature();
    let get =
        format!("GET /voicea1 HTTP/1.1\r\nHost: {HOST}\r\nX-Twilio-Signature: {signature}\r\n\r\n");
    let json = framed(b"Content-Length: 3\r\n", b"a=1");
    let json = replaced(&json, FORM.as_bytes(), b"application/json");
    let moved = replaced(&good().bytes(), b"POST /voice ", b"POST /voicea1 ");
    let cases = [
        Case::new("parameters as path", get, Refused(403)),
        Case::new("another content type", json, Refused(403)),
        Case::new("parameters twice", moved, Refused(403)),
        Case::new(
            "a repeated parameter",
            replaced(&replaced(&good().bytes(), b"a=1", b"a=1&a=1"), b"Length: 3", b"Length: 7"),
            Admitted,
        ),
    ];
    stage::play("signature", stage::ROUTES, &cases);
}
