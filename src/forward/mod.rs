//! An [`Admitted`] up, the app's response back; tunnels. Sole holder of the upstream client.
//!
//! Nothing is sent twice: a request is tried on another connection only while not a byte of it
//! has been written.

mod connection;
mod failure;
mod headers;
mod load;
mod multiplexed;
mod pool;
mod relayed;
mod socket;
mod tunnel;

use std::{net::IpAddr, sync::Arc};

use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode, Version,
    body::Incoming,
    http::{request::Parts, response},
};
use tokio::time::timeout;

pub use failure::Failure;
pub use load::Load;
pub use relayed::Relayed;
pub use tunnel::Tunnel;

use crate::gate::Admitted;
use crate::routes::{Limits, Route, Upstream};
use connection::{Attempt, Connection, Outgoing};
use multiplexed::Multiplexed;
use pool::Pool;

/// Sends what was admitted to its upstream. One per worker, with the worker's own connections.
#[derive(Debug)]
pub struct Forwarder {
    pool: Arc<Pool>,
    multiplexed: Arc<Multiplexed>,
    load: Arc<Load>,
}

/// What the app says.
#[derive(Debug)]
pub struct Answer {
    /// Its answer, its body still to come.
    pub response: Response<Relayed>,
    /// Its side of the tunnel, where it accepted a WebSocket.
    pub tunnel: Option<Tunnel>,
}

impl Forwarder {
    /// With no connections yet. `load` counts what is with the apps, all workers together.
    #[must_use]
    pub fn new(load: Arc<Load>) -> Self {
        Self { pool: Pool::start(), multiplexed: Multiplexed::start(), load }
    }

    /// Forwards the request unchanged and returns the app's answer as it begins; its body follows
    /// as the app sends it. A WebSocket handshake that the app accepts brings a tunnel.
    ///
    /// # Errors
    /// [`Failure`], when there is no answer to give back.
    pub async fn send(
        &self,
        admitted: Admitted,
        peer: Option<IpAddr>,
        limits: &Limits,
    ) -> Result<Answer, Failure> {
        let route = Arc::clone(admitted.route());
        let entered = self.load.enter(share(&route, limits)).ok_or(Failure::Overloaded)?;
        let handshake = admitted.is_handshake();
        let called = admitted.called();
        let (mut head, body, held) = admitted.into_request();
        headers::prepare(&mut head, handshake);
        if route.append_forwarded {
            headers::append_forwarded(&mut head.headers, peer, &called);
        }
        let request = Request::from_parts(head, Full::new(body));
        let sent = self.exchange(request, &route.upstream, handshake, limits);
        let sent = timeout(limits.response_timeout, sent);
        let mut answer = sent.await.map_err(|_| Failure::Timeout)??;
        drop(held); // the app has had the body
        answer.response.body_mut().count(entered);
        Ok(answer)
    }

    async fn exchange(
        &self,
        request: Request<Outgoing>,
        upstream: &Arc<Upstream>,
        handshake: bool,
        limits: &Limits,
    ) -> Result<Answer, Failure> {
        if upstream.is_http2() && !handshake {
            let response = self.multiplexed.send(request, upstream, limits).await?;
            let response = response.map(|body| Relayed::shared(body, limits));
            return Ok(Answer { response: as_received(response), tunnel: None });
        }
        let (response, connection) = if handshake {
            fresh(request, upstream, limits).await?
        } else {
            self.pooled(request, upstream, limits).await?
        };
        let (mut head, body) = response.into_parts();
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            if !handshake {
                return Err(Failure::Failed); // nobody asked for it
            }
            head.version = Version::HTTP_11;
            let (app, said) = connection.switched().await;
            let tunnel = Tunnel { app, said, idle: limits.tunnel_idle_timeout };
            let response = Response::from_parts(head, Relayed::empty());
            return Ok(Answer { response, tunnel: Some(tunnel) });
        }
        let keep = pool::keep_for(&head, limits);
        let body = Relayed::new(body, connection, keep, Arc::clone(&self.pool), limits);
        let response = as_received(Response::from_parts(head, body));
        Ok(Answer { response, tunnel: None })
    }

    /// Over an idle connection if one is still good, else over a new one.
    async fn pooled(
        &self,
        mut request: Request<Outgoing>,
        upstream: &Arc<Upstream>,
        limits: &Limits,
    ) -> Result<Answered, Failure> {
        while let Some(mut idle) = self.pool.take(upstream) {
            match idle.send(request).await {
                Attempt::Answered(response) => return Ok((response, idle)),
                Attempt::Unsent(unsent) => request = unsent,
                Attempt::Failed => return Err(Failure::Failed),
            }
        }
        fresh(request, upstream, limits).await
    }
}

/// An answer, and the connection it comes over.
type Answered = (Response<Incoming>, Box<Connection>);

/// Over a new connection.
async fn fresh(
    request: Request<Outgoing>,
    upstream: &Arc<Upstream>,
    limits: &Limits,
) -> Result<Answered, Failure> {
    let mut fresh = connection::connect(upstream, limits).await?;
    match fresh.send(request).await {
        Attempt::Answered(response) => Ok((response, fresh)),
        Attempt::Unsent(_) | Attempt::Failed => Err(Failure::Failed),
    }
}

/// Drops what belonged to the upstream connection; all else goes back as it came.
fn as_received(response: Response<Relayed>) -> Response<Relayed> {
    let (mut head, body) = response.into_parts();
    headers::drop_hop_by_hop(&mut head.headers);
    head.version = Version::HTTP_11; // an upstream's HTTP/1.0 is between it and us
    Response::from_parts(head, body)
}

/// How many requests may be with the apps for this one to join them: what was signed has half of
/// the places to itself.
const fn share(route: &Route, limits: &Limits) -> usize {
    if route.is_public() { limits.max_in_flight / 2 } else { limits.max_in_flight }
}

/// A response head as hyper parsed it.
type ResponseHead = response::Parts;
/// A request head as the gate admitted it.
type RequestHead = Parts;
