//! An [`Admitted`] up, the app's response back; tunnels. Sole holder of the upstream client.
//!
//! Nothing is sent twice: a request is tried on another connection only while not a byte of it
//! has been written.

mod connect;
mod connection;
mod failure;
mod header_filter;
mod pool;
mod request;
mod response_body;
mod tunnel;
mod wire;

use std::{net::IpAddr, sync::Arc, time::Instant};

use tokio::time::timeout;

pub use failure::Failure;
pub use response_body::ResponseBody;
pub use tunnel::Tunnel;

use crate::gate::Admitted;
use crate::http1::{BodyDecoder, Field, ResponseHead};
use crate::limits::{InFlightLimit, Limits};
use crate::net::IoPair;
use crate::routes::{Route, Upstream};
use connection::{Attempt, Connection};
use header_filter::HeaderFilter;
use pool::Pool;
use request::UpstreamRequest;

/// Sends what was admitted to its upstream. One per worker, with the worker's own connections.
#[derive(Debug)]
pub struct Forwarder {
    pool: Arc<Pool>,
    load: Arc<InFlightLimit>,
}

/// What the app says.
#[derive(Debug)]
pub struct UpstreamResponse {
    /// Its head, as the app sent it, but for lengths that it repeats or that mean nothing.
    pub head: ResponseHead,
    /// Its body, still to come.
    pub body: ResponseBody,
    /// Its side of the tunnel, where it accepted a WebSocket.
    pub tunnel: Option<Tunnel>,
}

impl UpstreamResponse {
    /// The fields that go back to the sender: all but those that belonged to the upstream
    /// connection. A tunnel's are the handshake's.
    pub fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        let passing = self.passing();
        self.head.fields.iter().filter(move |field| passing.keeps(field))
    }

    /// Appends them as HTTP/1.1 has them.
    pub fn write_fields(&self, to: &mut Vec<u8>) {
        let passing = self.passing();
        self.head.fields.write(|field| passing.keeps(field), to);
    }

    fn passing(&self) -> HeaderFilter<'_> {
        match self.head.status {
            101 => HeaderFilter::all(),
            _ => HeaderFilter::end_to_end(&self.head.fields),
        }
    }
}

impl Forwarder {
    /// With no connections yet. `load` counts what is with the apps, all workers together.
    #[must_use]
    pub fn new(load: Arc<InFlightLimit>) -> Self {
        Self { pool: Pool::start(), load }
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
    ) -> Result<Box<UpstreamResponse>, Failure> {
        let route = Arc::clone(admitted.route());
        let entered = self.load.try_acquire(share(&route, limits)).ok_or(Failure::Overloaded)?;
        let (request, held) = UpstreamRequest::of(admitted, peer);
        let mut answer = self.exchange(request, &route.upstream, limits).await?;
        answer.body.count(entered, held);
        Ok(answer)
    }

    async fn exchange(
        &self,
        request: UpstreamRequest,
        upstream: &Arc<Upstream>,
        limits: &Limits,
    ) -> Result<Box<UpstreamResponse>, Failure> {
        let ResponseStart { head, rest, connection } =
            self.answered(&request, upstream, limits).await?;
        if head.status == 101 {
            if !request.handshake {
                return Err(Failure::Failed); // nobody asked for it
            }
            let (app, said) = connection.into_upgraded();
            let tunnel = Some(Tunnel { app, said, idle: limits.tunnel_idle_timeout });
            return Ok(Box::new(UpstreamResponse { head, body: ResponseBody::empty(), tunnel }));
        }
        let keep = pool::keep_alive_for(&head, limits);
        let body = ResponseBody::new(rest, connection, keep, Arc::clone(&self.pool), limits);
        Ok(Box::new(UpstreamResponse { head, body, tunnel: None }))
    }

    /// Over an idle connection if one is still good, else over a new one; a handshake always over
    /// a new one.
    async fn answered(
        &self,
        request: &UpstreamRequest,
        upstream: &Arc<Upstream>,
        limits: &Limits,
    ) -> Result<ResponseStart, Failure> {
        let parts = [&request.head[..], &request.body];
        let idle = || if request.handshake { None } else { self.pool.take(upstream) };
        while let Some(mut idle) = idle() {
            match idle.send(IoPair(parts), request.to_head, limits.response_timeout).await {
                Attempt::Answered(head, rest) => {
                    return Ok(ResponseStart { head, rest, connection: idle });
                }
                Attempt::Unsent => {}
                Attempt::Failed(failure) => return Err(failure),
            }
        }
        Box::pin(answered_anew(request, upstream, limits)).await // rare, and takes much room
    }
}

async fn answered_anew(
    request: &UpstreamRequest,
    upstream: &Arc<Upstream>,
    limits: &Limits,
) -> Result<ResponseStart, Failure> {
    let began = Instant::now();
    let fresh = timeout(limits.response_timeout, connection::connect(upstream, limits));
    let mut connection = fresh.await.map_err(|_| Failure::Timeout)??;
    let left = limits.response_timeout.saturating_sub(began.elapsed());
    let parts = [&request.head[..], &request.body];
    match connection.send(IoPair(parts), request.to_head, left).await {
        Attempt::Answered(head, rest) => Ok(ResponseStart { head, rest, connection }),
        Attempt::Unsent => Err(Failure::Failed),
        Attempt::Failed(failure) => Err(failure),
    }
}

/// An answer, and the connection it comes over.
struct ResponseStart {
    head: ResponseHead,
    rest: BodyDecoder,
    connection: Box<Connection>,
}

/// How many requests may be with the apps for this one to join them: what was signed has half of
/// the places to itself.
const fn share(route: &Route, limits: &Limits) -> usize {
    if route.is_public() { limits.max_in_flight / 2 } else { limits.max_in_flight }
}
