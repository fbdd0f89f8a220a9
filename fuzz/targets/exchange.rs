//! Any bytes over a connection: the app receives only public or signed requests.
#![no_main]

use std::{path::Path, sync::Arc, time::Duration};

use gatekeeper::{config, downstream::Worker};
use libfuzzer_sys::fuzz_target;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex, split},
    runtime::Runtime,
    time::timeout,
};

#[path = "../../tests/suite/hostile/oracle.rs"]
mod oracle;

#[allow(dead_code, reason = "not all of the shared test support is used here")]
mod support;

/// A gate without listeners and its app.
struct Fixture {
    runtime: Runtime,
    worker: Arc<Worker>,
    app: support::upstream::Upstream,
}

thread_local! {
    static FIXTURE: Fixture = Fixture::build();
}

impl Fixture {
    fn build() -> Self {
        let app = support::upstream::Upstream::start();
        let routes = format!(
            "public_url = \"{}\"\nupstream = \"{}\"\nauth_tokens = [\"{}\"]\nhttp2_cleartext = true\n\
             [[route]]\npath = \"/voice\"\n[[route]]\npath = \"/sms/*\"\n\
             [[route]]\npath = \"/status/*\"\naccess = \"public\"\n",
            support::ORIGIN,
            app.url(),
            support::TOKEN
        );
        let config = config::parse(&routes, "fuzz", Path::new(".")).expect("it is correct");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let worker = {
            let _within = runtime.enter();
            Worker::without_listeners(config).expect("it needs nothing but a runtime")
        };
        Self { runtime, worker, app }
    }

    /// Sends these bytes, half-closes, and reads until the gate closes.
    fn exchange(&self, sent: &[u8]) -> Vec<u8> {
        let (ours, theirs) = duplex(64 * 1024);
        let mut received = Vec::new();
        self.runtime.block_on(async {
            let (mut reader, mut writer) = split(ours);
            let speak = async {
                let _closed = writer.write_all(sent).await;
                let _closed = writer.shutdown().await;
            };
            let listen = reader.read_to_end(&mut received);
            let all = async { tokio::join!(self.worker.serve(theirs, None), speak, listen) };
            let ((), (), read) =
                timeout(Duration::from_secs(8), all).await.expect("the connection ends");
            read.expect("reading from memory does not fail");
        });
        received
    }
}

fuzz_target!(|sent: &[u8]| {
    FIXTURE.with(|fixture| {
        let received = fixture.exchange(sent);
        assert!(received.is_empty() || received.starts_with(b"HTTP/1.") || sent.starts_with(b"PRI "));
        for request in fixture.app.taken() {
            if let Some(what) = oracle::objection(&request) {
                panic!("the app received {what}");
            }
        }
    });
});
