//! Admitted requests reach the app unchanged and once; its responses are returned unchanged.

mod pooling;
mod requests;
mod responses;
mod tunnels;

use crate::support::{
    client::Response,
    gate::Gate,
    message::Message,
    upstream::{Answer, Recorded, Upstream},
};

/// Sends one request that must be admitted; returns the response and the request as recorded.
pub(super) fn pass(message: &Message) -> (Response, Recorded) {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let response = gate.answer(message);
    assert_eq!(response.status, 200, "{message:?}: {response:?} {:?}", gate.outcome_of(message));
    (response, upstream.only())
}

/// Sends one signed request to an app that gives this answer; returns the response.
pub(super) fn answered(answer: Answer) -> Response {
    let upstream = Upstream::answering(answer);
    let gate = Gate::before(&upstream);
    gate.answer(&Message::form("/voice", "a=1").signed())
}

pub(super) fn named<'f>(fields: &'f [(String, String)], name: &str) -> Vec<(&'f str, &'f str)> {
    let same = fields.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
    same.map(|(own, value)| (own.as_str(), value.as_str())).collect()
}
