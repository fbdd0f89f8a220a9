//! Refused requests: the status, the body line and the logged reason of each, and proof that the app
//! received no byte of them.

mod body;
mod head;
mod signature;

use crate::support::{
    client::Response,
    gate::{Gate, Outcome},
    message::Message,
    upstream::Upstream,
};

const NO_SIGNATURE: &str =
    "No X-Twilio-Signature. This request likely did not originate from Twilio.\n";
const NO_MATCH: &str = "Not proven to come from Twilio\n";
const NO_PARAMS: &str = "Bad Request - no form params\n";
const TOO_LARGE: &str = "Body too large\n";
const TOO_SLOW: &str = "Body too slow\n";

/// Status, body and logged reason of a refusal.
pub(crate) struct Refusal {
    reason: &'static str,
    status: u16,
    line: &'static str,
}

pub(crate) const MISSING: Refusal =
    Refusal { reason: "missing_signature", status: 418, line: NO_SIGNATURE };
pub(super) const EMPTY_FORM: Refusal =
    Refusal { reason: "no_form_params", status: 400, line: NO_PARAMS };
pub(crate) const BIG: Refusal = Refusal { reason: "body_too_large", status: 413, line: TOO_LARGE };
pub(super) const SLOW: Refusal = Refusal { reason: "body_timeout", status: 408, line: TOO_SLOW };

pub(crate) const fn forbidden(reason: &'static str) -> Refusal {
    Refusal { reason, status: 403, line: NO_MATCH }
}

impl Refusal {
    pub(crate) fn assert(&self, response: &Response, outcome: &Outcome, what: &str) {
        assert_eq!(response.status, self.status, "{what}: {response:?} {outcome:?}");
        assert_eq!(response.text(), self.line, "{what}");
        assert_eq!(outcome.reason(), self.reason, "{what}: {outcome:?}");
        assert_eq!(outcome.verdict(), "refused", "{what}: {outcome:?}");
        assert_eq!(outcome.status(), u64::from(self.status), "{what}: {outcome:?}");
    }
}

/// Sends each message over a new connection and asserts that each gets this refusal.
pub(crate) fn assert_refused(
    gate: &Gate,
    upstream: &Upstream,
    refusal: &Refusal,
    messages: &[Message],
) {
    for message in messages {
        let response = gate.answer(message);
        refusal.assert(&response, &gate.outcome_of(message), &format!("{message:?}"));
    }
    assert_eq!(upstream.bytes(), 0, "the app received bytes: {}", refusal.reason);
}

pub(crate) fn assert_admitted(gate: &Gate, message: &Message) {
    let response = gate.answer(message);
    let outcome = gate.outcome_of(message);
    assert_eq!(response.status, 200, "{message:?}: {response:?} {outcome:?}");
    assert_eq!(outcome.verdict(), "admitted", "{outcome:?}");
    assert_eq!(outcome.reason(), "", "{outcome:?}");
}

/// Two guarded routes and a public one.
pub(super) fn several_routes(upstream: &Upstream) -> Gate {
    Gate::with(
        upstream,
        "[[route]]\npath = \"/voice\"\n[[route]]\npath = \"/sms/*\"\nmethods = [\"POST\"]\n\
         [[route]]\npath = \"/status/*\"\naccess = \"public\"",
    )
}

/// A public `/*` around guarded routes: the configuration in which a misread path does most harm.
pub(super) fn public_all_around(upstream: &Upstream) -> Gate {
    Gate::with(
        upstream,
        "[[route]]\npath = \"/voice\"\n[[route]]\npath = \"/sms/*\"\n\
         [[route]]\npath = \"/*\"\naccess = \"public\"",
    )
}
