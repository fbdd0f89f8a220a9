//! TLS on the listener.

use std::{
    io::{Read, Write},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::support::{
    HOST, ORIGIN, TOKEN,
    client::{Client, Response},
    gate::{Folder, Gate, guarded},
    message::Message,
    tls::{Authority, Relay, shake},
    upstream::{TWIML, Upstream},
};

const TLS: &str = "[tls]\ncert = \"gate.pem\"\nkey = \"gate.key\"\n";

/// A gate with a TLS listener and these lines at the end of its configuration.
fn secured(authority: &Authority, app: &Upstream, more: &str) -> Gate {
    let folder = Folder::new();
    authority.issue(HOST, 2099).write(&folder, "gate");
    Gate::start_in(folder, &guarded(app, &format!("{TLS}{more}")), &[])
}

fn voice() -> Message {
    Message::form("/voice?a=1", "To=%2B1").signed()
}

fn assert_answered(response: &Response) {
    assert_eq!((response.status, response.text()), (200, TWIML.to_owned()), "{response:?}");
}

#[test]
fn requests_over_tls_are_judged_and_forwarded() {
    let (authority, app) = (Authority::new(), Upstream::start());
    let gate = secured(&authority, &app, "");
    for alpn in [&["http/1.1"][..], &[]] {
        let relay = Relay::to_tls(authority.client(None, alpn), gate.address());
        let mut client = Client::connect(relay.address);
        for pause in [0, 0, 1500] {
            thread::sleep(Duration::from_millis(pause)); // long enough for the connection to idle
            client.send(&voice().bytes());
            assert_answered(&client.response());
        }
        client.send(&Message::get("/voice").bytes());
        assert_eq!(client.response().status, 418);
    }
    assert_eq!(app.requests().len(), 6);
    assert_eq!(app.requests()[0].line(), "POST /voice?a=1 HTTP/1.1");
}

#[test]
fn websocket_over_tls_is_tunnelled() {
    let (authority, app) = (Authority::new(), Upstream::start());
    let gate = secured(&authority, &app, "");
    let relay = Relay::to_tls(authority.client(None, &["http/1.1"]), gate.address());
    let mut client = Client::connect(relay.address);
    let handshake = Message::get("/media")
        .field("Connection", "Upgrade")
        .field("Upgrade", "websocket")
        .field("Sec-WebSocket-Version", "13")
        .field("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .signed();
    client.send(&handshake.bytes());
    assert_eq!(client.response().status, 101);
    client.send(b"hello");
    assert_eq!(client.exactly(5).unwrap(), b"hello");
}

/// The statuses of a signed and of an unsigned HTTP/2 request over this relay.
fn http2_statuses(relay: &Relay) -> [StatusCode; 2] {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = TokioIo::new(TcpStream::connect(relay.address).await.unwrap());
        let (sender, driver) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(driver);
        let request = |signature: Option<&str>| {
            let mut sender = sender.clone();
            let mut request = Request::post(format!("{ORIGIN}/voice?a=1"))
                .header("content-type", "application/x-www-form-urlencoded");
            if let Some(signature) = signature {
                request = request.header("x-twilio-signature", signature);
            }
            let request = request.body(Full::new(Bytes::from_static(b"To=%2B1"))).unwrap();
            async move {
                let response = sender.send_request(request).await.unwrap();
                let status = response.status();
                response.into_body().collect().await.unwrap();
                status
            }
        };
        let signature = Message::form("/voice?a=1", "To=%2B1").signature(TOKEN);
        let (signed, unsigned) = tokio::join!(request(Some(&signature)), request(None));
        [signed, unsigned]
    })
}

#[test]
fn alpn_selects_http2() {
    let (authority, app) = (Authority::new(), Upstream::start());
    let gate = secured(&authority, &app, "");
    let relay = Relay::to_tls(authority.client(None, &["h2", "http/1.1"]), gate.address());
    assert_eq!(http2_statuses(&relay), [StatusCode::OK, StatusCode::IM_A_TEAPOT]);
    let arrived = app.only();
    assert_eq!(arrived.line(), "POST /voice?a=1 HTTP/1.1");
    assert_eq!(arrived.values("Host"), [HOST]);
    assert_eq!(arrived.body, b"To=%2B1");
}

#[test]
fn cleartext_on_tls_listener_is_closed() {
    let (authority, app) = (Authority::new(), Upstream::start());
    let gate = secured(&authority, &app, "");
    let mut client = gate.connect();
    client.send(&voice().bytes());
    let said = client.rest().unwrap_or_default();
    assert!(said.len() <= 7, "an alert at most: {said:?}");
    assert_eq!(app.bytes(), 0);
}

