//! The modules of tests/suite that its oracle imports.

#[path = "../../tests/suite/support/basics.rs"]
mod basics;
#[path = "../../tests/suite/support/lenient.rs"]
pub(crate) mod lenient;
#[path = "../../tests/suite/support/message.rs"]
pub(crate) mod message;
#[path = "../../tests/suite/support/signer.rs"]
pub(crate) mod signer;
#[path = "../../tests/suite/support/upstream.rs"]
pub(crate) mod upstream;

pub(crate) use basics::{HOST, ORIGIN, TEST_TIMEOUT, TOKEN, fields_of, find, latin1, values};
