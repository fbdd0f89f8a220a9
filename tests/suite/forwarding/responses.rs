//! Responses as the client receives them.

use std::{thread, time::Duration};

use super::{answered, named};
use crate::support::{
    gate::Gate,
    latin1,
    message::Message,
    upstream::{Answer, TWIML, Then, Upstream},
};

#[test]
fn responses_are_returned_unchanged() {
    let head = "HTTP/1.1 202 Taken Note Of\r\ncontent-type: application/xml\r\nX-oDD-Case: 1\r\n\
        Set-Cookie: a=1\r\nset-cookie: b=2\r\nServer: app/1\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
        WWW-Authenticate: Basic\r\nVia: 1.0 app\r\nX_Under: 1\r\nContent-Length: 5\r\n\r\nhel\0o";
    let response = answered(Answer::raw(head));
    assert_eq!(response.line, "HTTP/1.1 202 Taken Note Of");
    assert_eq!(response.body, b"hel\0o");
    let mut fields = response.fields;
    fields.retain(|(name, _)| !name.eq_ignore_ascii_case("connection"));
    let given = crate::support::fields_of(&head.as_bytes()[..head.len() - 7]);
    assert_eq!(fields.len(), given.len(), "{fields:?}");
    for (name, _) in &given {
        assert_eq!(named(&fields, name), named(&given, name));
    }
}

#[test]
fn no_header_is_added_to_a_response() {
    let response = answered(Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    let names: Vec<_> = response.fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Content-Length"]);
}

#[test]
fn responses_of_every_framing_are_returned_whole() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n";
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
    let by_close = format!("{head}\r\nsunny").replace("HTTP/1.1", "HTTP/1.0");
    let answers = [
        Answer::raw(&format!("{head}Content-Length: 5\r\n\r\nsunny")),
        Answer::pieces(&[&chunked, "3\r\nsun\r\n", "2;x=y\r\nny\r\n", "0\r\n\r\n"]),
        Answer::raw(&format!("{chunked}5\r\nsunny\r\n0\r\nX-Late: 1\r\n\r\n")),
        Answer::raw(&format!("{head}\r\nsunny")).then(Then::Close),
        Answer::raw(&by_close).then(Then::Close),
        Answer::raw(&format!("{head}Connection: close\r\nContent-Length: 5\r\n\r\nsunny"))
            .then(Then::Close),
    ];
    for answer in answers {
        let shown = format!("{answer:?}");
        let response = answered(answer);
        assert_eq!((response.status, response.text().as_str()), (200, "sunny"), "{shown}");
        assert!(response.values("Keep-Alive").is_empty());
    }
}

#[test]
fn statuses_are_returned_unchanged() {
    let lines = [
        ("204 No Content", ""),
        ("304 Not Modified", ""),
        ("302 Found", "Location: /elsewhere\r\n"),
        ("401 Unauthorized", "WWW-Authenticate: Digest realm=\"a\", nonce=\"b\"\r\n"),
        ("407 Proxy Says So", ""),
        ("418 I'm a teapot", ""),
        ("500 Internal Server Error", ""),
        ("599 Whatever", ""),
    ];
    for (line, field) in lines {
        let length = if line.starts_with("204") || line.starts_with("304") {
            ""
        } else {
            "Content-Length: 0\r\n"
        };
        let response = answered(Answer::raw(&format!("HTTP/1.1 {line}\r\n{field}{length}\r\n")));
        assert_eq!(response.line, format!("HTTP/1.1 {line}"));
        let name = field.split(':').next().unwrap_or_default();
        assert_eq!(response.values(name).len(), usize::from(!field.is_empty()), "{response:?}");
    }
}

#[test]
fn interim_response_is_not_taken_as_final() {
    let answer = Answer::pieces(&[
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsunny",
    ]);
    let upstream = Upstream::answering(answer);
    let gate = Gate::before(&upstream);
    let mut client = gate.connect();
    client.send(&Message::form("/voice", "a=1").signed().bytes());
    let mut response = client.response();
    if response.status == 103 {
        response = client.response();
    }
    assert_eq!((response.status, response.text().as_str()), (200, "sunny"));
}

/// The app sends a part and then nothing; the client must receive that part.
#[test]
fn responses_are_streamed() {
    let part = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nsunny\r\n";
    let upstream = Upstream::answering(Answer::raw(part).then(Then::Hold));
    let gate = Gate::before(&upstream);
    let mut client = gate.connect();
    client.send(&Message::form("/voice", "a=1").signed().bytes());
    assert!(client.until(b"\r\n\r\n").unwrap().starts_with(b"HTTP/1.1 200 OK"));
    assert_eq!(client.until(b"sunny").unwrap(), b"5\r\nsunny");
}

#[test]
fn long_response_is_returned_whole() {
    let long = "0123456789abcdef".repeat(1 << 16);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", long.len());
    let response = answered(Answer::pieces(&[&head, &long]));
    assert!(response.text() == long, "{} bytes of {}", response.body.len(), long.len());
}

#[test]
fn head_response_has_no_body() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    let upstream = Upstream::answering(Answer::raw(answer));
    let gate = Gate::with(&upstream, "methods = [\"GET\", \"HEAD\"]");
    let mut client = gate.connect();
    client.send(&Message::new("HEAD", "/voice").signed().bytes());
    let head = latin1(&client.until(b"\r\n\r\n").unwrap());
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("Content-Length: 5\r\n"));
    client.send(&Message::new("HEAD", "/voice").signed().bytes());
    assert!(client.until(b"\r\n\r\n").unwrap().starts_with(b"HTTP/1.1 200 OK"));
}

#[test]
fn half_closed_client_still_gets_its_response() {
    let upstream = Upstream::answering(Answer::twiml().pausing(Duration::from_millis(100)));
    let gate = Gate::before(&upstream);
    let mut client = gate.connect();
    client.send(&Message::form("/voice", "a=1").signed().bytes());
    client.half_close();
    assert_eq!(client.response().text(), TWIML);
}

#[test]
fn concurrent_clients_get_their_own_responses() {
    let upstream = Upstream::playing(|request| {
        let body = latin1(&request.body);
        Answer::raw(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
    });
    let gate = Gate::before(&upstream);
    let ask = |sender: usize| {
        let mut client = gate.connect();
        for number in 0..20 {
            let body = format!("s={sender}&n={number}&x={}", "x".repeat(sender * number));
            client.send(&Message::form("/voice", &body).signed().bytes());
            assert_eq!(client.response().text(), body);
        }
    };
    thread::scope(|scope| {
        for sender in 0..8 {
            let ask = &ask;
            scope.spawn(move || ask(sender));
        }
    });
    assert_eq!(upstream.requests().len(), 160);
}
