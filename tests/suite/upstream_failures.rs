//! Apps that are unreachable, broken, silent or cut off in the middle of a response.

use std::net::TcpListener;

use crate::refusals::MISSING;
use crate::support::{
    ORIGIN, TOKEN,
    gate::Gate,
    message::Message,
    upstream::{Answer, Then, Upstream},
};

const NO_ANSWER: &str = "The app did not answer\n";
const NO_ANSWER_IN_TIME: &str = "The app did not answer in time\n";

#[test]
fn unreachable_app_is_502() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gate = Gate::start(&format!(
        "public_url = \"{ORIGIN}\"\nupstream = \"http://{nobody}\"\nauth_tokens = [\"{TOKEN}\"]\n\
         [limits]\nconnect_retry = \"100ms\""
    ));
    for message in [Message::get("/voice"), Message::handshake("/voice")] {
        let signed = message.clone().signed();
        let response = gate.answer(&signed);
        assert_eq!((response.status, response.text().as_str()), (502, NO_ANSWER), "{message:?}");
        let outcome = gate.outcome_of(&signed);
        assert_eq!((outcome.reason(), outcome.verdict()), ("upstream_unreachable", "failed"));
        assert_eq!(
            outcome.text("key"),
            "auth_tokens[0]",
            "the signature was verified nevertheless"
        );
        let unsigned = gate.answer(&message);
        MISSING.assert(
            &unsigned,
            &gate.outcome_of(&message),
            "only signed requests see the failure",
        );
    }
}

#[test]
fn broken_app_response_is_502() {
    let answers = [
        Answer::nothing().then(Then::Close),
        Answer::raw("HTTP/1.1 200 OK\r\nContent-Le").then(Then::Close),
        Answer::raw("SMTP ready\r\n\r\n").then(Then::Close),
        Answer::raw("HTTP/1.1 2000 OK\r\n\r\n").then(Then::Close),
        Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab")
            .then(Then::Close),
    ];
    for answer in answers {
        let shown = format!("{answer:?}");
        let upstream = Upstream::answering(answer);
        let gate = Gate::before(&upstream);
        let message = Message::form("/voice", "a=1").signed();
        let response = gate.answer(&message);
        assert_eq!((response.status, response.text().as_str()), (502, NO_ANSWER), "{shown}");
        let outcome = gate.outcome_of(&message);
        assert_eq!((outcome.reason(), outcome.verdict()), ("upstream_failed", "failed"), "{shown}");
        assert_eq!(upstream.requests().len(), 1, "{shown}: it is not sent twice");
    }
}

#[test]
fn silent_app_is_504() {
    let upstream = Upstream::answering(Answer::nothing().then(Then::Hold));
    let gate = Gate::with(&upstream, "[limits]\nresponse_timeout = \"200ms\"");
    for message in [Message::form("/voice", "a=1"), Message::handshake("/voice")] {
        let message = message.signed();
        let response = gate.answer(&message);
        assert_eq!((response.status, response.text().as_str()), (504, NO_ANSWER_IN_TIME));
        let outcome = gate.outcome_of(&message);
        assert_eq!((outcome.reason(), outcome.verdict()), ("upstream_timeout", "failed"));
    }
    assert_eq!(upstream.requests().len(), 2, "once each");
}

/// Event Streams waits 5 s, other webhooks 15 s.
#[test]
fn response_timeout_of_a_route_takes_the_place_of_the_general_one() {
    let upstream = Upstream::answering(Answer::nothing().then(Then::Hold));
    let more = "[[route]]\npath = \"/events\"\nresponse_timeout = \"200ms\"\n\
                [limits]\nresponse_timeout = \"1h\"\n";
    let gate = Gate::with(&upstream, more);
    let message = Message::json("/events", "[]").signed();
    assert_eq!(gate.answer(&message).status, 504);
    assert_eq!(gate.outcome_of(&message).reason(), "upstream_timeout");
}

/// A client must be able to see that a response was cut off (RFC 9112 section 8).
#[test]
fn truncated_app_response_never_looks_complete() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab";
    for then in [Then::Close, Then::Hold] {
        let upstream = Upstream::answering(Answer::raw(head).then(then));
        let gate = Gate::with(&upstream, "[limits]\nresponse_idle_timeout = \"200ms\"");
        let mut client = gate.connect();
        client.send(&Message::form("/voice", "a=1").signed().bytes());
        let received = client.rest().unwrap();
        let part = received.starts_with(b"HTTP/1.1 200 OK") && received.ends_with(b"\r\n\r\nab");
        assert!(part || (received.is_empty() && then == Then::Close), "{then:?}: {received:?}");
        assert_eq!(upstream.requests().len(), 1);
    }
}
