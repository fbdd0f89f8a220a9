//! A request as it is sent to the app.

use std::{net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;

use super::header_filter::UpstreamHead;
use crate::gate::{Admitted, ReplayReservation};
use crate::limits::{Limits, Reservation};

/// An HTTP/1.1 request, ready to be written.
pub(super) struct UpstreamRequest {
    /// The head, and the body after it where that is short.
    pub(super) head: Vec<u8>,
    /// The body, where it is longer.
    pub(super) body: Bytes,
    /// The method is `HEAD`.
    pub(super) is_head: bool,
    /// The request is a WebSocket handshake.
    pub(super) is_handshake: bool,
    /// The time until the response starts.
    pub(super) response_timeout: Duration,
    /// The memory that the body occupies.
    pub(super) reservation: Reservation,
    /// The signature's entry in the replay cache, until the first byte is sent.
    pub(super) replay: Option<ReplayReservation>,
}

/// Bodies up to this size are copied behind their head: cheaper than a second slice in the system
/// call.
const INLINE_BODY_MAX: usize = 4096;

impl UpstreamRequest {
    pub(super) fn new(admitted: Admitted, peer: Option<IpAddr>, limits: &Limits) -> Self {
        let route = Arc::clone(admitted.route());
        let response_timeout = route.response_timeout.unwrap_or(limits.response_timeout);
        let is_handshake = admitted.is_handshake();
        let origin = admitted.effective_origin();
        let (head, body, reservation, replay) = admitted.into_parts();
        let is_head = head.method() == "HEAD";
        let mut upstream_head = UpstreamHead::new(&head, is_handshake, body.len());
        if route.append_forwarded {
            upstream_head.append_forwarded(peer, &origin);
        }
        upstream_head.add_missing_host(&origin);
        let is_short = body.len() <= INLINE_BODY_MAX;
        let (inline, body) = if is_short { (body, Bytes::new()) } else { (Bytes::new(), body) };
        let mut head = upstream_head.encode(inline.len());
        head.extend_from_slice(&inline);
        Self { head, body, is_head, is_handshake, response_timeout, reservation, replay }
    }
}
