//! The gate as it is seen from outside: the real binary, real sockets, an independent signer.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed, and says so"
)]

mod accounts;
mod admin;
mod answers;
mod commands;
mod configuration;
mod explain;
mod forwarding;
mod hostile;
mod layers;
mod properties;
mod reload;
mod sockets;
#[cfg(feature = "otlp")]
mod spans;
mod support;
mod tls;
mod trust;
mod upstreams;
mod vectors;
