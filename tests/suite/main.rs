//! Tests of the gate from outside: the real binary, real sockets, an independent signer.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::print_stdout,
    reason = "a test that cannot continue has failed and panics"
)]

mod accounts;
mod admin;
mod chaos;
mod commands;
mod configuration;
mod dates;
mod doctor;
mod early_answers;
mod explain;
mod explained_log;
mod forwarding;
mod framing_to_upstream;
mod hostile;
mod layers;
mod log_format;
mod properties;
mod public_urls;
mod refusals;
mod reload;
mod replay;
mod schemes;
mod shutdown;
mod sockets;
mod support;
mod tls;
#[cfg(feature = "otlp")]
mod traces;
mod trust;
mod trusted_hosts;
mod unenforced;
mod upstream_failures;
mod upstream_misbehaviour;
mod upstreams;
mod vectors;
