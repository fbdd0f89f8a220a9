//! Connections from clients: accepted, read, judged, forwarded and answered.

mod accept;
mod activity;
mod client;
mod connection;
mod exchange;
mod handler;
mod http1;
mod http2;
mod nonces;
mod response;
mod shutdown;
mod state;
mod thread;
mod worker;

pub use nonces::{Arrival, NONCE_PATH, Nonces};
pub use shutdown::Shutdown;
pub use state::{Shared, Snapshot};
pub use thread::work;
pub use worker::Worker;
