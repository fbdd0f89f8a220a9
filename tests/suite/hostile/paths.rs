//! Paths that different apps resolve to different resources.

use super::{Case, Expect::*, good, replaced, stage};
use crate::support::message::Message;

/// A public `/*` around guarded routes: the configuration in which a misread path does most harm.
const PUBLIC_AROUND: &str = "
[limits]
max_body_bytes = 1000
head_timeout = \"1s\"
body_timeout = \"1s\"
[[route]]
path = \"/voice\"
[[route]]
path = \"/sms/*\"
[[route]]
path = \"/*\"
access = \"public\"
";

/// Spellings that some app resolves to `/voice` or below `/sms/`.
const GUARDED_BY_ANOTHER_NAME: &[&str] = &[
    "/%76oice",
    "/%56oice",
    "/voic%65",
    "/%76%6f%69%63%65",
    "/VOICE",
    "/Voice",
    "/voicE",
    "/voice/",
    "/voice//",
    "/voice/.",
    "/voice/./",
    "/voice/..",
    "/voice/../voice",
    "//voice",
    "///voice",
    "/./voice",
    "/././voice",
    "/../voice",
    "/x/../voice",
    "/x/./../voice",
    "/x//../voice",
    "/x/y/../../voice",
    "/status/../voice",
    "/status/x/../../voice",
    "/%2e/voice",
    "/%2E/voice",
    "/x/%2e%2e/voice",
    "/x/%2E%2e/voice",
    "/x/.%2e/voice",
    "/x/%2e./voice",
    "/status/%2e%2e/voice",
    "/status%2f..%2fvoice",
    "/status/..%2fvoice",
    "/status/%2e%2e%2fvoice",
    "/%2fvoice",
    "/%2Fvoice",
    "/x%2f..%2fvoice",
    "/\\voice",
    "/x\\..\\voice",
    "/x/..\\voice",
    "/%5cvoice",
    "/%5Cvoice",
    "/x%5c..%5cvoice",
    "/status/..%5cvoice",
    "/voice;",
    "/voice;x",
    "/voice;x=1",
    "/;/voice",
    "/x;/../voice",
    "/status;/../voice",
    "/status/..;/voice",
    "/voice%3bx",
    "/voice%00",
    "/voice%00.txt",
    "/%00voice",
    "/status/%00/../voice",
    "/%2576oice",
    "/%25%37%36oice",
    "/x/%252e%252e/voice",
    "/x%252f..%252fvoice",
    "/voice%",
    "/voice%2",
    "/voice%zz",
    "/voice%u0065",
    "/%u0076oice",
    "/%c0%aevoice",
    "/x/%c0%ae%c0%ae/voice",
    "/x/%c0%ae%c0%ae%c0%afvoice",
    "/%ef%bc%8fvoice",
    "/voice%20",
    "/voice%09",
    "/voice%0a",
    "/voice%0d%0a",
    "/%20voice",
    "/voice%3f",
    "/voice%23",
    "/sms",
    "/SMS/in",
    "/Sms/in",
    "/%73ms/in",
    "/sm%73/in",
    "//sms/in",
    "/sms//in",
    "/./sms/in",
    "/x/../sms/in",
    "/sms/../sms/in",
    "/sms%2fin",
    "/sms%2Fin",
    "/sms%5cin",
    "/sms\\in",
    "/sms;x/in",
    "/status/../sms/in",
    "/status/%2e%2e/sms/in",
    "/sms%00/in",
    "/sms/in%00",
    "/sms/%2e%2e/voice",
    "/sms/..",
    "/sms/.",
    "/sms/%2e",
    "/sms/;",
    "/sms/in;jsessionid=1",
    "/sms/%",
    "/sms/%2",
];

