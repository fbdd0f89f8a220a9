//! Heads and chunk lines over their limits, and requests that are expensive to judge.

use std::{io::Write, net::TcpStream, time::Duration};

use super::{Case, Expect, Expect::*, framed, good, replaced, stage, with_line};
use crate::support::{gate::Gate, message::Message, upstream::Upstream};

const TOO_LARGE: Expect = Malformed;

/// `count` fields with values of `size` bytes.
fn fields(count: usize, size: usize) -> Vec<u8> {
    (0..count).flat_map(|at| format!("X-{at}: {}\r\n", "x".repeat(size)).into_bytes()).collect()
}

fn with_fields(count: usize, size: usize) -> Vec<u8> {
    framed(&[fields(count, size), b"Content-Length: 3\r\n".to_vec()].concat(), b"a=1")
}

/// The good request has four fields; `max_headers` is 100.
#[test]
fn too_many_headers_are_refused() {
    let same = |count: usize| {
        framed(&[b"X: y\r\n".repeat(count), b"Content-Length: 3\r\n".to_vec()].concat(), b"a=1")
    };
    let nothing = |count: usize| {
        framed(&[b"X:\r\n".repeat(count), b"Content-Length: 3\r\n".to_vec()].concat(), b"a=1")
    };
    let cases = [
        Case::new("90", with_fields(90, 1), Admitted),
        Case::new("101", with_fields(97, 1), TOO_LARGE),
        Case::new("1000", with_fields(1000, 1), TOO_LARGE),
        Case::new("3000", with_fields(3000, 1), TOO_LARGE),
        Case::new("1000 of one name", same(1000), TOO_LARGE),
        Case::new("5000 of one name", same(5000), TOO_LARGE),
        Case::new("5000 without a value", nothing(5000), TOO_LARGE),
        Case::new("90 of one name", same(90), Admitted),
    ];
    stage::play("limits", stage::ROUTES, &cases);
}

#[test]
fn too_long_headers_are_refused() {
    let value = |length: usize| with_line(format!("X-A: {}", "x".repeat(length)).as_bytes());
    let name = |length: usize| with_line(format!("{}: x", "X".repeat(length)).as_bytes());
    let cookie =
        |length: usize| with_line(format!("Cookie: {}", "a=b; ".repeat(length / 5)).as_bytes());
    let signature = |length: usize| {
        let value = "A".repeat(length);
        Message::form("/voice", "a=1").field("X-Twilio-Signature", &value).bytes()
    };
    let cases = [
        Case::new("a value of 8 KB", value(8_000), Admitted),
        Case::new("a value of 20 KB", value(20_000), Admitted),
        Case::new("a value of 150 KB", value(150_000), TOO_LARGE),
        Case::new("a value of 1 MB", value(1_000_000), TOO_LARGE),
        Case::new("a name of 1 KB", name(1_000), Admitted),
        Case::new("a name of 150 KB", name(150_000), TOO_LARGE),
        Case::new("a cookie of 150 KB", cookie(150_000), TOO_LARGE),
        Case::new("nine values of 20 KB", with_fields(9, 20_000), TOO_LARGE),
        Case::new("a signature of 1 KB", signature(1_000), Refused(403)),
        Case::new("a signature of 20 KB", signature(20_000), Refused(403)),
        Case::new("a signature of 150 KB", signature(150_000), TOO_LARGE),
        Case::new("a host of 20 KB", good().host(&"x".repeat(20_000)).bytes(), Refused(403)),
    ];
    stage::play("limits", stage::ROUTES, &cases);
}

#[test]
fn too_long_request_lines_are_refused() {
    let signed = |target: &str| Message::form(target, "a=1").signed().bytes();
    let unsigned = |target: &str| Message::get(target).bytes();
    let query = |length: usize| format!("/voice?a={}", "x".repeat(length));
    let path = |length: usize| format!("/sms/{}", "x".repeat(length));
    let slashes = |count: usize| format!("/{}", "a/".repeat(count));
    let method = |length: usize| replaced(&good().bytes(), b"POST", "M".repeat(length).as_bytes());
    let version = replaced(&good().bytes(), b"HTTP/1.1", "H".repeat(150_000).as_bytes());
    let cases = [
        Case::new("a query of 8 KB", signed(&query(8_000)), Admitted),
        Case::new("a query of 20 KB", signed(&query(20_000)), Admitted),
        Case::new("a query of 150 KB", signed(&query(150_000)), TOO_LARGE),
        Case::new("a path of 20 KB", signed(&path(20_000)), Admitted),
        Case::new("a path of 150 KB", signed(&path(150_000)), TOO_LARGE),
        Case::new("unsigned, a query of 20 KB", unsigned(&query(20_000)), Refused(418)),
        Case::new("unsigned, a query of 150 KB", unsigned(&query(150_000)), TOO_LARGE),
        Case::new("unsigned, 10,000 segments", unsigned(&slashes(10_000)), Refused(418)),
        Case::new("signed, 10,000 segments", signed(&slashes(10_000)), Refused(403)),
        Case::new("a query of 66 KB", signed(&query(66_000)), TOO_LARGE),
        Case::new("a method of 1 KB", method(1_000), Open(&[403])),
        Case::new("a method of 150 KB", method(150_000), TOO_LARGE),
        Case::new("a version of 150 KB", version, TOO_LARGE),
        Case::new("a line of 150 KB without a space", vec![b'x'; 150_000], TOO_LARGE),
        Case::new("150 KB of line ends", b"\r\n".repeat(75_000), TOO_LARGE),
    ];
    stage::play("limits", stage::ROUTES, &cases);
}

