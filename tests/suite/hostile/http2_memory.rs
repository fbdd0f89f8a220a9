//! Memory that request heads hold over HTTP/2, and over HTTP/1 for comparison.
//!
//! Header compression makes a large head nearly free to send: one byte refers to an entry of the
//! dynamic table, and each request holds its own copy of what that byte stands for.

use std::{thread, time::Duration};

use crate::support::{
    HOST, TOKEN,
    client::Client,
    frames::{CONTINUATION, END_HEADERS, END_STREAM, HEADERS, frame},
    gate::Gate,
    hpack::{ENTRY_OVERHEAD, HeaderBlock, TABLE_SIZE},
    http2::{Mute, NO_WINDOW},
    message::Message,
    process::{MIB, falls_below, resident},
    upstream::Upstream,
};

/// What the process may occupy at any time with default limits.
const MAX_RESIDENT: u64 = 128 * MIB;
/// What may remain above the memory of the start, once every connection is closed.
const MAX_LEFT_OVER: u64 = 32 * MIB;
/// What has been read has been handled after this pause.
const SETTLED: Duration = Duration::from_millis(300);
const CONNECTIONS: usize = 50;
/// Streams that each connection opens: as many as may be open at once today.
const STREAMS: u32 = 128;
/// The same where each stream has many small fields: these are slow to decode without optimisation.
const FEWER_STREAMS: u32 = 40;
/// References to one small field that still fit `max_head_bytes` of 32 KiB, 33 bytes each.
const SMALL_FIELDS: usize = 950;

/// A gate with default limits that takes HTTP/2 without TLS.
fn gate(upstream: &Upstream) -> Gate {
    Gate::with(upstream, "http2_cleartext = true\n[admin]\nlisten = \"127.0.0.1:0\"\n")
}

/// The entry that fills the dynamic table by itself.
fn large_field(block: HeaderBlock) -> HeaderBlock {
    block.inserted("a", &"x".repeat(TABLE_SIZE - ENTRY_OVERHEAD - 1))
}

/// A signature that is well formed and false.
fn false_signature() -> String {
    Message::form("/", "a=1").signature("another token")
}

/// One HEADERS frame with a whole header block.
fn headers(stream: u32, flags: u8, block: &HeaderBlock) -> Vec<u8> {
    frame(HEADERS, flags | END_HEADERS, stream, block.bytes())
}

/// Sends what `stream` makes of each stream's number over every connection, and checks what the
/// gate holds meanwhile and afterwards. `waits` says that the last block of each connection ends,
/// so that a PING may follow it.
fn flood(name: &str, streams: u32, waits: bool, stream: impl Fn(u32) -> Vec<u8>) {
    let upstream = Upstream::start();
    let gate = gate(&upstream);
    let before = resident(&gate);
    let sent: Vec<u8> = (0..streams).flat_map(|at| stream(2 * at + 1)).collect();
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut client = Mute::open(&gate, &NO_WINDOW);
        client.send(&sent);
        open.push(client);
    }
    for client in open.iter_mut().filter(|_| waits) {
        if resident(&gate) < MAX_RESIDENT {
            client.wait_until_read();
        }
    }
    thread::sleep(SETTLED);
    let held = resident(&gate);
    let counted = gate.figure("gatekeeper_buffered_bytes").unwrap();
    let seen = format!(
        "{name}: {} KiB sent, {} MiB at the start, {} MiB held, {counted} bytes counted",
        sent.len() * CONNECTIONS / 1024,
        before / MIB,
        held / MIB,
    );
    println!("{seen}");
    assert!(held < MAX_RESIDENT, "{seen}");
    drop(open);
    let comes_back = falls_below(&gate, before + MAX_LEFT_OVER, Duration::from_secs(2));
    assert!(comes_back, "{seen}, {} MiB afterwards", resident(&gate) / MIB);
}

/// A client with a window of 0 lets refused responses wait. Each waiting response holds the whole
/// head of its request, 28 KiB for the 40 bytes that were sent.
#[test]
fn refused_http2_requests_that_wait_for_a_window_are_bounded() {
    flood("unsigned, window 0", STREAMS, true, |stream| {
        let block = HeaderBlock::request("GET").literal(":authority", HOST);
        let block = if stream == 1 { large_field(block) } else { block };
        headers(stream, END_STREAM, &block.repeated(0, 7))
    });
}

