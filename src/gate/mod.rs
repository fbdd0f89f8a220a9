//! Decides which requests are admitted: a request in, an [`Admitted`] or a [`Refused`] out.
//!
//! [`Claim::new`] judges the head, [`Claim::read`] reads the body within its bounds, and
//! [`Claim::judge`] decides. An `Admitted` carries the very bytes that were judged.
//!
//! # Compile-time guarantees
//!
//! Each misuse below is followed by a twin that differs in that misuse alone and compiles, so that an
//! example cannot fail for another reason unnoticed (rustdoc checks error codes on nightly only).
//!
//! Code outside this module cannot construct an `Admitted`. Its fields are private:
//!
//! ```compile_fail,E0451
//! use bytes::Bytes;
//! use gatekeeper::{gate::{Admitted, Proven}, http1::RequestHead, limits::Reservation};
//! use gatekeeper::{routes::Route, signature::Origin};
//! use std::sync::Arc;
//! fn forge(
//!     head: Arc<RequestHead>, body: Bytes, reservation: Reservation, route: Arc<Route>,
//!     proven: Proven, handshake: bool, forwarded: Option<Box<Origin>>,
//! ) -> Admitted {
//!     Admitted { head, body, reservation, route, proven, handshake, forwarded }
//! }
//! ```
//!
//! ```
//! use bytes::Bytes;
//! use gatekeeper::{gate::{Admitted, Proven}, http1::RequestHead, limits::Reservation};
//! use gatekeeper::{routes::Route, signature::Origin};
//! use std::sync::Arc;
//! fn forge(
//!     head: Arc<RequestHead>, body: Bytes, reservation: Reservation, route: Arc<Route>,
//!     proven: Proven, handshake: bool, forwarded: Option<Box<Origin>>,
//! ) -> Admitted {
//!     unimplemented!()
//! }
//! ```
//!
//! Only the gate says that a route does not enforce its proofs:
//!
//! ```compile_fail,E0451
//! use gatekeeper::gate::{Proven, Refusal, Unenforced};
//! fn excuse(reason: Refusal) -> Proven {
//!     Proven::Unenforced(Unenforced { reason })
//! }
//! ```
//!
//! ```
//! use gatekeeper::gate::{Proven, Unenforced};
//! fn excuse(reason: Unenforced) -> Proven {
//!     Proven::Unenforced(reason)
//! }
//! ```
//!
//! The forwarder does not accept a claim:
//!
//! ```compile_fail,E0308
//! use gatekeeper::{gate::{Claim, Complete}, limits::Limits, upstream::Forwarder};
//! use std::net::IpAddr;
//! async fn forward(forwarder: &Forwarder, claim: Claim<Complete>, peer: Option<IpAddr>, limits: &Limits) {
//!     let _ = forwarder.send(claim, peer, limits, || false).await;
//! }
//! ```
//!
//! ```
//! use gatekeeper::{gate::Admitted, limits::Limits, upstream::Forwarder};
//! use std::net::IpAddr;
//! async fn forward(forwarder: &Forwarder, claim: Admitted, peer: Option<IpAddr>, limits: &Limits) {
//!     let _ = forwarder.send(claim, peer, limits, || false).await;
//! }
//! ```
//!
//! A claim cannot be judged before its body is read:
//!
//! ```compile_fail,E0599
//! use gatekeeper::gate::{Claim, RequestBody, Unread, ReplayCache};
//! fn judge(claim: Claim<Unread<impl RequestBody>>, replays: &ReplayCache) {
//!     let _ = claim.judge(replays);
//! }
//! ```
//!
//! ```
//! use gatekeeper::gate::{Claim, Complete, ReplayCache};
//! fn judge(claim: Claim<Complete>, replays: &ReplayCache) {
//!     let _ = claim.judge(replays);
//! }
//! ```
//!
//! An `Admitted` can be forwarded once:
//!
//! ```compile_fail,E0382
//! use gatekeeper::{gate::Admitted, limits::Limits, upstream::Forwarder};
//! use std::net::IpAddr;
//! async fn twice(forwarder: &Forwarder, admitted: Admitted, peer: Option<IpAddr>, limits: &Limits) {
//!     let _ = forwarder.send(admitted, peer, limits, || false).await;
//!     let _ = forwarder.send(admitted, peer, limits, || false).await;
//! }
//! ```
//!
//! ```
//! use gatekeeper::{gate::Admitted, limits::Limits, upstream::Forwarder};
//! use std::net::IpAddr;
//! async fn twice(forwarder: &Forwarder, first: Admitted, admitted: Admitted, peer: Option<IpAddr>, limits: &Limits) {
//!     let _ = forwarder.send(first, peer, limits, || false).await;
//!     let _ = forwarder.send(admitted, peer, limits, || false).await;
//! }
//! ```

mod admitted;
mod body;
mod claim;
mod forwarded;
mod observe;
mod refusal;
mod replay;

pub use admitted::{Admitted, EffectiveOrigin, Proven};
pub use body::RequestBody;
pub use claim::{Claim, Complete, Unread};
pub use observe::Unenforced;
pub use refusal::{Refusal, Refused, RefusedBody};
pub use replay::{ReplayCache, ReplayReservation};
