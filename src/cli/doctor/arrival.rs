//! Judges what came back from the public URL, and what of it arrived at the gate.

use std::io;

use super::{
    finding::Finding,
    rehearsal::{self, of},
};
use crate::cli::http::Answer;
use crate::config::Config;
use crate::downstream::Arrival;
use crate::net::Listen;
use crate::routes::Route;
use crate::signature::{Origin, Scheme};

/// The check of the public URL.
pub(super) const PUBLIC_URL: &str = "public_url";
/// Lines of which one is the body of every refusal of a gate, or its beginning.
const GATE_LINES: [&[u8]; 3] =
    [b"No X-Twilio-Signature", b"Signature does not match", b"Not proven to come from Twilio"];
const PASS_HOST: &str = "let the proxy pass it on (nginx: proxy_set_header Host $http_host; Caddy: no \
                         header_up Host; ngrok: no --host-header)";

/// The answer, and the request as it arrived at the gate.
pub(super) struct Seen {
    pub(super) answer: io::Result<Answer>,
    pub(super) arrival: Option<Arrival>,
    /// Whether a nonce was used, so that a missing arrival is a proof.
    pub(super) is_proof: bool,
}

/// Judges one call of a public URL.
pub(super) fn judge(config: &Config, origin: &Origin, seen: &Seen) -> Vec<Finding> {
    match (&seen.arrival, &seen.answer) {
        (Some(arrival), answer) => {
            let status = answer.as_ref().ok().map(Answer::status);
            arrived(config, origin, arrival, status)
        }
        (None, Ok(answer)) => vec![strayed(config, origin, answer, seen.is_proof)],
        (None, Err(error)) => {
            let says = format!("{origin}: no HTTP answer: {error}");
            let cure = match origin.scheme() {
                Scheme::Http => {
                    "if TLS is spoken there, write https:// in public_url, here and at Twilio"
                }
                Scheme::Https => "let the proxy there forward to the gate",
            };
            vec![Finding::fail(PUBLIC_URL, says, cure)]
        }
    }
}

/// Judges an answer of something that is not this gate.
fn strayed(config: &Config, origin: &Origin, answer: &Answer, is_proof: bool) -> Finding {
    let status = answer.status();
    if let (300..=399, Some(location)) = (status, answer.field("Location")) {
        return redirected(origin, status, &location);
    }
    let listeners: Vec<String> = config.listen.iter().map(Listen::to_string).collect();
    let here = listeners.join(", ");
    if GATE_LINES.iter().any(|line| answer.body.starts_with(line)) {
        if !is_proof {
            let says =
                format!("{origin} leads to a gate, which may be another one: it answers {status}");
            return Finding::warn(
                PUBLIC_URL,
                says,
                "with [admin] doctor proves that it is this one",
            );
        }
        let says = format!("{origin} leads to another gate: it answers {status}");
        let cure = format!("let the proxy forward to this gate, which listens on {here}");
        return Finding::fail(PUBLIC_URL, says, cure);
    }
    let server = answer.field("Server").map(|name| format!(", Server: {name}")).unwrap_or_default();
    let cure = match status {
        400 if origin.scheme() == Scheme::Http => {
            "if that port expects TLS, write https:// in public_url, here and at Twilio".to_owned()
        }
        502..=504 => format!("let the proxy forward to the gate, which listens on {here}"),
        _ => format!(
            "let the proxy forward every path of this host to the gate, which listens on {here}; or \
             correct public_url, here and at Twilio"
        ),
    };
    let says = format!("{origin} is answered by something else: {status}{server}");
    Finding::fail(PUBLIC_URL, says, cure)
}

fn redirected(origin: &Origin, status: u16, location: &str) -> Finding {
    let says = format!("{origin} redirects ({status}) to {}", shown(location));
    let target = location.split_once("://").and_then(|(scheme, rest)| {
        let authority = rest.split(['/', '?', '#']).next()?;
        Some(format!("{scheme}://{authority}{}", origin.prefix()))
    });
    let cure = match target {
        Some(target) if target != origin.to_string() => format!(
            "write public_url = \"{}\", and call that at Twilio: it signs the URL that it calls, and no \
             other one after a redirect",
            shown(&target)
        ),
        _ => "stop the redirect of this path: Twilio does not sign the URL after a redirect"
            .to_owned(),
    };
    Finding::fail(PUBLIC_URL, says, cure)
}

/// Judges a request that has arrived here.
fn arrived(
    config: &Config,
    origin: &Origin,
    arrival: &Arrival,
    status: Option<u16>,
) -> Vec<Finding> {
    let mut findings: Vec<Finding> = [
        prefix(origin, arrival),
        host(config, origin, arrival),
        proto(config, origin, arrival),
        answer(origin, status),
    ]
    .into_iter()
    .flatten()
    .collect();
    let how = described(arrival);
    if findings.iter().any(Finding::is_fail) {
        let says = format!("{origin} leads to this gate, but not unchanged; {how}");
        findings.insert(0, Finding::warn(PUBLIC_URL, says, "see the next lines"));
    } else {
        findings.insert(0, Finding::ok(PUBLIC_URL, format!("{origin} leads to this gate; {how}")));
        findings.extend(rehearsal::finding(config, origin, arrival));
    }
    findings
}

