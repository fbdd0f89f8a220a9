//! `Host` behind a trusted proxy: checked even though the proxy names the public host, and never
//! missing towards the app (RFC 9112 §3.2).

use crate::support::{
    TOKEN,
    frames::{Frames, StreamResult},
    gate::Gate,
    http2::{field, request_fields},
    latin1,
    message::Message,
    upstream::Upstream,
};

const NAME: &str = "a1.ngrok.app";

/// A gate that believes a proxy on loopback.
fn gate(upstream: &Upstream) -> Gate {
    Gate::start(&format!(
        "upstream = \"{}\"\nauth_tokens = [\"{TOKEN}\"]\nhttp2_cleartext = true\n\
         [trust]\nproxies = [\"127.0.0.1\"]\nhosts = [\"*.ngrok.app\"]\n",
        upstream.url()
    ))
}

/// A form as a tunnel forwards it, signed for the tunnel's name.
fn tunnelled() -> Message {
    let message = Message::form("/voice", "a=1").host("localhost");
    let signature = message.signature_at(TOKEN, &format!("https://{NAME}"));
    message
        .field("X-Forwarded-Host", NAME)
        .field("X-Forwarded-Proto", "https")
        .field("X-Twilio-Signature", &signature)
}

/// The same with other bytes in place of its `Host` line, as this version.
fn with_host_line(line: &str, version: &str) -> Vec<u8> {
    let text = latin1(&tunnelled().bytes()).replacen("Host: localhost\r\n", line, 1);
    text.replacen("HTTP/1.1", version, 1).into_bytes()
}

/// What is no host is malformed, whatever the proxy says.
#[test]
fn host_that_is_none_is_malformed_behind_a_proxy() {
    let upstream = Upstream::start();
    let gate = gate(&upstream);
    let mut wrong = Vec::new();
    for host in ["a b", "a\tb", "a/b", "a?b", "a#b", "a@b", "a, b", "a:b", "[::1", "a:1:2", "a\\b"]
    {
        let before = upstream.bytes();
        let mut client = gate.connect();
        client.send(&with_host_line(&format!("Host: {host}\r\n"), "HTTP/1.1"));
        let status = client.response().status;
        if status != 400 || upstream.bytes() > before {
            wrong.push(format!("{host:?}: {status}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("; "));
}

/// Hosts that are some stay as they are: the proxy's own name for the gate is nobody's business.
#[test]
fn any_host_passes_behind_a_proxy() {
    let upstream = Upstream::start();
    let gate = gate(&upstream);
    for host in ["localhost:8080", "[::1]:80", "127.0.0.1", "x_y.example", NAME] {
        let mut client = gate.connect();
        client.send(&with_host_line(&format!("Host: {host}\r\n"), "HTTP/1.1"));
        assert_eq!(client.response().status, 200, "{host}");
        assert_eq!(upstream.taken().pop().unwrap().values("Host"), [host]);
    }
}

/// Where there is no host, the app gets the name that the proxy forwards: a request without `Host`
/// is no HTTP/1.1.
#[test]
fn missing_host_is_the_forwarded_one_behind_a_proxy() {
    let upstream = Upstream::start();
    let gate = gate(&upstream);
    let mut wrong = Vec::new();
    for (line, version) in [
        ("", "HTTP/1.0"),
        ("Host:\r\n", "HTTP/1.0"),
        ("Host: \r\n", "HTTP/1.1"),
        ("Host:\r\n", "HTTP/1.1"),
    ] {
        let mut client = gate.connect();
        client.send(&with_host_line(line, version));
        let status = client.response().status;
        let told = upstream.taken().pop().map(|request| request.values("Host"));
        if status != 200 || told != Some(vec![NAME.to_owned()]) {
            wrong.push(format!("{version} {line:?}: {status}, the app got {told:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Over HTTP/2 the host may stand in `host` alone, which no library has looked at.
#[test]
fn host_that_is_none_is_malformed_over_http2_behind_a_proxy() {
    let upstream = Upstream::start();
    let gate = gate(&upstream);
    let mut wrong = Vec::new();
    for host in ["a b", "a/b", "a@b", "a, b"] {
        let mut fields = request_fields(&tunnelled());
        fields.retain(|(name, _)| name != b":authority");
        fields.push(field("host", host));
        let before = upstream.bytes();
        let mut frames = Frames::open(gate.connect());
        let stream = frames.stream();
        frames.fields(stream, &fields, false);
        frames.data(stream, b"a=1", true);
        let heard = frames.result_of(stream);
        let malformed = matches!(
            heard,
            StreamResult::Status(400) | StreamResult::Reset(_) | StreamResult::Gone
        );
        if !malformed || upstream.bytes() > before {
            wrong.push(format!("{host:?}: {heard:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("; "));
}
