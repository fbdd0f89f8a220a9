//! `[trust]`: forwarding headers set the origin only if they come from a listed proxy.

use crate::support::{ORIGIN, TOKEN, gate::Gate, message::Message, upstream::Upstream};

/// A gate that trusts this proxy; `more` is put before the first table.
fn behind(upstream: &Upstream, proxy: &str, more: &str) -> Gate {
    Gate::start(&format!(
        "upstream = \"{}\"\nauth_tokens = [\"{TOKEN}\"]\n{more}\n[trust]\nproxies = [\"{proxy}\"]\n\
         hosts = [\"*.ngrok.app\", \"hooks.example.com\"]\n",
        upstream.url()
    ))
}

/// A form as a tunnel forwards it, signed for this origin.
fn tunnelled(origin: &str, host: &str, fields: &[(&str, &str)]) -> Message {
    let message = Message::form("/voice?a=1", "From=1").host(host);
    let signature = message.signature_at(TOKEN, origin);
    let message = message.field("X-Twilio-Signature", &signature);
    fields.iter().fold(message, |message, (name, value)| message.field(name, value))
}

fn assert_admitted(gate: &Gate, message: &Message) {
    let status = gate.answer(message).status;
    let outcome = gate.outcome_of(message);
    assert_eq!((status, outcome.reason()), (200, ""), "{message:?} {outcome:?}");
    assert_eq!(outcome.text("candidate"), "received", "{message:?}");
}

fn assert_refused(gate: &Gate, message: &Message, reason: &str) {
    let status = gate.answer(message).status;
    assert_eq!((status, gate.outcome_of(message).reason()), (403, reason), "{message:?}");
}

const NGROK: [(&str, &str); 2] =
    [("X-Forwarded-Host", "a1.ngrok.app"), ("X-Forwarded-Proto", "https")];

#[test]
fn trusted_tunnel_sets_the_origin() {
    let upstream = Upstream::start();
    let gate = behind(&upstream, "127.0.0.1/32", "");
    let tunnel = "https://a1.ngrok.app";
    assert_admitted(&gate, &tunnelled(tunnel, "a1.ngrok.app", &NGROK));
    assert_admitted(&gate, &tunnelled(tunnel, "localhost:8080", &NGROK));
    let forwarded = [("Forwarded", "for=192.0.2.1;host=\"a1.ngrok.app\";proto=https")];
    assert_admitted(&gate, &tunnelled(tunnel, "localhost", &forwarded));
    let balancer = [("X-Forwarded-Proto", "https"), ("X-Forwarded-Port", "443")];
    assert_admitted(&gate, &tunnelled("https://hooks.example.com", "hooks.example.com", &balancer));
    let plain = [("X-Forwarded-Proto", "http")];
    assert_admitted(&gate, &tunnelled("http://b.a.ngrok.app", "b.a.ngrok.app", &plain));
    let port = [NGROK[0], NGROK[1], ("X-Forwarded-Port", "8443")];
    assert_admitted(&gate, &tunnelled("https://a1.ngrok.app:8443", "x", &port));
}

#[test]
fn forwarded_origin_is_the_only_accepted_origin() {
    let upstream = Upstream::start();
    let gate = behind(&upstream, "127.0.0.1", &format!("public_url = \"{ORIGIN}/app\""));
    assert_admitted(&gate, &tunnelled("https://a1.ngrok.app/app", "x", &NGROK));
    assert_admitted(&gate, &tunnelled(&format!("{ORIGIN}/app"), "hooks.example.com", &[]));
    let heard = upstream.bytes();
    for origin in
        ["https://a1.ngrok.app", "http://a1.ngrok.app/app", "https://hooks.example.com/app"]
    {
        assert_refused(&gate, &tunnelled(origin, "x", &NGROK), "signature_mismatch");
    }
    let plain = [NGROK[0], ("X-Forwarded-Proto", "http")];
    assert_refused(
        &gate,
        &tunnelled("https://a1.ngrok.app/app", "x", &plain),
        "signature_mismatch",
    );
    assert_eq!(upstream.bytes(), heard, "the app heard of what was refused");
}

#[test]
fn unlisted_or_contradictory_forwarded_hosts_are_refused() {
    let upstream = Upstream::start();
    let gate = behind(&upstream, "127.0.0.0/8", "");
    for (origin, host, fields) in [
        ("https://evil.example", "a1.ngrok.app", &[("X-Forwarded-Host", "evil.example")][..]),
        ("https://evil.example", "evil.example", &[("X-Forwarded-Proto", "https")]),
        ("https://a1.ngrok.app", "a1.ngrok.app", &[]),
        ("https://a1.ngrok.app", "x", &[NGROK[0], NGROK[0], NGROK[1]]),
        ("https://a1.ngrok.app", "x", &[NGROK[0], ("Forwarded", "host=b.ngrok.app")]),
        ("https://a1.ngrok.app", "x", &[NGROK[0], ("X-Forwarded-Proto", "gopher")]),
    ] {
        assert_refused(&gate, &tunnelled(origin, host, fields), "unknown_host");
    }
    assert_eq!(upstream.bytes(), 0, "the app heard of it");
}

#[test]
fn forwarded_headers_from_unlisted_peer_are_ignored() {
    let upstream = Upstream::start();
    let gate = behind(&upstream, "192.0.2.0/24", "");
    assert_refused(
        &gate,
        &tunnelled("https://a1.ngrok.app", "a1.ngrok.app", &NGROK),
        "unknown_host",
    );
    let gate = behind(&upstream, "unix", &format!("public_url = \"{ORIGIN}\""));
    assert_refused(
        &gate,
        &tunnelled("https://a1.ngrok.app", "a1.ngrok.app", &NGROK),
        "unknown_host",
    );
    assert_eq!(upstream.bytes(), 0, "the app heard of it");
    assert_admitted(&gate, &tunnelled(ORIGIN, "hooks.example.com", &NGROK));
}

/// The forwarded headers carry the judged origin, not the address that the proxy connected to.
#[test]
fn app_receives_the_forwarded_headers_that_were_judged() {
    let upstream = Upstream::start();
    let gate = behind(&upstream, "127.0.0.1", "forwarded_headers = \"append\"");
    let forwarded = [("Forwarded", "host=a1.ngrok.app;proto=http")];
    assert_admitted(&gate, &tunnelled("http://a1.ngrok.app", "localhost:8080", &forwarded));
    let seen = upstream.only();
    assert_eq!(seen.values("X-Forwarded-Host"), ["a1.ngrok.app"]);
    assert_eq!(seen.values("X-Forwarded-Proto"), ["http"]);
    assert_eq!(seen.values("Host"), ["localhost:8080"]);
}
