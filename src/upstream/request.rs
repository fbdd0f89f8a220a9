//! A request as the app is sent it.

use std::{net::IpAddr, sync::Arc};

use bytes::Bytes;

use super::header_filter::UpstreamHead;
use crate::gate::Admitted;
use crate::limits::Reservation;

/// A request in HTTP/1.1.
pub(super) struct UpstreamRequest {
    /// Its head, and the body behind it where that is short.
    pub(super) head: Vec<u8>,
    /// The body, where it is longer.
    pub(super) body: Bytes,
    /// Its method is `HEAD`.
    pub(super) to_head: bool,
    pub(super) handshake: bool,
}

/// Bodies up to this size are sent in one piece with their head: copying is cheaper than a second
/// piece.
const INLINE_BODY_MAX: usize = 4096;

impl UpstreamRequest {
    /// What was admitted, as it is sent, and the room that its body takes.
    pub(super) fn of(admitted: Admitted, peer: Option<IpAddr>) -> (Self, Reservation) {
        let route = Arc::clone(admitted.route());
        let handshake = admitted.is_handshake();
        let called = route.append_forwarded.then(|| admitted.effective_origin());
        let (head, body, held) = admitted.into_request();
        let mut for_app = UpstreamHead::new(&head, handshake, body.len());
        if let Some(called) = called {
            for_app.append_forwarded(peer, &called);
        }
        let short = body.len() <= INLINE_BODY_MAX;
        let (with_head, body) = if short { (body, Bytes::new()) } else { (Bytes::new(), body) };
        let mut text = for_app.written(with_head.len());
        text.extend_from_slice(&with_head);
        (Self { head: text, body, to_head: head.method() == "HEAD", handshake }, held)
    }
}
