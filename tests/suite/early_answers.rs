//! Apps that answer before they have read the request.

use std::{
    io::{Read, Write},
    net::TcpListener,
    os::unix::net::UnixListener,
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    ORIGIN, TEST_TIMEOUT, TOKEN, find,
    gate::{Folder, Gate},
    message::Message,
    signer,
};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Reads one head, answers, waits for `go_on`, then reads all that comes and returns the body.
fn answer_at_once(mut stream: impl Read + Write, go_on: &Receiver<()>) -> Vec<u8> {
    let mut received = Vec::new();
    let end = loop {
        let mut piece = [0; 4096];
        let length = stream.read(&mut piece).unwrap();
        assert_ne!(length, 0, "no head");
        received.extend_from_slice(&piece[..length]);
        if let Some(end) = find(&received, b"\r\n\r\n") {
            break end + 4;
        }
    };
    stream.write_all(ANSWER).unwrap();
    go_on.recv_timeout(TEST_TIMEOUT).unwrap();
    let _reset = stream.read_to_end(&mut received);
    received.split_off(end)
}

/// Sends a body of this size; the response must arrive while the app reads nothing.
fn assert_whole(folder: Folder, url: &str, size: usize, go_on: &Sender<()>) -> Vec<u8> {
    let config = format!(
        "public_url = \"{ORIGIN}\"\nupstream = \"{url}\"\nauth_tokens = [\"{TOKEN}\"]\n\
         [limits]\nmax_body_bytes = 16000000\n"
    );
    let gate = Gate::start_in(folder, &config, &[]);
    let body = "0123456789abcdef".repeat(size / 16);
    let target = format!("/voice?bodySHA256={}", signer::sha256_hex(body.as_bytes()));
    let message = Message::post(&target, "application/json", body.as_bytes()).signed();
    let mut client = gate.connect();
    let began = Instant::now();
    client.send(&message.bytes());
    let response = client.response();
    assert_eq!((response.status, response.text().as_str()), (200, "ok"));
    assert!(began.elapsed() < Duration::from_secs(5), "the client waited {:?}", began.elapsed());
    assert_eq!(gate.outcome_of(&message).verdict(), "admitted");
    thread::sleep(Duration::from_millis(200));
    go_on.send(()).unwrap();
    // A client that goes on, or leaves, changes nothing for the first request.
    drop(client);
    thread::sleep(Duration::from_secs(1));
    body.into_bytes()
}

#[test]
fn app_on_a_unix_socket_that_answers_early_gets_the_whole_body() {
    let folder = Folder::new();
    let path = folder.path().join("early.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let (go_on, waiting) = channel();
    let app = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
        answer_at_once(stream, &waiting)
    });
    let url = format!("unix:{}", path.display());
    let sent = assert_whole(folder, &url, 256 * 1024, &go_on);
    assert_received(&app.join().unwrap(), &sent);
}

#[test]
fn app_over_tcp_that_answers_early_gets_the_whole_body() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (go_on, waiting) = channel();
    let app = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
        answer_at_once(stream, &waiting)
    });
    let sent = assert_whole(Folder::new(), &url, 15_000_000, &go_on);
    assert_received(&app.join().unwrap(), &sent);
}

fn assert_received(received: &[u8], sent: &[u8]) {
    assert_eq!(received.len(), sent.len(), "the body is cut");
    assert!(received == sent, "the body differs");
}
