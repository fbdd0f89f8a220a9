//! Requests refused by their body: too large, late, truncated, empty or not covered.

use super::{BIG, EMPTY_FORM, SLOW, assert_admitted, assert_refused, forbidden};
use crate::support::{
    gate::Gate,
    message::{FORM, Message},
    signer::sha256_hex,
    upstream::Upstream,
};

#[test]
fn body_over_the_limit_is_refused() {
    let upstream = Upstream::start();
    let gate = Gate::with(&upstream, "[limits]\nmax_body_bytes = 10");
    assert_admitted(&gate, &Message::form("/voice", "a=12345678").signed());
    let before = upstream.bytes();
    let message = Message::form("/voice", "a=123456789").signed();
    let mut client = gate.connect();
    client.send(&message.head()); // Content-Length is over the limit: no body needed
    BIG.assert(&client.response(), &gate.outcome_of(&message), "by its length");
    let mut client = gate.connect();
    let chunked = message.chunked_bytes(4);
    client.send(&chunked[..chunked.len() - 7]); // the third chunk passes the limit: no end needed
    BIG.assert(&client.response(), &gate.outcome_of(&message), "by its chunks");
    assert_eq!(upstream.bytes(), before);
}

#[test]
fn route_body_limit_overrides_the_global_limit() {
    let upstream = Upstream::start();
    let routes = "[limits]\nmax_body_bytes = 10\n[[route]]\npath = \"/big\"\nmax_body_bytes = 20\n\
                  [[route]]\npath = \"/*\"";
    let gate = Gate::with(&upstream, routes);
    assert_admitted(&gate, &Message::form("/big", "a=123456789").signed());
    let small = Message::form("/small", "a=123456789").signed();
    BIG.assert(&gate.answer(&small), &gate.outcome_of(&small), "elsewhere");
}

#[test]
fn missing_body_is_refused_after_body_timeout() {
    let upstream = Upstream::start();
    let gate = Gate::with(&upstream, "[limits]\nbody_timeout = \"200ms\"");
    let message = Message::form("/voice", "a=1&b=2").signed();
    let whole = message.bytes();
    for sent in [message.head(), whole[..whole.len() - 1].to_vec()] {
        let mut client = gate.connect();
        client.send(&sent);
        SLOW.assert(&client.response(), &gate.outcome_of(&message), "a part of the body");
        assert!(client.is_at_end(), "what follows a body that was never read is no request");
    }
    assert_eq!(upstream.bytes(), 0);
}

#[test]
fn truncated_body_is_refused() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let message = Message::form("/voice", "a=1&b=2").signed();
    let chunked = message.chunked_bytes(3);
    let broken_chunk =
        [&message.clone().field("Transfer-Encoding", "chunked").head()[..], b"zz\r\n"];
    let whole = message.bytes();
    let sent = [
        whole[..whole.len() - 1].to_vec(),
        chunked[..chunked.len() - 4].to_vec(),
        broken_chunk.concat(),
    ];
    for bytes in sent {
        let mut client = gate.connect();
        client.send(&bytes);
        client.half_close();
        assert_eq!(gate.outcome_of(&message).reason(), "body_incomplete");
        let answered = client.try_response().map_or(400, |response| response.status);
        assert_eq!(answered, 400, "if anything is answered");
        assert!(client.is_at_end());
    }
    assert_eq!(upstream.bytes(), 0);
}

#[test]
fn form_without_parameters_is_refused_unless_allowed() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let empty = ["", "&", "&&&"].map(|body| Message::form("/voice", body).signed());
    assert_refused(&gate, &upstream, &EMPTY_FORM, &empty);
    let gate = Gate::with(&upstream, "allow_empty_form = true");
    for message in empty {
        assert_admitted(&gate, &message);
    }
}

#[test]
fn body_not_covered_by_the_signature_is_refused() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let hashed = format!("/e?bodySHA256={}", sha256_hex(b"a=1"));
    let other_hash = format!("/e?bodySHA256={}", sha256_hex(b"b=1"));
    let form = |target: &str| Message::form(target, "a=1");
    let messages = [
        Message::post("/e", "application/json", b"{\"a\":1}").signed(),
        Message::post("/e", "multipart/form-data; boundary=b", b"--b--").signed(),
        Message::post("/e", "text/plain", b"a=1").signed(),
        Message::new("POST", "/e").body(b"a=1").signed(),
        Message::post(&other_hash, "text/plain", b"a=1").signed(),
        Message::post(&format!("{hashed}&{}", &other_hash[3..]), "text/plain", b"a=1").signed(),
        Message::get("/e").body(b"a=1").signed(),
        Message::get("/e").field("Content-Type", FORM).body(b"a=1").signed(),
        Message::get(&hashed).body(b"a=1").signed(),
        Message::get(&hashed).signed(),
        Message::new("POST", &hashed).signed(),
        Message::form(&hashed, "=").signed(),
        form(&other_hash).signed(),
        Message::handshake(&hashed).signed(),
        form("/e").field("Content-Encoding", "gzip").signed(),
        form("/e").field("Content-Encoding", "identity").signed(),
        Message::post(&hashed, "text/plain", b"a=1").field("Content-Encoding", "br").signed(),
        form("/e").signed().field("Content-Type", FORM),
        form("/e").signed().field("content-type", "text/plain"),
        Message::post("/e", "application/x-www-form-urlencoded; charset=utf-16", b"a=1").signed(),
        Message::post("/e", "application/x-www-form-urlencoded; charset=latin1", b"a=1").signed(),
        Message::handshake("/e").body(b"a=1").signed(),
    ];
    assert_refused(&gate, &upstream, &forbidden("body_not_covered"), &messages);
}

#[test]
fn body_covered_by_its_hash_is_admitted() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let target = Message::json("/e", "{\"a\":1}").target;
    for content_type in ["application/json", "text/plain", "multipart/form-data; boundary=b"] {
        assert_admitted(&gate, &Message::post(&target, content_type, b"{\"a\":1}").signed());
    }
    assert_admitted(&gate, &Message::new("POST", &target).body(b"{\"a\":1}").signed());
    let altered = Message::post(&target, "application/json", b"{\"a\":2}").signed();
    let response = gate.answer(&altered);
    forbidden("body_not_covered").assert(&response, &gate.outcome_of(&altered), "another body");
    assert_eq!(upstream.requests().len(), 4);
}
