//! Parameters of a form's `Content-Type`: only those that cannot change how an app reads the form.

use crate::support::{
    gate::Gate,
    message::{FORM, Message},
    upstream::Upstream,
};

/// A signed form whose `Content-Type` has these parameters.
fn form(parameters: &str) -> Message {
    let mut message = Message::form("/voice", "a=pay%20+AGE-").signed();
    let (_, value) = message.fields.iter_mut().find(|(name, _)| name == "Content-Type").unwrap();
    *value = format!("{FORM}{parameters}");
    message
}

/// UTF-8, named in the ways that are taken today, or nothing.
#[test]
fn forms_in_utf8_are_covered() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    for parameters in ["", ";", "; charset=utf-8", ";charset=\"UTF-8\"", " ; Charset=utf8", ";;"] {
        assert_eq!(gate.answer(&form(parameters)).status, 200, "{parameters:?}");
    }
}

/// RFC 2231 spells a parameter in other ways, and apps read them: Django 4.2 takes `charset*` for
/// `charset`. What is not on the list is not covered by the signature.
#[test]
fn forms_with_any_other_parameter_are_not_covered() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let mut wrong = Vec::new();
    for parameters in [
        "; charset*=utf-8''utf-7",
        "; CHARSET*=utf-8''utf-7",
        ";charset*=UTF-8''utf-8",
        "; charset*0=utf-; charset*1=16",
        "; charset*0*=utf-8''utf-;charset*1=7",
        "; charset=utf-8; charset*=utf-8''utf-7",
        "; \"charset\"=utf-7",
        "; charset*",
        "; boundary=x",
        "; x=y",
        "; charset=utf-8; x=\"a; charset=utf-7\"",
        "; x=\"\\\"; charset=utf-8",
        ", text/plain; charset=utf-8",
    ] {
        let message = form(parameters);
        let status = gate.answer(&message).status;
        let outcome = gate.outcome_of(&message);
        if (status, outcome.reason()) != (403, "body_not_covered") {
            wrong.push(format!("{parameters}: {status} {}", outcome.reason()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(upstream.bytes(), 0);
}
