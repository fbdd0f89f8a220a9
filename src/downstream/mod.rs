//! Connections from clients: accepted, read, judged, forwarded and answered.

mod accept;
mod activity;
mod connection;
mod exchange;
mod handler;
mod http1;
mod http2;
mod response;
mod shutdown;
mod state;
mod worker;

pub use shutdown::Shutdown;
pub use state::{Shared, Snapshot};
pub use worker::{Worker, work};
