//! gatekeeper
pub mod signature;