#[test]
fn too_long_chunk_lines_are_refused() {
    let chunked = |body: Vec<u8>| framed(b"Transfer-Encoding: chunked\r\n", &body);
    let extension =
        |length: usize| format!("3;{}\r\na=1\r\n0\r\n\r\n", "x".repeat(length)).into_bytes();
    let trailer =
        |length: usize| format!("3\r\na=1\r\n0\r\nX: {}\r\n\r\n", "x".repeat(length)).into_bytes();
    let trailers = [b"3\r\na=1\r\n0\r\n".to_vec(), fields(5000, 1), b"\r\n".to_vec()].concat();
    let each =
        b"1;xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\nx\r\n".repeat(900);
    let cases = [
        Case::new("an extension of 1 KB", chunked(extension(1_000)), Admitted),
        Case::new("an extension of 100 KB", chunked(extension(100_000)), TOO_LARGE),
        Case::new("900 extensions", chunked([&each[..], b"0\r\n\r\n"].concat()), TOO_LARGE),
        Case::new(
            "a size of 100 KB of zeros",
            chunked("0".repeat(100_000).into_bytes()),
            Open(&[200]),
        )
        .finished(),
        Case::new("a trailer of 100 KB", chunked(trailer(100_000)), TOO_LARGE),
        Case::new("5000 trailers", chunked(trailers), TOO_LARGE),
    ];
    stage::play("limits", stage::ROUTES, &cases);
}

/// The most expensive requests within the limits: much to decode, to sort and to respell.
#[test]
fn expensive_requests_are_bounded() {
    let forged = |target: &str, body: &str| Message::form(target, body).signed_by("other").bytes();
    let quotes = format!("/voice?{}", "a=%27'+%20%40%3A&".repeat(500));
    let hashes = format!("/voice?{}", "bodySHA256=0&".repeat(600));
    let names: String = (0..160).map(|at| format!("{at}=&")).collect();
    let cases = [
        Case::new("a query of quotes", forged(&quotes, "a=1"), Refused(403)),
        Case::new("a query of hashes", forged(&hashes, "a=1"), Refused(403)),
        Case::new("a body of separators", forged("/voice", &"&=".repeat(499)), Refused(403)),
        Case::new("a body of one name", forged("/voice", &"a&".repeat(499)), Refused(403)),
        Case::new("a body of many names", forged("/voice", &names), Refused(403)),
        Case::new("a body of escapes", forged("/voice", &"%61".repeat(333)), Refused(403)),
    ];
    stage::play("limits", stage::ROUTES, &cases);
}

/// Neither the gate nor the kernel buffers more than a bounded number of responses for a client
/// that does not read (TCP_NOTSENT_LOWAT).
#[test]
fn pipelining_client_that_never_reads_is_disconnected() {
    let upstream = Upstream::start();
    let gate = Gate::with(&upstream, "[admin]\nlisten = \"127.0.0.1:0\"\n");
    let mut stream = TcpStream::connect(gate.address()).unwrap();
    stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let many = Message::get("/voice").bytes().repeat(100);
    let taken = (0..1000).take_while(|_| stream.write_all(&many).is_ok()).count();
    assert!(taken < 1000, "all of 100,000 requests were taken");
    let refused =
        "gatekeeper_requests_total{reason=\"missing_signature\",route=\"/*\",verdict=\"refused\"}";
    let answered = gate.figure(refused).unwrap();
    assert!((100.0..8000.0).contains(&answered), "{answered} answers for one who reads none");
    assert_eq!(gate.answer(&good()).status, 200);
}
