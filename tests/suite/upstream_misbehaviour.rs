//! Apps that break HTTP: what they do reaches no other client and no later response.

use std::time::{Duration, Instant};

use crate::support::{
    client::{Client, Response},
    gate::Gate,
    message::Message,
    upstream::{Answer, Then, Upstream},
};

/// A response that no client of these tests asked for.
const STRAY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nSTRAY";
/// A pause that is long for two processes on one machine.
const PAUSE: Duration = Duration::from_millis(100);

/// A gate that accepts `HEAD` too.
fn gate_before(upstream: &Upstream) -> Gate {
    Gate::with(upstream, "methods = [\"GET\", \"HEAD\", \"POST\"]")
}

/// Answers `/bad` as given, anything else with TwiML.
fn app(bad: Answer) -> Upstream {
    Upstream::playing(
        move |request| {
            if request.line().contains(" /bad ") { bad.clone() } else { Answer::twiml() }
        },
    )
}

fn send(client: &mut Client, message: &Message) -> Response {
    client.send(&message.bytes());
    if message.method == "HEAD" { client.try_head().unwrap() } else { client.response() }
}

fn signed(method: &str, target: &str) -> Message {
    Message::new(method, target).signed()
}

/// A body in a second segment would be read as the next response on that connection.
#[test]
fn body_where_none_is_allowed_reaches_no_later_request() {
    for (method, head) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 45\r\n\r\n"),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No Content\r\nContent-Length: 45\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 45\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\n\r\n"),
    ] {
        let upstream = app(Answer::pieces(&[head, STRAY]).pausing(PAUSE));
        let gate = gate_before(&upstream);
        let mut client = gate.connect(); // one connection: both requests have the same worker
        let bad = send(&mut client, &signed(method, "/bad"));
        assert!(matches!(bad.status, 200 | 204 | 304), "{head}: {bad:?}");
        let good = send(&mut client, &signed("GET", "/good"));
        assert_eq!((good.status, good.text().contains("Sunny")), (200, true), "{head}: {good:?}");
        assert_eq!(upstream.connections(), 2, "{head}");
    }
}

#[test]
fn idle_connection_with_unread_bytes_is_not_reused() {
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    for stray in [STRAY, "x", "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"] {
        let together = format!("{ok}{stray}");
        for pieces in [&[together.as_str()][..], &[ok, stray]] {
            let upstream = app(Answer::pieces(pieces).pausing(PAUSE / 5));
            let gate = gate_before(&upstream);
            let mut client = gate.connect();
            assert_eq!(send(&mut client, &signed("GET", "/bad")).text(), "ok");
            std::thread::sleep(PAUSE);
            let good = send(&mut client, &signed("GET", "/good"));
            let is_own = good.status == 200 && good.text().contains("Sunny");
            assert!(is_own, "{pieces:?}: {good:?}");
            assert_eq!(upstream.connections(), 2, "{pieces:?}");
        }
    }
}

#[test]
fn public_and_guarded_requests_never_share_a_connection() {
    let upstream = Upstream::start();
    let routes = "[[route]]\npath = \"/voice\"\n[[route]]\npath = \"/open\"\naccess = \"public\"\n";
    let gate = Gate::with(&upstream, routes);
    let mut client = gate.connect();
    for round in 0..3 {
        assert_eq!(send(&mut client, &Message::get("/open")).status, 200);
        assert_eq!(send(&mut client, &signed("GET", "/voice")).status, 200);
        assert_eq!(upstream.connections(), 2, "round {round}: each keeps its own");
    }
}

#[test]
fn response_with_very_many_chunks_is_relayed_whole() {
    let full = format!("1000\r\n{}\r\n", "x".repeat(0x1000)).repeat(17_000);
    let padded = format!("00000010\r\n{}\r\n", "y".repeat(16)).repeat(5_000);
    for (chunks, length) in [(full, 17_000 * 0x1000), (padded, 5_000 * 16)] {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let upstream = Upstream::answering(Answer::pieces(&[head, &chunks, "0\r\n\r\n"]));
        let gate = gate_before(&upstream);
        let mut client = gate.connect();
        client.send(&signed("GET", "/voice").bytes());
        let response = client.try_response();
        let received = response.map(|response| response.body.len());
        assert_eq!(received.ok(), Some(length));
        assert_eq!(gate.outcome_of(&signed("GET", "/voice")).verdict(), "admitted");
    }
}

/// RFC 9110 section 8.6: an invalid length must not be forwarded.
#[test]
fn invalid_content_length_is_not_relayed_where_no_body_follows() {
    for value in ["+8", "5, 6", "", "0x8", "8 8", "-1", "18446744073709551616"] {
        for (method, status) in [("HEAD", "200 OK"), ("GET", "304 Not Modified")] {
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {value}\r\n\r\n");
            let upstream = Upstream::answering(Answer::raw(&head));
            let gate = gate_before(&upstream);
            let response = send(&mut gate.connect(), &signed(method, "/voice"));
            let lengths = response.values("Content-Length");
            assert!(lengths.is_empty() || response.status == 502, "{head:?}: {response:?}");
        }
    }
    let differing = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n";
    let gate_app = Upstream::answering(Answer::raw(differing));
    let response = send(&mut gate_before(&gate_app).connect(), &signed("HEAD", "/voice"));
    assert!(response.values("Content-Length").is_empty() || response.status == 502);
}