/// A false signature keeps the head until the body has arrived, which never happens.
#[test]
fn http2_requests_with_a_false_signature_and_no_body_are_bounded() {
    let signature = false_signature();
    flood("false signature, no body", STREAMS, true, |stream| {
        let block = HeaderBlock::request("POST").literal(":authority", HOST);
        let block = block.literal("x-twilio-signature", &signature);
        let block = if stream == 1 { large_field(block) } else { block };
        headers(stream, 0, &block.repeated(0, 7))
    });
}

/// Many small fields cost more memory than few large ones: each has its entry in the header map
/// and in the parsed head.
#[test]
fn http2_requests_with_many_small_fields_are_bounded() {
    let signature = false_signature();
    flood("many small fields", FEWER_STREAMS * 3 / 4, true, |stream| {
        let block = HeaderBlock::request("POST").literal(":authority", HOST);
        let block = block.literal("x-twilio-signature", &signature);
        let block = if stream == 1 { block.inserted("a", "") } else { block };
        headers(stream, 0, &block.repeated(0, SMALL_FIELDS))
    });
}

/// Trailers that arrive after the refusal are kept by the HTTP/2 library until the stream ends,
/// and a window of 0 keeps the stream open.
#[test]
fn trailers_of_refused_http2_requests_are_bounded() {
    flood("trailers after a refusal", FEWER_STREAMS, true, |stream| {
        let block = HeaderBlock::request("POST").literal(":authority", HOST);
        let block = if stream == 1 { block.inserted("a", "") } else { block };
        let trailers = HeaderBlock::default().repeated(0, SMALL_FIELDS);
        [headers(stream, 0, &block), headers(stream, END_STREAM, &trailers)].concat()
    });
}

/// A header block that does not end: the connection holds what has been decoded of it.
#[test]
fn header_blocks_without_an_end_are_bounded() {
    flood("CONTINUATION", 1, false, |stream| {
        let block = HeaderBlock::request("POST").literal(":authority", HOST).inserted("a", "");
        let more = HeaderBlock::default().repeated(0, SMALL_FIELDS / 2);
        [
            frame(HEADERS, 0, stream, block.bytes()),
            frame(CONTINUATION, 0, stream, more.bytes()),
            frame(CONTINUATION, 0, stream, more.bytes()),
        ]
        .concat()
    });
}

/// Over HTTP/1 a large head is held while its body is awaited, and counts as buffered.
#[test]
fn http1_heads_count_as_buffered_while_a_body_is_awaited() {
    const COUNT: usize = 64;
    let upstream = Upstream::start();
    let gate = gate(&upstream);
    let _open = hold_http1_heads(&gate, COUNT);
    let held = gate.figure("gatekeeper_buffered_bytes").unwrap();
    println!("HTTP/1: {COUNT} heads of 30 KiB, {held} bytes counted");
    assert!(held >= f64::from(64 * 16 * 1024), "{held} bytes counted for {COUNT} heads of 30 KiB");
}

/// `max_buffered_bytes` bounds heads too: 64 heads of 30 KiB do not fit 1 MiB.
#[test]
fn http1_heads_beyond_the_memory_budget_are_refused() {
    let upstream = Upstream::start();
    let gate = Gate::with(
        &upstream,
        "[admin]\nlisten = \"127.0.0.1:0\"\n[limits]\nmax_buffered_bytes = 1048576\n",
    );
    let _open = hold_http1_heads(&gate, 64);
    // Without a route where the memory was used up before the head was complete.
    let overloaded = |route: &str| {
        let labels = format!("reason=\"overloaded\",route=\"{route}\",verdict=\"refused\"");
        gate.figure(&format!("gatekeeper_requests_total{{{labels}}}")).unwrap_or_default()
    };
    let refused = overloaded("/*") + overloaded("");
    println!("HTTP/1: 64 heads of 30 KiB before 1 MiB, {refused} refused");
    assert!(refused >= 16.0, "{refused} of 64 requests were refused");
}

/// Requests with a head of 30 KiB and a false signature, each without its body. They have all
/// arrived when this returns.
fn hold_http1_heads(gate: &Gate, count: usize) -> Vec<Client> {
    let large = Message::form("/voice", "a=1").field("X-A", &"x".repeat(30 * 1024));
    let head = large.field("X-Twilio-Signature", &false_signature()).head();
    let mut open = Vec::new();
    for _ in 0..count {
        let mut client = gate.connect();
        client.send(&head);
        open.push(client);
    }
    // Several workers read them, so no later exchange shows that all have been read.
    thread::sleep(SETTLED);
    open
}

/// The tests' token is not what the false signature was made with.
#[test]
fn the_false_signature_is_false() {
    assert_ne!(false_signature(), Message::form("/", "a=1").signature(TOKEN));
}