fn prefix(origin: &Origin, arrival: &Arrival) -> Option<Finding> {
    let (own, arrived) = (origin.prefix(), arrival.prefix.as_str());
    if arrived.is_empty() {
        return None;
    }
    let (says, cure) = if arrived == own {
        let bare = origin.to_string();
        let bare = bare.strip_suffix(own).unwrap_or(&bare);
        (
            format!("{own} of public_url is not stripped: the gate would expect it twice"),
            format!(
                "write public_url = \"{bare}\" and {own} in the paths of the routes, or let the proxy strip it"
            ),
        )
    } else {
        (
            format!("the path arrives with {} before it", shown(arrived)),
            "let the proxy pass the path unchanged (nginx: nothing after the name in proxy_pass; Caddy: \
             no rewrite)"
                .to_owned(),
        )
    };
    Some(Finding::fail(PUBLIC_URL, says, cure))
}

/// Not for a proxy that is trusted to state the host.
fn host(config: &Config, origin: &Origin, arrival: &Arrival) -> Option<Finding> {
    if is_trusted(config, arrival) {
        return None;
    }
    let refuses = |route: &&Route| !route.hosts.allows(&arrival.host);
    let route = of(config, origin).find(refuses)?;
    let host = shown(&arrival.host);
    let says = format!(
        "Host arrives as {host}, not as {}: {} refuses that as unknown_host",
        origin.authority(),
        route.path
    );
    let cure = format!("{PASS_HOST}, or write allowed_hosts = [\"{host}\"]");
    Some(Finding::fail(PUBLIC_URL, says, cure))
}

/// The gate does not need it, the app may.
fn proto(config: &Config, origin: &Origin, arrival: &Arrival) -> Option<Finding> {
    let says_http = |(name, value): &(String, String)| {
        let first = value.split(',').next().unwrap_or_default().trim();
        name.eq_ignore_ascii_case("X-Forwarded-Proto") && first.eq_ignore_ascii_case("http")
    };
    let is_wrong = origin.scheme() == Scheme::Https && arrival.forwarded.iter().any(says_http);
    (is_wrong && !is_trusted(config, arrival)).then(|| {
        let says = "X-Forwarded-Proto arrives as http: an app that builds URLs from it is wrong";
        let cure = "let what ends TLS set it, and the proxies behind it keep it";
        Finding::warn(PUBLIC_URL, says, cure)
    })
}

fn answer(origin: &Origin, status: Option<u16>) -> Option<Finding> {
    let came = status.map_or_else(|| "nothing".to_owned(), |status| status.to_string());
    (status != Some(204)).then(|| {
        let says = format!("the answer of the gate is changed on the way: 204 became {came}");
        let cure = format!("let what answers for {origin} pass answers on unchanged");
        Finding::fail(PUBLIC_URL, says, cure)
    })
}

fn is_trusted(config: &Config, arrival: &Arrival) -> bool {
    config.table.trust().is_some_and(|trust| trust.trusts(arrival.peer))
}

fn described(arrival: &Arrival) -> String {
    let fields = arrival.forwarded.iter().map(|(name, value)| format!(", {name}: {value}"));
    let peer = arrival.peer.map_or_else(|| "a Unix socket".to_owned(), |peer| peer.to_string());
    let tls = if arrival.tls { "with TLS of its own" } else { "without TLS" };
    format!(
        "arrives from {peer} over {} {tls}; Host: {}{}",
        arrival.http,
        shown(&arrival.host),
        shown(&fields.collect::<String>())
    )
}

