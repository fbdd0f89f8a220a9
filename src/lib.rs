//! gatekeeper
pub mod config;
pub mod forward;
pub mod gate;
pub mod routes;
pub mod signature;
