//! The memory for bodies is shared among addresses.
//!
//! Loopback has no limit of its own, since a proxy may stand there. So these tests serve their
//! connections within the process, each with the address of a client.

use std::{net::IpAddr, path::Path, sync::Arc, time::Duration};

use gatekeeper::downstream::Worker;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::{sleep, timeout},
};

use crate::support::{TEST_TIMEOUT, gate::guarded, message::Message, upstream::Upstream};

/// The longest body that a route takes by default is a quarter of it.
const BUDGET: usize = 1024 * 1024;

fn worker(upstream: &Upstream) -> Arc<Worker> {
    let limits = format!("[limits]\nmax_buffered_bytes = {BUDGET}\n");
    let config = gatekeeper::config::parse(&guarded(upstream, &limits), "test", Path::new("."));
    Worker::without_listeners(config.unwrap()).unwrap()
}

/// A connection from this address on which these bytes have been sent.
async fn send(worker: &Arc<Worker>, peer: IpAddr, bytes: &[u8]) -> DuplexStream {
    let (mut ours, theirs) = duplex(512 * 1024);
    let worker = Arc::clone(worker);
    tokio::spawn(async move { worker.serve(theirs, Some(peer)).await });
    ours.write_all(bytes).await.unwrap();
    ours
}

/// The status of the response, once it is here.
async fn status(mut stream: DuplexStream) -> String {
    let mut line = [0; 12];
    timeout(TEST_TIMEOUT, stream.read_exact(&mut line)).await.unwrap().unwrap();
    String::from_utf8_lossy(&line[9..]).into_owned()
}

/// A form of `length` bytes with a false signature, whose last byte does not come.
fn unfinished(length: usize) -> Vec<u8> {
    let bytes = Message::form("/voice", &"x".repeat(length)).signed_by("another token").bytes();
    bytes[..bytes.len() - 1].to_vec()
}

/// One address or several fill the budget with unfinished bodies of each of these sizes, the last
/// one small enough to leave no gap for a genuine form of `genuine` bytes. Returns what that form
/// gets, sent from another address.
async fn fill(peers: &[&str], sizes: &[usize], genuine: usize) -> String {
    let upstream = Upstream::start();
    let worker = worker(&upstream);
    let mut open = Vec::new();
    for (size, count) in sizes.iter().map(|size| (*size, BUDGET.div_ceil(*size).min(80))) {
        for at in 0..count {
            let peer = peers[at % peers.len()].parse().unwrap();
            open.push(send(&worker, peer, &unfinished(size)).await);
        }
        sleep(Duration::from_millis(100)).await;
    }
    let message = Message::form("/voice", &"y".repeat(genuine)).signed();
    let stream = send(&worker, "198.51.100.7".parse().unwrap(), &message.bytes()).await;
    status(stream).await
}

/// One address that sends small bodies with false signatures takes a share, not all.
#[tokio::test]
async fn small_bodies_of_one_address_leave_room_for_others() {
    assert_eq!(fill(&["192.0.2.1"], &[16_000, 400], 1000).await, "200");
}

/// The same for a genuine body that is large.
#[tokio::test]
async fn small_bodies_of_one_address_leave_room_for_large_ones() {
    assert_eq!(fill(&["192.0.2.1"], &[16_000], 60_000).await, "200");
}

/// A /64 counts as one address.
#[tokio::test]
async fn small_bodies_of_one_ipv6_site_leave_room_for_others() {
    let site = ["2001:db8::1", "2001:db8::2", "2001:db8::ffff:1", "2001:db8:0:0:9::"];
    assert_eq!(fill(&site, &[16_000, 400], 1000).await, "200");
}

/// Large bodies of one address leave room for large bodies of others.
#[tokio::test]
async fn large_bodies_of_one_address_leave_room_for_others() {
    assert_eq!(fill(&["192.0.2.1"], &[200_000, 20_000], 60_000).await, "200");
}

/// However large bodies are spread over addresses, small ones keep their share of the budget.
#[tokio::test]
async fn large_bodies_of_many_addresses_leave_room_for_small_ones() {
    let peers = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "203.0.113.1", "203.0.113.2", "2001:db8::"];
    assert_eq!(fill(&peers, &[200_000, 20_000], 1000).await, "200");
}
