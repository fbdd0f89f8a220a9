//! The `Host` of a request.

use super::{Case, Expect, Expect::*, good, replaced, stage};
use crate::support::{HOST, message::Message};

/// Lines that replace `Host: hooks.example.com`.
const HOSTS: &[(&str, &[u8], Expect)] = &[
    ("as it should be", b"Host: hooks.example.com\r\n", Admitted),
    ("capitals", b"HOST: HOOKS.Example.COM\r\n", Admitted),
    ("the port of https", b"Host: hooks.example.com:443\r\n", Admitted),
    ("the port of http", b"Host: hooks.example.com:80\r\n", Admitted),
    ("spaces around it", b"Host: \t hooks.example.com \t\r\n", Admitted),
    ("none", b"", Malformed),
    ("its look-alike alone", b"Host_: hooks.example.com\r\n", Malformed),
    ("twice the same", b"Host: hooks.example.com\r\nHost: hooks.example.com\r\n", Malformed),
    (
        "twice, in two spellings",
        b"Host: hooks.example.com\r\nhost: HOOKS.example.com\r\n",
        Malformed,
    ),
    ("ours and another", b"Host: hooks.example.com\r\nHost: elsewhere.example\r\n", Malformed),
    ("another and ours", b"Host: elsewhere.example\r\nHost: hooks.example.com\r\n", Malformed),
    ("ours and none", b"Host: hooks.example.com\r\nHost:\r\n", Malformed),
    ("none and ours", b"Host:\r\nHost: hooks.example.com\r\n", Malformed),
    ("a space before the colon", b"Host : hooks.example.com\r\n", Malformed),
    ("folded", b"Host: hooks.example.com\r\n elsewhere.example\r\n", Malformed),
    ("a NUL", b"Host: hooks.example.com\0\r\n", Malformed),
    ("a bare CR", b"Host: hooks.example.com\rX: y\r\n", Malformed),
    ("empty", b"Host:\r\n", Refused(403)),
    ("a space", b"Host: \r\n", Refused(403)),
    ("another", b"Host: elsewhere.example\r\n", Refused(403)),
    ("an address", b"Host: 127.0.0.1\r\n", Refused(403)),
    ("localhost", b"Host: localhost\r\n", Refused(403)),
    ("a part of it", b"Host: example.com\r\n", Refused(403)),
    ("a name below it", b"Host: x.hooks.example.com\r\n", Refused(403)),
    ("it as a beginning", b"Host: hooks.example.com.elsewhere.example\r\n", Refused(403)),
    ("it as an end", b"Host: xhooks.example.com\r\n", Refused(403)),
    ("a dot at the end", b"Host: hooks.example.com.\r\n", Refused(403)),
    ("a dot and a port", b"Host: hooks.example.com.:443\r\n", Refused(403)),
    ("a dot at the beginning", b"Host: .hooks.example.com\r\n", Refused(403)),
    ("a wildcard", b"Host: *.example.com\r\n", Refused(403)),
    ("a user", b"Host: user@hooks.example.com\r\n", Refused(403)),
    ("a user and a password", b"Host: user:hooks.example.com@elsewhere.example\r\n", Refused(403)),
    ("ours as a user", b"Host: hooks.example.com@elsewhere.example\r\n", Refused(403)),
    ("another port", b"Host: hooks.example.com:8080\r\n", Refused(403)),
    ("no port behind the colon", b"Host: hooks.example.com:\r\n", Open(&[403, 200])),
    ("port 0", b"Host: hooks.example.com:0\r\n", Refused(403)),
    ("a port of 2^16 and 443", b"Host: hooks.example.com:65979\r\n", Refused(403)),
    ("a port of 2^32 and 443", b"Host: hooks.example.com:4294967739\r\n", Refused(403)),
    ("a port with a plus", b"Host: hooks.example.com:+443\r\n", Refused(403)),
    ("a port with a minus", b"Host: hooks.example.com:-443\r\n", Refused(403)),
    ("a port with a space", b"Host: hooks.example.com: 443\r\n", Refused(403)),
    ("a port with a letter", b"Host: hooks.example.com:443x\r\n", Refused(403)),
    ("two ports", b"Host: hooks.example.com:443:443\r\n", Refused(403)),
    ("a port with a path", b"Host: hooks.example.com:443/voice\r\n", Refused(403)),
    ("IPv6", b"Host: [::1]\r\n", Refused(403)),
    ("IPv6 that holds ours", b"Host: [::1]hooks.example.com\r\n", Refused(403)),
    ("ours in brackets", b"Host: [hooks.example.com]\r\n", Refused(403)),
    ("a bracket that does not close", b"Host: [::1\r\n", Refused(403)),
    ("a list", b"Host: hooks.example.com, elsewhere.example\r\n", Refused(403)),
    ("a list of the same", b"Host: hooks.example.com,hooks.example.com\r\n", Refused(403)),
    ("a space within", b"Host: hooks.example.com elsewhere.example\r\n", Refused(403)),
    ("a tab within", b"Host: hooks.example.com\telsewhere.example\r\n", Refused(403)),
    ("a scheme", b"Host: https://hooks.example.com\r\n", Refused(403)),
    ("a path", b"Host: hooks.example.com/\r\n", Refused(403)),
    ("a query", b"Host: hooks.example.com?\r\n", Refused(403)),
    ("a fragment", b"Host: hooks.example.com#\r\n", Refused(403)),
    ("a backslash", b"Host: hooks.example.com\\elsewhere.example\r\n", Refused(403)),
    ("a semicolon", b"Host: hooks.example.com;x\r\n", Refused(403)),
    ("quoted", b"Host: \"hooks.example.com\"\r\n", Refused(403)),
    ("escaped", b"Host: hooks%2eexample.com\r\n", Refused(403)),
    ("an escaped NUL", b"Host: hooks.example.com%00\r\n", Refused(403)),
    ("8-bit", b"Host: hooks.example.com\xe4\r\n", Refused(403)),
    ("a full-width dot", "Host: hooks。example。com\r\n".as_bytes(), Refused(403)),
    ("a letter that only looks the same", "Host: hооks.example.com\r\n".as_bytes(), Refused(403)),
];

