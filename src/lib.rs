//! gatekeeper stands in front of a web app and lets a webhook through only when it can prove that
//! Twilio signed exactly this URL and exactly this body.
//!
//! This page is the map of the house. What a user needs stands in the README.
//!
//! # The promise, as types
//!
//! An unproven request cannot reach the app because there is nothing to hand it. The
//! [`forward::Forwarder`] takes one type, [`gate::Admitted`]; its fields are private, and only
//! [`gate::Claim::judge`] makes one. The body that was judged is moved into it: the bytes forwarded
//! are the bytes verified. [`gate`] shows four misuses that do not compile.
//!
//! # A request's way
//!
//! ```text
//! server::connection   the connection idles; its first bytes start http1 or http2
//! wire::RequestHead    head   = parsed once and kept as it came; how its body ends
//! server::exchange     live   = one immutable snapshot
//! gate::Claim::new     claim  = refusals from the head alone; the body is unread
//! gate::Claim::read    claim  = the body, bounded in bytes, in time and in room
//! gate::Claim::judge   passed = in constant time: an Admitted or a Refused
//! forward::Forwarder   answer = the app's, streamed back (or a tunnel, for a WebSocket)
//! server::reply        a refusal becomes a status and one constant line
//! observe::Observer    what happened, counted and said once, when the answer is over
//! ```
//!
//! # Rooms
//!
//! | room | what it is for | may know |
//! | --- | --- | --- |
//! | [`signature`] | what Twilio signs, and whether it did; bytes in, decision out | nothing of ours |
//! | [`routes`] | which requests we expect, with which keys, bound for where | `signature` |
//! | [`config`] | TOML in; a correct configuration, or every fault in it, out | `routes`, `signature` |
//! | [`wire`] | HTTP/1.1 as bytes: heads, and where a message ends | nothing of ours |
//! | [`gate`] | a request in; an `Admitted` or a `Refused` out | `routes`, `signature`, `wire` |
//! | [`forward`] | an `Admitted` up, the app's response back; tunnels | `gate`, `routes`, `wire` |
//! | [`observe`] | what happened, counted and said once | `gate`, `forward`, `wire` |
//! | [`server`] | sockets, TLS, lifetimes, reload, drain, the admin listener: everything that waits | all above |
//! | [`cli`] | the commands; sole user of clap | all |
//!
//! Arrows run one way; a test reads the `use` lines and keeps it so. What a reviewer must trust is
//! [`signature`], [`wire`], `gate/claim.rs` and [`forward`].
//!
//! # HTTP
//!
//! HTTP/1.1 is read and written here, on both sides, over httparse: that is what this project
//! forwards, byte for byte, and one reading of each message leaves nothing for two readers to
//! differ about. A library between keeps a second copy of each name's spelling, hides what it
//! finds repeated, and took a third of what a signed exchange cost (`benches/README.md`). HTTP/2 is
//! hyper's, and spoken with clients only.
//!
//! # Threads
//!
//! One worker per core, each with a single-threaded runtime, the same listening sockets and its own
//! upstream connections. An upstream connection has no task of its own: who uses it drives it. The
//! profile that this rests on stands in `benches/README.md`.
//!
//! Beside them: the steward, which loads the configuration anew and answers operators, and the log,
//! which alone waits for standard error.

pub mod cli;
pub mod config;
pub mod forward;
pub mod gate;
pub mod observe;
pub mod routes;
pub mod server;
pub mod signature;
pub mod wire;
