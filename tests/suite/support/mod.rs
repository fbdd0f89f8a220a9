//! Shared by all tests: the signer, the recording app, the gate and the clients.

mod basics;
pub(crate) mod client;
pub(crate) mod frames;
pub(crate) mod gate;
pub(crate) mod hpack;
pub(crate) mod http2;
pub(crate) mod lenient;
pub(crate) mod message;
pub(crate) mod process;
pub(crate) mod sendgrid;
pub(crate) mod signer;
pub(crate) mod tls;
pub(crate) mod upstream;

pub(crate) use basics::{HOST, ORIGIN, TEST_TIMEOUT, TOKEN, fields_of, find, latin1, values};
