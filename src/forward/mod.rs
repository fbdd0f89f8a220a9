//! An [`Admitted`] up, the app's response back; tunnels. Sole holder of the upstream client.
//!
//! Nothing is sent twice: a request is tried on another connection only while not a byte of it
//! has been written.

mod connection;
mod failure;
mod headers;
mod multiplexed;
mod pool;
mod relayed;
mod socket;
mod tunnel;

use std::{net::IpAddr, sync::Arc};

use http_body_util::Full;
use hyper::{Request, Response, StatusCode, Version, http::request::Parts, http::response};
use tokio::time::timeout;

pub use failure::Failure;
pub use relayed::Relayed;

use crate::gate::Admitted;
use crate::routes::{Limits, Upstream};
use connection::{Attempt, Connection, Outgoing};
use multiplexed::Multiplexed;
use pool::Pool;

/// Sends what was admitted to its upstream. One per worker, with the worker's own connections.
#[derive(Debug)]
pub struct Forwarder {
    pool: Arc<Pool>,
    multiplexed: Arc<Multiplexed>,
}

impl Default for Forwarder {
    fn default() -> Self {
        Self { pool: Pool::start(), multiplexed: Multiplexed::start() }
    }
}

impl Forwarder {
    /// Forwards the request unchanged and returns the app's answer as it begins; its body follows
    /// as the app sends it. A WebSocket handshake that the app accepts becomes a tunnel.
    ///
    /// # Errors
    /// [`Failure`], when there is no answer to give back.
    pub async fn send(
        &self,
        admitted: Admitted,
        peer: IpAddr,
        limits: &Limits,
    ) -> Result<Response<Relayed>, Failure> {
        let route = Arc::clone(admitted.route());
        let upstream = &route.upstream;
        let handshake = admitted.is_handshake();
        let (mut head, body) = admitted.into_request();
        headers::prepare(&mut head, handshake);
        if route.append_forwarded {
            headers::append_forwarded(&mut head.headers, peer, &route);
        }
        let mut request = Request::from_parts(head, Full::new(body));
        let sent = async {
            if handshake {
                let client = hyper::upgrade::on(&mut request);
                tunnel::open_tunnel(request, client, upstream, limits).await
            } else {
                self.exchange(request, upstream, limits).await
            }
        };
        let response = timeout(limits.response_timeout, sent).await;
        response.map_err(|_| Failure::Timeout)?.map(as_received)
    }

    /// Over an idle connection if one is still good, else over a new one.
    async fn exchange(
        &self,
        mut request: Request<Outgoing>,
        upstream: &Arc<Upstream>,
        limits: &Limits,
    ) -> Result<Response<Relayed>, Failure> {
        if upstream.is_http2() {
            let response = self.multiplexed.send(request, upstream, limits).await?;
            return Ok(response.map(|body| Relayed::shared(body, limits)));
        }
        while let Some(mut idle) = self.pool.take(upstream) {
            match idle.send(request).await {
                Attempt::Answered(response) => return self.relay(response, idle, limits),
                Attempt::Unsent(unsent) => request = unsent,
                Attempt::Failed => return Err(Failure::Failed),
            }
        }
        let mut fresh = connection::connect(upstream, limits).await?;
        match fresh.send(request).await {
            Attempt::Answered(response) => self.relay(response, fresh, limits),
            Attempt::Unsent(_) | Attempt::Failed => Err(Failure::Failed),
        }
    }

    fn relay(
        &self,
        response: Response<hyper::body::Incoming>,
        connection: Box<Connection>,
        limits: &Limits,
    ) -> Result<Response<Relayed>, Failure> {
        let (head, body) = response.into_parts();
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Failure::Failed); // nobody asked for it
        }
        let keep = pool::keep_for(&head, limits);
        let pool = Arc::clone(&self.pool);
        Ok(Response::from_parts(head, Relayed::new(body, connection, keep, pool, limits)))
    }
}

/// Drops what belonged to the upstream connection; all else goes back as it came.
fn as_received(response: Response<Relayed>) -> Response<Relayed> {
    let (mut head, body) = response.into_parts();
    if head.status != StatusCode::SWITCHING_PROTOCOLS {
        headers::drop_hop_by_hop(&mut head.headers);
    }
    head.version = Version::HTTP_11; // an upstream's HTTP/1.0 is between it and us
    Response::from_parts(head, body)
}

/// A response head as hyper parsed it.
type ResponseHead = response::Parts;
/// A request head as the gate admitted it.
type RequestHead = Parts;