/// Cuts a text from the network.
fn shown(text: &str) -> String {
    text.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(more: &str) -> Config {
        let text = format!(
            "upstream = \"http://127.0.0.1:1\"\nauth_tokens = [\"7d3c9f1e5a2b48060c1d9e8f7a6b5c40\"]\n{more}"
        );
        crate::config::parse(&text, "t", Path::new(".")).unwrap()
    }

    fn arrival(prefix: &str, host: &str, forwarded: &[(&str, &str)]) -> Arrival {
        Arrival {
            prefix: prefix.to_owned(),
            host: host.to_owned(),
            forwarded: forwarded.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect(),
            peer: Some([127, 0, 0, 1].into()),
            tls: false,
            http: "HTTP/1.1".to_owned(),
        }
    }

    fn judged(more: &str, arrival: Option<Arrival>, answer: &str) -> String {
        let config = config(more);
        let origin = config.table.routes()[0].origins[0].clone();
        let answer = Answer::parse(answer.as_bytes()).ok_or(io::ErrorKind::UnexpectedEof.into());
        let findings = judge(&config, &origin, &Seen { answer, arrival, is_proof: true });
        findings.iter().map(|finding| format!("{finding}\n")).collect()
    }

    const PUBLIC: &str = "public_url = \"https://h.example\"\n";
    const EMPTY: &str = "HTTP/1.1 204 No Content\r\n\r\n";

    #[test]
    fn an_unchanged_arrival_is_right_and_a_signed_request_would_pass() {
        for (more, forwarded) in [
            (PUBLIC, &[][..]),
            (PUBLIC, &[("X-Forwarded-Proto", "https")]),
            (
                "public_url = \"https://h.example\"\n[[route]]\npath = \"/a/*\"\nmethods = [\"POST\"]\n",
                &[],
            ),
            ("public_url = \"https://h.example/prod\"\n", &[]),
        ] {
            let said = judged(more, Some(arrival("", "h.example", forwarded)), EMPTY);
            assert!(said.contains("ok    signed") && !said.contains("FAIL"), "{more}{said}");
        }
    }

    const PROD: &str = "public_url = \"https://h.example/prod\"\n";
    const HTTP: &str = "public_url = \"http://h.example\"\n";
    const TRUST: &str = "public_url = \"https://h.example\"\n[trust]\nproxies = [\"127.0.0.1\"]\n\
        hosts = [\"*.ngrok.app\"]\n";
    const PROTO_HTTP: &[(&str, &str)] = &[("X-Forwarded-Proto", "http")];

    fn assert_named(said: &str, says: &str, cure: &str) {
        let found = said.lines().any(|line| line.contains(says) && !line.starts_with("ok"));
        assert!(found && said.contains(cure), "{says}: {cure}: {said}");
    }

    #[test]
    fn each_change_of_the_request_is_named_with_its_cure() {
        for (more, prefix, host, forwarded, says, cure) in [
            (
                PUBLIC,
                "",
                "127.0.0.1:8080",
                &[][..],
                "Host arrives as 127.0.0.1:8080",
                "[\"127.0.0.1:8080\"]",
            ),
            (
                PUBLIC,
                "",
                "h.example:8443",
                &[],
                "Host arrives as h.example:8443",
                "proxy_set_header Host",
            ),
            (
                PROD,
                "/prod",
                "h.example",
                &[],
                "/prod of public_url is not stripped",
                "\"https://h.example\"",
            ),
            (PUBLIC, "/gate", "h.example", &[], "with /gate before it", "pass the path unchanged"),
            (
                PUBLIC,
                "",
                "h.example",
                PROTO_HTTP,
                "X-Forwarded-Proto arrives as http",
                "what ends TLS",
            ),
            (TRUST, "", "h.example", PROTO_HTTP, "would be refused", "public_url"),
        ] {
            let said = judged(more, Some(arrival(prefix, host, forwarded)), EMPTY);
            assert_named(&said, says, cure);
        }
    }

    #[test]
    fn an_allowed_host_is_right() {
        let allowed = format!("{PUBLIC}allowed_hosts = [\"127.0.0.1:8080\"]\n");
        assert!(
            judged(&allowed, Some(arrival("", "127.0.0.1:8080", &[])), EMPTY).starts_with("ok")
        );
    }

    #[test]
    fn a_changed_answer_is_named_with_its_cure() {
        for (answer, says) in
            [("HTTP/1.1 200 OK\r\n\r\n", "204 became 200"), ("", "204 became nothing")]
        {
            let said = judged(PUBLIC, Some(arrival("", "h.example", &[])), answer);
            assert_named(&said, says, "unchanged");
        }
    }

    #[test]
    fn an_answer_of_something_else_is_named_with_its_cure() {
        for (more, answer, says, cure) in [
            (PUBLIC, "404 Not Found\r\nServer: nginx", "404, Server: nginx", "every path"),
            (PUBLIC, "502 Bad Gateway", "something else: 502", "forward to the gate"),
            (HTTP, "400 Bad Request", "something else: 400", "write https://"),
            (PUBLIC, "418 T\r\n\r\nNo X-Twilio-Signature. This", "another gate", "this gate"),
        ] {
            let said = judged(more, None, &format!("HTTP/1.1 {answer}\r\n\r\n"));
            assert_named(&said, says, cure);
        }
        assert_named(&judged(PUBLIC, None, ""), "no HTTP answer", "forward to the gate");
    }

    #[test]
    fn a_redirect_is_named_with_the_url_to_write_instead() {
        for (more, answer, says, cure) in [
            (HTTP, "308 P\r\nLocation: https://h.example/x", "(308)", "\"https://h.example\""),
            (
                PUBLIC,
                "301 M\r\nLocation: https://www.h.example/x",
                "(301)",
                "\"https://www.h.example\"",
            ),
            (PUBLIC, "302 F\r\nLocation: /login", "to /login", "stop the redirect"),
        ] {
            let said = judged(more, None, &format!("HTTP/1.1 {answer}\r\n\r\n"));
            assert_named(&said, says, cure);
        }
    }
}