/// Paths that leave `/status/` in some app, or may do so.
const UNCLEAR_IN_PUBLIC: &[&str] = &[
    "/status/.",
    "/status/..",
    "/status/../",
    "/status/./x",
    "/status//x",
    "/status//",
    "/status/x/../y",
    "/status/x;y",
    "/status/x\\y",
    "/status/%2e",
    "/status/%2e%2e/x",
    "/status/x%2fy",
    "/status/x%5cy",
    "/status/x%00",
    "/status/%25",
    "/status/x%252e",
    "/status/%",
    "/status/%4",
    "/status/%zz",
    "/status/%%",
    "/STATUS/../voice",
    "/status/...%2f..",
];

/// Paths that stay below `/status/` in every app.
const PLAIN_IN_PUBLIC: &[&str] = &[
    "/status/",
    "/status/x",
    "/status/x/",
    "/status/x.y",
    "/status/...",
    "/status/.well-known",
    "/status/%C3%BC",
    "/status/a-b_c~d",
    "/status/x?a=../voice",
    "/status/x?//;%00%2f",
    "/status/x?",
    "/status/x??",
];

/// An unsigned GET, which must be refused.
fn unsigned(target: &str) -> Case {
    Case::new(target, Message::get(target).bytes(), Open(&[403, 418]))
}

#[test]
fn alternative_spellings_of_guarded_paths_are_refused() {
    let cases: Vec<_> = GUARDED_BY_ANOTHER_NAME.iter().map(|target| unsigned(target)).collect();
    stage::play("paths", stage::ROUTES, &cases);
}

/// With `/*` public, spellings that no app resolves to a guarded route are public and left out.
#[test]
fn alternative_spellings_of_guarded_paths_are_refused_within_a_public_root() {
    let really_others =
        ["/voice%u0065", "/%u0076oice", "/%ef%bc%8fvoice", "/voice%20", "/%20voice"];
    let spellings = GUARDED_BY_ANOTHER_NAME.iter().filter(|target| !really_others.contains(target));
    let cases: Vec<_> = spellings.map(|target| unsigned(target)).collect();
    stage::play("paths", PUBLIC_AROUND, &cases);
}

#[test]
fn paths_that_may_leave_a_public_route_are_refused() {
    let cases: Vec<_> = UNCLEAR_IN_PUBLIC.iter().map(|target| unsigned(target)).collect();
    stage::play("paths", stage::ROUTES, &cases);
}

#[test]
fn paths_within_a_public_route_are_admitted() {
    let cases: Vec<_> = PLAIN_IN_PUBLIC
        .iter()
        .map(|target| Case::new(target, Message::get(target).bytes(), Admitted))
        .collect();
    stage::play("paths", stage::ROUTES, &cases);
}

/// A valid signature does not make an ambiguous path admissible.
#[test]
fn signed_ambiguous_paths_are_refused() {
    let cases: Vec<_> = GUARDED_BY_ANOTHER_NAME
        .iter()
        .map(|target| Case::new(target, Message::get(target).signed().bytes(), Open(&[403])))
        .collect();
    stage::play("paths", stage::ROUTES, &cases);
}

/// A signature for `/voice` is sent with a spelling that some app resolves to `/voice`.
#[test]
fn signature_for_another_spelling_of_the_path_is_refused() {
    let bytes = good().bytes();
    let cases: Vec<_> = GUARDED_BY_ANOTHER_NAME
        .iter()
        .map(|target| {
            let line = format!("POST {target} ");
            let sent = replaced(&bytes, b"POST /voice ", line.as_bytes());
            Case::new(target, sent, Open(&[403]))
        })
        .collect();
    stage::play("paths", stage::ROUTES, &cases);
}

/// With a single guarded `/*` there is no other route to be confused with, so the target is
/// forwarded as it was signed.
#[test]
fn signed_unusual_paths_are_admitted_where_no_route_is_shadowed() {
    let cases: Vec<_> = GUARDED_BY_ANOTHER_NAME
        .iter()
        .map(|target| Case::new(target, Message::get(target).signed().bytes(), Open(&[200])))
        .collect();
    stage::play("paths", "[limits]\nhead_timeout = \"1s\"", &cases);
}
