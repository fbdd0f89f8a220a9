//! A request in; an [`Admitted`] or a [`Refused`] out.
//!
//! One way leads through: [`Claim::new`] judges the head, [`Claim::read`] reads the body within
//! its bounds, [`Claim::judge`] decides. What comes out carries the very bytes that were judged.
//!
//! # What the types forbid
//!
//! An `Admitted` cannot be built by hand:
//!
//! ```compile_fail,E0451
//! use gatekeeper::{gate::{Admitted, Proven}, routes::Route, wire::RequestHead};
//! use std::sync::Arc;
//! fn forge(head: Arc<RequestHead>, body: bytes::Bytes, route: Arc<Route>) -> Admitted {
//!     Admitted { head, body, route, proven: Proven::DeclaredPublic, handshake: false, forwarded: None }
//! }
//! ```
//!
//! A claim is no proof; the forwarder does not take it:
//!
//! ```compile_fail,E0308
//! use gatekeeper::{forward::Forwarder, gate::{Claim, Complete}, routes::Limits};
//! async fn forward(forwarder: &Forwarder, peer: Option<std::net::IpAddr>, limits: &Limits, claim: Claim<Complete>) {
//!     let _ = forwarder.send(claim, peer, limits).await;
//! }
//! ```
//!
//! Nothing is judged before its body is read:
//!
//! ```compile_fail,E0599
//! use gatekeeper::gate::{Claim, ReplayCache, RequestBody, Unread};
//! fn judge(claim: Claim<Unread<impl RequestBody>>, seen: &ReplayCache) {
//!     let _ = claim.judge(seen);
//! }
//! ```
//!
//! One proof forwards once:
//!
//! ```compile_fail,E0382
//! use gatekeeper::{forward::Forwarder, gate::Admitted, routes::Limits};
//! async fn twice(forwarder: &Forwarder, peer: Option<std::net::IpAddr>, limits: &Limits, admitted: Admitted) {
//!     let _ = forwarder.send(admitted, peer, limits).await;
//!     let _ = forwarder.send(admitted, peer, limits).await;
//! }
//! ```

mod admitted;
mod body;
mod claim;
mod forwarded;
mod refusal;
mod replay;

pub use admitted::{Admitted, EffectiveOrigin, Proven};
pub use body::RequestBody;
pub use claim::{Claim, Complete, Unread};
pub use refusal::{Refusal, Refused};
pub use replay::{ReplayCache, ReplayReservation};