#[test]
fn unfinished_tls_handshake_is_closed_after_timeout() {
    let (authority, app) = (Authority::new(), Upstream::start());
    let gate = secured(&authority, &app, "[limits]\nhead_timeout = \"300ms\"\n");
    let mut silent = gate.connect();
    assert!(silent.is_at_end());
    let mut slow = gate.connect();
    slow.send(b"\x16\x03\x01"); // as a handshake begins
    slow.rest().unwrap_or_default();
}

#[test]
fn client_without_certificate_is_refused_when_client_ca_is_set() {
    let (authority, stranger, app) = (Authority::new(), Authority::new(), Upstream::start());
    let more = format!("client_ca = \"{}\"\n", authority.ca().display());
    let gate = secured(&authority, &app, &more);
    let client = |pair| {
        let relay = Relay::to_tls(authority.client(pair, &["http/1.1"]), gate.address());
        let mut client = Client::connect(relay.address);
        client.send(&voice().bytes());
        client.try_response()
    };
    let own = authority.issue("twilio.example.com", 2099);
    assert_answered(&client(Some(&own)).unwrap());
    assert!(client(None).is_err());
    assert!(client(Some(&stranger.issue("twilio.example.com", 2099))).is_err());
    assert_eq!(app.requests().len(), 1);
}

#[test]
fn connections_of_clients_whose_ca_was_removed_end_with_the_request_in_flight() {
    let (authority, successor, app) = (Authority::new(), Authority::new(), Upstream::start());
    let with_ca = |ca: &Authority| format!("client_ca = \"{}\"\n", ca.ca().display());
    let gate = secured(&authority, &app, &with_ca(&authority));
    let own = authority.issue("twilio.example.com", 2099);
    let relay = |alpn: &[&str]| Relay::to_tls(authority.client(Some(&own), alpn), gate.address());
    let http1 = relay(&["http/1.1"]);
    let (mut busy, mut idle) = (Client::connect(http1.address), Client::connect(http1.address));
    for reload in 0..2 {
        busy.send(&voice().bytes());
        assert_answered(&busy.response());
        idle.send(&voice().bytes());
        assert_answered(&idle.response());
        gate.hang_up(); // the same configuration: connections stay
        gate.log_entry("reloaded", reload);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let http2 = relay(&["h2"]);
        let stream = TokioIo::new(TcpStream::connect(http2.address).await.unwrap());
        let (mut sender, driver) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        let driver = tokio::spawn(driver);
        let unsigned = || Request::get(format!("{ORIGIN}/voice")).body(Full::<Bytes>::default());
        let response = sender.send_request(unsigned().unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::IM_A_TEAPOT);
        busy.send(&voice().head()); // a request in flight
        gate.rewrite(&guarded(&app, &format!("{TLS}{}", with_ca(&successor))));
        gate.log_entry("reloaded", 2);
        if let Ok(response) = sender.send_request(unsigned().unwrap()).await {
            assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        }
        let closed = tokio::time::timeout(Duration::from_secs(20), driver).await;
        closed.expect("the HTTP/2 connection ends").unwrap().ok();
    });
    busy.send(b"To=%2B1");
    let last = busy.response();
    assert_answered(&last);
    assert_eq!(last.values("Connection"), ["close"]);
    idle.send(&voice().bytes());
    assert!(idle.try_response().is_err(), "closed without a response");
    assert_eq!(app.requests().len(), 5);
}

/// The response to a request over an open connection; `None` if it closes without one.
fn asked(line: &mut (impl Read + Write)) -> Option<String> {
    line.write_all(&voice().bytes()).ok()?;
    let (mut answer, mut piece) = (String::new(), [0; 4096]);
    while !answer.ends_with(TWIML) {
        let length = line.read(&mut piece).ok().filter(|length| *length > 0)?;
        answer.push_str(&String::from_utf8_lossy(&piece[..length]));
    }
    Some(answer)
}

#[test]
fn request_over_tls_before_shutdown_is_answered() {
    let (authority, app) = (Authority::new(), Upstream::start());
    let mut gate = secured(&authority, &app, "");
    let config = Arc::new(authority.client(None, &["http/1.1"]));
    let answered = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while let Ok(mut line) = shake(&config, gate.address()) {
                    for _ in 0..3 {
                        let answer = asked(&mut line).expect("lost");
                        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
                        answered.fetch_add(1, Ordering::Relaxed);
                        if answer.to_ascii_lowercase().contains("connection: close") {
                            break;
                        }
                    }
                }
            });
        }
        thread::sleep(Duration::from_millis(500));
        gate.terminate();
    });
    let answered = answered.load(Ordering::Relaxed);
    assert!(answered > 20, "{answered}");
    assert_eq!(app.requests().len(), answered, "each once");
    assert_eq!(gate.exit_code(), Some(0));
}
