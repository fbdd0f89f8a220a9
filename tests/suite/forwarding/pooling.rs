//! Reuse of connections to the app, and requests around the moment at which the app closes one.

use std::{
    sync::{Arc, Barrier},
    thread,
    time::Duration,
};

use crate::support::{
    gate::Gate,
    latin1,
    message::Message,
    upstream::{Answer, TWIML, Then, Upstream},
};

#[test]
fn upstream_connections_are_reused() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let mut client = gate.connect();
    for number in 0..10 {
        client.send(&Message::form("/voice", &format!("n={number}")).signed().bytes());
        assert_eq!(client.response().text(), TWIML);
    }
    assert_eq!((upstream.requests().len(), upstream.connections()), (10, 1));
}

/// Sends a request over each of 300 connections, twice; the app answers when all have arrived. Returns
/// the number of connections to the app.
fn connections_for_two_rounds(config: &str) -> usize {
    const CLIENTS: usize = 300;
    let all_arrived = Arc::new(Barrier::new(CLIENTS));
    let upstream = Upstream::playing(move |_| {
        all_arrived.wait();
        Answer::twiml()
    });
    let gate = Gate::with(&upstream, config);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| gate.connect()).collect();
    for round in 0..2 {
        for (number, client) in clients.iter_mut().enumerate() {
            client.send(&Message::form("/voice", &format!("n={round}.{number}")).signed().bytes());
        }
        for client in &mut clients {
            assert_eq!(client.response().status, 200);
        }
    }
    upstream.connections()
}

#[test]
fn as_many_upstream_connections_are_kept_as_were_in_use() {
    let config = "[limits]\nupstream_idle_timeout = \"20s\"";
    assert_eq!(connections_for_two_rounds(config), 300);
    let config = format!("{config}\nupstream_idle_connections = 100");
    assert_eq!(connections_for_two_rounds(&config), 500, "100 of 300 are kept");
}

/// The app reads the whole request and closes. It may have acted on it, so a retry is not safe.
#[test]
fn request_is_not_resent_after_the_app_closes() {
    for first in ["first", "none"] {
        let upstream = Upstream::playing(move |request| {
            let is_first = latin1(&request.body) == format!("n={first}");
            if is_first { Answer::twiml() } else { Answer::nothing().then(Then::Close) }
        });
        let gate = Gate::before(&upstream);
        let mut client = gate.connect();
        let bodies = ["n=first", "n=second", "n=third"];
        let statuses: Vec<_> = bodies
            .iter()
            .map(|body| {
                client.send(&Message::form("/voice", body).signed().bytes());
                client.response().status
            })
            .collect();
        assert_eq!(statuses, [if first == "first" { 200 } else { 502 }, 502, 502]);
        let arrived: Vec<_> =
            upstream.requests().iter().map(|request| latin1(&request.body)).collect();
        assert_eq!(arrived, bodies, "each of them once");
    }
}

#[test]
fn get_is_not_resent_after_the_app_closes() {
    let upstream = Upstream::answering(Answer::nothing().then(Then::Close));
    let gate = Gate::before(&upstream);
    for target in ["/voice", "/sms"] {
        assert_eq!(gate.answer(&Message::get(target).signed()).status, 502);
    }
    assert_eq!(upstream.requests().len(), 2);
}

/// Sends requests around the moment at which the app closes idle connections, each pause in a gate
/// of its own.
fn assert_none_is_lost(answer: &Answer, config: &str, pauses: &[u64]) {
    thread::scope(|scope| {
        for &pause in pauses {
            scope.spawn(move || {
                let upstream = Upstream::answering(answer.clone());
                let gate = Gate::with(&upstream, config);
                let mut client = gate.connect();
                for body in ["n=1", "n=2"] {
                    client.send(&Message::form("/voice", body).signed().bytes());
                    let response = client.response();
                    assert_eq!(response.status, 200, "{body} after {pause} ms: {response:?}");
                    thread::sleep(Duration::from_millis(pause));
                }
                assert_eq!(upstream.requests().len(), 2, "after {pause} ms");
            });
        }
    });
}