/// Fields that some servers use instead of `Host`; the gate ignores them.
const BELIEVED_ELSEWHERE: &[&str] = &[
    "X-Forwarded-Host: hooks.example.com",
    "X-Host: hooks.example.com",
    "X-Original-Host: hooks.example.com",
    "X-HTTP-Host-Override: hooks.example.com",
    "Forwarded: host=hooks.example.com;proto=https",
];

fn in_place_of_host(bytes: &[u8], lines: &[u8]) -> Vec<u8> {
    replaced(bytes, format!("Host: {HOST}\r\n").as_bytes(), lines)
}

#[test]
fn requests_for_another_host_are_refused() {
    let bytes = good().bytes();
    let mut cases: Vec<_> = HOSTS
        .iter()
        .map(|(name, lines, expect)| Case::new(name, in_place_of_host(&bytes, lines), *expect))
        .collect();
    for believed in BELIEVED_ELSEWHERE {
        let line = format!("Host: elsewhere.example\r\n{believed}\r\n");
        let sent = in_place_of_host(&bytes, line.as_bytes());
        cases.push(Case::new(believed, sent, Refused(403)));
    }
    stage::play("host", stage::ROUTES, &cases);
}

/// Without a signature a client does not learn which host is served.
#[test]
fn unsigned_requests_get_the_same_refusal_for_every_host() {
    let bytes = Message::form("/voice", "a=1").bytes();
    let cases: Vec<_> = HOSTS
        .iter()
        .map(|(name, lines, expect)| {
            let expect = if matches!(expect, Malformed) { Malformed } else { Refused(418) };
            Case::new(name, in_place_of_host(&bytes, lines), expect)
        })
        .collect();
    stage::play("host", stage::ROUTES, &cases);
}

/// A public route is served for its hosts only.
#[test]
fn public_route_refuses_other_hosts() {
    let bytes = Message::get("/status/up").bytes();
    let cases: Vec<_> = HOSTS
        .iter()
        .map(|(name, lines, expect)| Case::new(name, in_place_of_host(&bytes, lines), *expect))
        .collect();
    stage::play("host", stage::ROUTES, &cases);
}
