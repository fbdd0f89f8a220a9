//! A request as the app is sent it.

use std::{net::IpAddr, sync::Arc};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;

use super::{Failure, headers::ForApp, multiplexed};
use crate::gate::{Admitted, Held};

/// A request as the app is sent it.
pub(super) enum Outgoing {
    /// Over a connection of its own.
    Own(Text),
    /// Over one that others use too.
    Shared(Box<Request<Full<Bytes>>>),
}

/// A request in HTTP/1.1.
pub(super) struct Text {
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
const SHORT: usize = 4096;

impl Outgoing {
    /// What was admitted, as it is sent, and the room that its body takes.
    pub(super) fn of(admitted: Admitted, peer: Option<IpAddr>) -> Result<(Self, Held), Failure> {
        let route = Arc::clone(admitted.route());
        let handshake = admitted.is_handshake();
        let called = route.append_forwarded.then(|| admitted.called());
        let (head, body, held) = admitted.into_request();
        let mut for_app = ForApp::new(&head, handshake, body.len());
        if let Some(called) = called {
            for_app.append_forwarded(peer, &called);
        }
        let request = if route.upstream.is_http2() && !handshake {
            let request = multiplexed::request(&head, &for_app, body, &route.upstream);
            Self::Shared(Box::new(request.ok_or(Failure::Failed)?))
        } else {
            let short = body.len() <= SHORT;
            let (with_head, body) = if short { (body, Bytes::new()) } else { (Bytes::new(), body) };
            let mut text = for_app.written(with_head.len());
            text.extend_from_slice(&with_head);
            Self::Own(Text { head: text, body, to_head: head.method() == "HEAD", handshake })
        };
        Ok((request, held))
    }
}
