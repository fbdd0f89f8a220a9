//! gatekeeper stands in front of a web app and lets a webhook through only when it can prove that
//! Twilio signed exactly this URL and exactly this body.
//!
//! This page describes the code; `docs/architecture.md` has the design decisions and their
//! measurements, and `CONTRIBUTING.md` a reading order and a glossary. The README and the other files
//! of `docs/` describe how to use the gate.
//!
//! # The promise, as types
//!
//! An unproven request cannot reach the app, because no value exists that could be forwarded. The
//! [`upstream::Forwarder`] takes one type, [`gate::Admitted`]; its fields are private, and only
//! [`gate::Claim::judge`] makes one. The body that was judged is moved into it: the bytes forwarded
//! are the bytes verified. [`gate`] shows the misuses that do not compile.
//!
//! # Life of a request
//!
//! ```text
//! downstream::connection  waits for the first bytes, then serves HTTP/1.1 or HTTP/2
//! downstream::http1       snapshot = one immutable configuration, loaded at the first byte
//! http1::RequestHead      head     = parsed once and kept as received; how its body ends
//! gate::Claim::new        claim    = refusals from the head alone; the body is unread
//! gate::Claim::read       claim    = the body, bounded in bytes, time and memory
//! gate::Claim::judge      admitted = MACs compared in constant time; or a Refused
//! upstream::Forwarder     response = the app's, streamed back (or a tunnel, for a WebSocket)
//! downstream::response    a refusal becomes a status and one constant line
//! telemetry::Observer     the outcome, counted and logged once
//! ```
//!
//! # Modules
//!
//! | module | purpose | may use |
//! | --- | --- | --- |
//! | [`signature`] | decides whether Twilio, SendGrid or Segment signed these bytes; no I/O | nothing of ours |
//! | [`http1`] | HTTP/1.1 as bytes: heads and bodies, one codec for both sides | nothing of ours |
//! | [`limits`] | the `[limits]` table and its three limiters | nothing of ours |
//! | [`net`] | listeners, sockets, TLS accept, timers | `http1` |
//! | [`routes`] | the requests to expect, their keys, their upstreams | `signature` |
//! | [`config`] | TOML in; a correct configuration, or all its faults, out | `limits`, `net`, `routes`, `signature` |
//! | [`gate`] | a request in; an `Admitted` or a `Refused` out | `http1`, `limits`, `routes`, `signature` |
//! | [`explain`] | a refused request in; the likeliest mistakes with their cures out; never admits | `http1`, `routes`, `signature` |
//! | [`upstream`] | an `Admitted` up, the app's response back; tunnels | `gate`, `http1`, `limits`, `net`, `routes` |
//! | [`telemetry`] | metrics, access log, traces, explanations in the log | `config`, `explain`, `gate`, `http1`, `routes`, `signature`, `upstream` |
//! | [`downstream`] | connections from clients: HTTP/1 and HTTP/2 in, responses out | all above |
//! | [`daemon`] | start, stop, reload, file watching, systemd, the admin listener | all above |
//! | [`cli`] | the commands; sole user of clap | all |
//!
//! Dependencies run one way; `tests/suite/layers.rs` reads the `use` lines and enforces it. The
//! promise rests on [`signature`], [`http1`], [`routes`], [`gate`] and [`upstream`].
//!
//! # HTTP
//!
//! HTTP/1.1 is read and written here, on both sides, with httparse for the heads. Each message is
//! parsed once, so no two parsers can disagree about it, and a proxy that forwards bytes unchanged
//! needs the bytes. A library in between keeps a second copy of each name's spelling and hides
//! repeated fields; with hyper on both sides, a third of the instructions of a signed exchange were
//! its own. HTTP/2 is hyper's, and used with clients only.
//!
//! # Threads
//!
//! One worker per core, each with a single-threaded runtime, the same listening sockets and its own
//! upstream connections. An upstream connection has no task of its own: the request that uses it
//! drives it. The control thread reloads the configuration and serves the admin listener. The
//! explain thread looks for the mistake of a refused request. The log thread is the only one that
//! waits for standard error.

pub mod cli;
pub mod config;
pub mod daemon;
pub mod downstream;
pub mod explain;
pub mod gate;
pub mod http1;
pub mod limits;
pub mod net;
pub mod routes;
pub mod signature;
pub mod telemetry;
pub mod upstream;