#[test]
fn valid_content_length_is_relayed_where_no_body_follows() {
    for (method, status) in [("HEAD", "200 OK"), ("GET", "304 Not Modified")] {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: 8\r\n\r\n");
        let upstream = Upstream::answering(Answer::raw(&head));
        let response = send(&mut gate_before(&upstream).connect(), &signed(method, "/voice"));
        assert_eq!(response.values("Content-Length"), ["8"], "{head:?}");
    }
}

#[test]
fn connection_is_not_reused_after_a_response_that_contradicts_itself() {
    for (head, status, connections) in [
        ("200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked", 200, 2),
        ("200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 12", 200, 2),
        ("204 No Content\r\nContent-Length: 0", 204, 2),
        ("204 No Content\r\nContent-Length: 2", 204, 2),
        ("204 No Content\r\nTransfer-Encoding: chunked", 204, 2),
        ("304 Not Modified\r\nTransfer-Encoding: chunked", 304, 2),
        // For comparison: nothing is wrong with these.
        ("200 OK\r\nTransfer-Encoding: chunked", 200, 1),
        ("204 No Content\r\nServer: s", 204, 1),
    ] {
        let body = if status == 200 { "2\r\nok\r\n0\r\n\r\n" } else { "" };
        let upstream = app(Answer::raw(&format!("HTTP/1.1 {head}\r\n\r\n{body}")));
        let gate = gate_before(&upstream);
        let mut client = gate.connect();
        let bad = send(&mut client, &signed("GET", "/bad"));
        assert_eq!(bad.status, status, "{head:?}: {bad:?}");
        assert_eq!(bad.text(), if status == 200 { "ok" } else { "" }, "{head:?}");
        let lengths = bad.values("Content-Length").len();
        let codings = bad.values("Transfer-Encoding").len();
        assert_eq!((lengths, codings), (0, usize::from(status == 200)), "{head:?}: {bad:?}");
        assert_eq!(send(&mut client, &signed("GET", "/good")).status, 200);
        assert_eq!(upstream.connections(), connections, "{head:?}");
    }
}

/// RFC 6455 section 4.1.
#[test]
fn handshake_answer_that_does_not_accept_a_websocket_is_502() {
    for fields in [
        "",
        "Connection: Upgrade\r\n",
        "Upgrade: websocket\r\n",
        "Upgrade: h2c\r\nConnection: Upgrade\r\n",
        "Upgrade: websocket, h2c\r\nConnection: Upgrade\r\n",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nTransfer-Encoding: chunked\r\n",
    ] {
        let head = format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n");
        let upstream = Upstream::answering(Answer::raw(&head).then(Then::Echo));
        let gate = gate_before(&upstream);
        let message = Message::handshake("/media").signed();
        let mut client = gate.connect();
        client.send(&message.bytes());
        client.send(b"early");
        let response = client.response();
        assert_eq!(response.status, 502, "{head:?}: {response:?}");
        assert_eq!(gate.outcome_of(&message).reason(), "upstream_failed", "{head:?}");
    }
}

#[test]
fn switching_protocols_without_a_handshake_is_502() {
    let upstream = Upstream::answering(Answer::switching());
    let gate = gate_before(&upstream);
    assert_eq!(gate.answer(&signed("GET", "/voice")).status, 502);
}

#[test]
fn app_that_does_not_speak_http_is_502_at_once() {
    for text in [
        "nonsense\r\n",
        "nonsense",
        "\r\nnonsense\r\n",
        "SSH-2.0-OpenSSH_9.9\r\n",
        "220 mail.example.com ESMTP\r\n",
        "\x15\x03\x01\0\x02\x02",
        "HTTP/2.0 200 OK\r\n",
        "HTTP/1.1 20x OK\r\n",
    ] {
        let upstream = Upstream::answering(Answer::raw(text).then(Then::Hold));
        let gate = Gate::with(&upstream, "[limits]\nresponse_timeout = \"3s\"");
        let began = Instant::now();
        let message = Message::form("/voice", "a=1").signed();
        let response = gate.answer(&message);
        assert_eq!(response.status, 502, "{text:?}: after {:?}", began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(1), "{text:?}: {:?}", began.elapsed());
        assert_eq!(gate.outcome_of(&message).reason(), "upstream_failed", "{text:?}");
    }
}

/// A line feed alone ends a line for one recipient and is part of a value for another.
#[test]
fn bare_line_feed_in_an_apps_head_is_502() {
    for head in [
        "HTTP/1.1 200 OK\r\nX-A: v\nSet-Cookie: evil=1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 2\n\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nA: b\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
    ] {
        let upstream = Upstream::answering(Answer::raw(&format!("{head}ok")));
        let gate = Gate::with(&upstream, "[limits]\nresponse_timeout = \"2s\"");
        let response = gate.answer(&signed("GET", "/voice"));
        assert_eq!(response.status, 502, "{head:?}: {response:?}");
        assert!(response.values("Set-Cookie").is_empty(), "{head:?}: {response:?}");
    }
}
