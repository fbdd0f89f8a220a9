//! Stop signals and the drain.

use std::{thread, time::Duration};

use crate::support::{
    gate::Gate,
    message::Message,
    upstream::{Answer, TWIML, Then, Upstream},
};

#[test]
fn in_flight_request_completes_before_shutdown() {
    let upstream = Upstream::answering(Answer::twiml().pausing(Duration::from_millis(300)));
    let mut gate = Gate::before(&upstream);
    let mut client = gate.connect();
    client.send(&Message::form("/voice", "a=1").signed().bytes());
    upstream.wait_for(1);
    gate.terminate();
    assert_eq!(client.response().text(), TWIML);
    assert!(client.is_at_end());
    assert_eq!(gate.exit_code(), Some(0));
}

/// As `timeout` sends them: to the process and to its group.
#[test]
fn stop_signals_within_a_second_do_not_skip_the_drain() {
    let upstream = Upstream::answering(Answer::twiml().pausing(Duration::from_millis(300)));
    let mut gate = Gate::before(&upstream);
    let mut client = gate.connect();
    client.send(&Message::form("/voice", "a=1").signed().bytes());
    upstream.wait_for(1);
    for _ in 0..3 {
        gate.terminate();
        gate.log_entry("stopping", 0);
    }
    assert_eq!(client.response().text(), TWIML);
    assert_eq!(gate.exit_code(), Some(0));
}

#[test]
fn later_stop_signal_skips_the_drain() {
    let upstream = Upstream::answering(Answer::nothing().then(Then::Hold));
    let mut gate = Gate::before(&upstream);
    let mut client = gate.connect();
    client.send(&Message::form("/voice", "a=1").signed().bytes());
    upstream.wait_for(1);
    gate.terminate();
    gate.log_entry("stopping", 0);
    thread::sleep(Duration::from_millis(1100));
    gate.terminate();
    assert_eq!(gate.exit_code(), Some(1));
    assert!(client.is_at_end(), "no response");
}
