//! gatekeeper
pub mod cli;
pub mod config;
pub mod forward;
pub mod gate;
pub mod observe;
pub mod routes;
pub mod server;
pub mod signature;
