//! Replay memory: which requests count as passed.

use std::{net::TcpListener, thread, time::Duration};

use crate::support::{
    ORIGIN, TOKEN,
    gate::Gate,
    message::{FORM, Message},
    upstream::{Answer, Then, Upstream},
};

/// One route where each signature passes once.
const ONCE: &str = "[[route]]\npath = \"/*\"\nreplay_window = \"1m\"\nreplay_retries = 0\n";

fn status_and_reason(gate: &Gate, message: &Message) -> (u16, String) {
    let status = gate.answer(message).status;
    (status, gate.outcome_of(message).reason().to_owned())
}

fn assert_passes_once(gate: &Gate, message: &Message) {
    assert_eq!(gate.answer(message).status, 200);
    assert_eq!(gate.outcome_of(message).verdict(), "admitted");
    assert_eq!(status_and_reason(gate, message), (403, "replayed".to_owned()));
}

#[test]
fn request_refused_for_overload_passes_when_sent_again() {
    let upstream = Upstream::playing(|request| match request.line().as_str() {
        "GET /busy HTTP/1.1" => Answer::nothing().then(Then::Hold),
        _ => Answer::twiml(),
    });
    let limits = "[limits]\nmax_in_flight = 1\nresponse_timeout = \"1s\"\n";
    let gate = Gate::with(&upstream, &format!("{limits}{ONCE}"));
    let mut busy = gate.connect();
    busy.send(&Message::get("/busy").signed().bytes());
    upstream.wait_for(1);
    let message = Message::form("/voice", "a=1").signed();
    for _ in 0..3 {
        assert_eq!(status_and_reason(&gate, &message), (503, "overloaded".to_owned()));
    }
    assert_eq!(busy.response().status, 504);
    assert_passes_once(&gate, &message);
    assert_eq!(upstream.requests().len(), 2);
}

#[test]
fn request_whose_app_was_unreachable_passes_when_the_app_is_back() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gate = Gate::start(&format!(
        "public_url = \"{ORIGIN}\"\nupstream = \"http://{address}\"\nauth_tokens = [\"{TOKEN}\"]\n\
         [limits]\nconnect_retry = \"50ms\"\n{ONCE}"
    ));
    let message = Message::form("/voice", "a=1").signed();
    for _ in 0..3 {
        assert_eq!(status_and_reason(&gate, &message), (502, "upstream_unreachable".to_owned()));
    }
    let upstream = Upstream::start_at(address);
    assert_passes_once(&gate, &message);
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn request_that_reached_the_app_counts_even_without_a_response() {
    let upstream = Upstream::answering(Answer::nothing().then(Then::Close));
    let gate = Gate::with(&upstream, ONCE);
    let message = Message::form("/voice", "a=1").signed();
    assert_eq!(status_and_reason(&gate, &message), (502, "upstream_failed".to_owned()));
    assert_eq!(status_and_reason(&gate, &message), (403, "replayed".to_owned()));
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn of_several_copies_at_once_exactly_one_passes() {
    let upstream = Upstream::answering(Answer::twiml().pausing(Duration::from_millis(100)));
    let gate = Gate::with(&upstream, ONCE);
    let message = Message::form("/voice", "a=1").signed();
    let mut statuses: Vec<_> = thread::scope(|scope| {
        let copies: Vec<_> = (0..8).map(|_| scope.spawn(|| gate.answer(&message).status)).collect();
        copies.into_iter().map(|copy| copy.join().unwrap()).collect()
    });
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 403, 403, 403, 403, 403, 403, 403]);
    assert_eq!(upstream.requests().len(), 1);
}

/// While the app is down, copies are reserved and released by several connections at once.
#[test]
fn copies_at_once_that_all_fail_leave_no_pass_behind() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gate = Gate::start(&format!(
        "public_url = \"{ORIGIN}\"\nupstream = \"http://{address}\"\nauth_tokens = [\"{TOKEN}\"]\n\
         [limits]\nconnect_retry = \"50ms\"\n{ONCE}"
    ));
    let message = Message::form("/voice", "a=1").signed();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert!(matches!(gate.answer(&message).status, 403 | 502)));
        }
    });
    let upstream = Upstream::start_at(address);
    assert_eq!(gate.answer(&message).status, 200);
    assert_eq!(gate.answer(&message).status, 403);
    assert_eq!(upstream.requests().len(), 1);
}

/// Twilio's retries may have another idempotency token, which is not signed.
#[test]
fn retries_pass_whatever_their_idempotency_token() {
    let upstream = Upstream::start();
    let gate = Gate::with(&upstream, &ONCE.replace("retries = 0", "retries = 1"));
    let message = Message::form("/voice", "a=1").signed();
    for (token, status) in [("one", 200), ("two", 200), ("one", 403), ("three", 403)] {
        let message = message.clone().field("I-Twilio-Idempotency-Token", token);
        assert_eq!(gate.answer(&message).status, status, "{token}");
    }
    assert_eq!(upstream.requests().len(), 2);
}

/// What is spelled in another way, or not signed at all, does not make a request another one.
#[test]
fn repeats_are_counted_by_signature_alone() {
    let upstream = Upstream::start();
    let gate = Gate::with(&upstream, ONCE);
    let first = Message::form("/voice", "a=A&b=2");
    let signature = first.signature(TOKEN);
    let other_spellings = [
        Message::form("/voice", "a=%41&b=2"),
        Message::form("/voice", "b=2&a=A"),
        Message::form("/voice", "a=A&b=2").field("I-Twilio-Idempotency-Token", "other"),
        Message::post("/voice", FORM, b"a=A&b=%32").field("User-Agent", "other"),
    ];
    assert_eq!(gate.answer(&first.signed()).status, 200);
    for message in other_spellings {
        let again = message.field("X-Twilio-Signature", &signature);
        assert_eq!(gate.answer(&again).status, 403, "{again:?}");
    }
    assert_eq!(upstream.requests().len(), 1);
}