#[test]
fn app_closing_idle_connections_loses_no_request() {
    let answer = Answer::twiml().then(Then::KeepFor(Duration::from_millis(1200)));
    assert_none_is_lost(&answer, "", &[0, 700, 990, 1000, 1010, 1150, 1195, 1200, 1205, 1300]);
}

#[test]
fn app_with_keep_alive_timeout_loses_no_request() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=1\r\n\r\nok";
    let answer = Answer::raw(head).then(Then::KeepFor(Duration::from_secs(1)));
    let config = "[limits]\nupstream_idle_timeout = \"10s\"";
    assert_none_is_lost(&answer, config, &[0, 400, 499, 501, 600, 900, 995, 1000, 1005, 1100]);
}

/// Sends two requests with a pause and asserts that the second uses a new connection.
fn assert_not_used_again(field: &str, config: &str, pause: u64) {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{field}\r\nok");
    let upstream = Upstream::answering(Answer::raw(&head));
    let gate = Gate::with(&upstream, config);
    let mut client = gate.connect();
    for body in ["n=1", "n=2"] {
        client.send(&Message::form("/voice", body).signed().bytes());
        assert_eq!(client.response().status, 200);
        thread::sleep(Duration::from_millis(pause));
    }
    assert_eq!(upstream.connections(), 2, "{field:?} {config:?}");
}

#[test]
fn expired_upstream_connection_is_not_reused() {
    assert_not_used_again("", "", 1010);
    assert_not_used_again("", "[limits]\nupstream_idle_timeout = \"50ms\"", 60);
    assert_not_used_again("", "[limits]\nupstream_idle_timeout = \"0s\"", 0);
    let long_idle = "[limits]\nupstream_idle_timeout = \"10s\"";
    assert_not_used_again("Keep-Alive: timeout=1\r\n", long_idle, 1000);
    assert_not_used_again("Connection: close\r\n", long_idle, 0);
}

#[test]
fn app_closing_after_each_response_loses_no_request() {
    let silently = Answer::twiml().then(Then::Close);
    assert_none_is_lost(&silently, "", &[0, 1, 5, 50]);
}

#[test]
fn app_restart_loses_no_request() {
    let upstream = Upstream::start();
    let address = upstream.address();
    let gate = Gate::with(&upstream, "[limits]\nconnect_retry = \"5s\"");
    let mut client = gate.connect();
    client.send(&Message::form("/voice", "n=1").signed().bytes());
    assert_eq!(client.response().status, 200);
    drop(upstream);
    client.send(&Message::form("/voice", "n=2").signed().bytes());
    assert!(
        client.stays_silent(Duration::from_millis(200)),
        "the gate retries instead of failing at once"
    );
    let upstream = Upstream::start_at(address);
    assert_eq!(client.response().status, 200);
    assert_eq!(latin1(&upstream.only().body), "n=2");
}

/// The caller of a client that gave up has heard an error: the app must not act on the request.
#[test]
fn request_whose_client_left_while_the_gate_waited_for_the_app_is_not_sent() {
    let upstream = Upstream::start();
    let address = upstream.address();
    let gate = Gate::with(&upstream, "[limits]\nconnect_retry = \"5s\"");
    drop(upstream);
    let (mut leaver, mut stayer) = (gate.connect(), gate.connect());
    let left = Message::form("/left", "n=1").signed();
    leaver.send(&left.bytes());
    stayer.send(&Message::form("/stayed", "n=2").signed().bytes());
    thread::sleep(Duration::from_millis(400));
    drop(leaver);
    let upstream = Upstream::start_at(address);
    assert_eq!(stayer.response().status, 200);
    assert_eq!(gate.outcome_of(&left).verdict(), "abandoned");
    assert_eq!(latin1(&upstream.only().body), "n=2");
}
