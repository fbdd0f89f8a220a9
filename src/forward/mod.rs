//! An [`Admitted`] up, the app's response back; tunnels. Sole holder of the upstream client.
//!
//! Nothing is sent twice: a request is tried on another connection only while not a byte of it
//! has been written.

mod connection;
mod failure;
mod headers;
mod load;
mod multiplexed;
mod patience;
mod pieces;
mod pool;
mod relayed;
mod socket;
mod tunnel;

use std::{net::IpAddr, sync::Arc, time::Instant};

use bytes::Bytes;
use tokio::time::timeout;

pub use failure::Failure;
pub use load::Load;
pub use patience::{Late, Patience};
pub use pieces::Pieces;
pub use relayed::Relayed;
pub use tunnel::Tunnel;

use crate::gate::Admitted;
use crate::routes::{Limits, Route, Upstream};
use crate::wire::{Field, RequestHead, ResponseHead, Rest};
use connection::{Attempt, Connection};
use headers::List;
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
    /// Its head, as the app sent it, but for lengths that it repeats or that mean nothing.
    pub head: ResponseHead,
    /// Its body, still to come.
    pub body: Relayed,
    /// Its side of the tunnel, where it accepted a WebSocket.
    pub tunnel: Option<Tunnel>,
}

/// A request as the app is sent it.
struct Outgoing<'r> {
    head: &'r RequestHead,
    fields: List<'r>,
    body: Bytes,
    handshake: bool,
}

/// Bodies up to this size are sent in one piece with their head: copying is cheaper than a second
/// piece.
const SHORT: usize = 4096;

impl Answer {
    /// The fields that go back to the sender: all but those that belonged to the upstream
    /// connection. A tunnel's are the handshake's.
    pub fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        let (all, end_to_end) = match self.head.status {
            101 => (Some(self.head.fields.iter()), None),
            _ => (None, Some(headers::end_to_end(&self.head.fields))),
        };
        all.into_iter().flatten().chain(end_to_end.into_iter().flatten())
    }
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
        let called = route.append_forwarded.then(|| admitted.called());
        let (head, body, held) = admitted.into_request();
        let mut fields = headers::for_app(&head, handshake, body.len());
        if let Some(called) = called {
            headers::append_forwarded(&mut fields, &head, peer, &called);
        }
        let request = Outgoing { head: &head, fields, body, handshake };
        let mut answer = self.exchange(request, &route.upstream, limits).await?;
        answer.body.count(entered, held);
        Ok(answer)
    }

    async fn exchange(
        &self,
        request: Outgoing<'_>,
        upstream: &Arc<Upstream>,
        limits: &Limits,
    ) -> Result<Answer, Failure> {
        let handshake = request.handshake;
        if upstream.is_http2() && !handshake {
            let sent = self.multiplexed.send(request, upstream, limits);
            let (head, body) =
                timeout(limits.response_timeout, sent).await.map_err(|_| Failure::Timeout)??;
            return Ok(Answer { head, body: Relayed::shared(body, limits), tunnel: None });
        }
        let Answered { head, rest, connection } = self.answered(&request, upstream, limits).await?;
        if head.status == 101 {
            if !handshake {
                return Err(Failure::Failed); // nobody asked for it
            }
            let (app, said) = connection.switched();
            let tunnel = Tunnel { app, said, idle: limits.tunnel_idle_timeout };
            return Ok(Answer { head, body: Relayed::empty(), tunnel: Some(tunnel) });
        }
        let keep = pool::keep_for(&head, limits);
        let body = Relayed::new(rest, connection, keep, Arc::clone(&self.pool), limits);
        Ok(Answer { head, body, tunnel: None })
    }

    /// Over an idle connection if one is still good, else over a new one; a handshake always over
    /// a new one.
    async fn answered(
        &self,
        request: &Outgoing<'_>,
        upstream: &Arc<Upstream>,
        limits: &Limits,
    ) -> Result<Answered, Failure> {
        let short = request.body.len() <= SHORT;
        let (with_head, apart) =
            if short { (&request.body[..], &b""[..]) } else { (&b""[..], &request.body[..]) };
        let mut head = headers::written(request.head, &request.fields, with_head.len());
        head.extend_from_slice(with_head);
        let parts = [&head[..], apart];
        let to_head = request.head.method() == "HEAD";
        let idle = || if request.handshake { None } else { self.pool.take(upstream) };
        while let Some(mut idle) = idle() {
            match idle.send(Pieces(parts), to_head, limits.response_timeout).await {
                Attempt::Answered(head, rest) => {
                    return Ok(Answered { head, rest, connection: idle });
                }
                Attempt::Unsent => {}
                Attempt::Failed(failure) => return Err(failure),
            }
        }
        let began = Instant::now();
        let fresh = timeout(limits.response_timeout, connection::connect(upstream, limits));
        let mut fresh = fresh.await.map_err(|_| Failure::Timeout)??;
        let left = limits.response_timeout.saturating_sub(began.elapsed());
        match fresh.send(Pieces(parts), to_head, left).await {
            Attempt::Answered(head, rest) => Ok(Answered { head, rest, connection: fresh }),
            Attempt::Unsent => Err(Failure::Failed),
            Attempt::Failed(failure) => Err(failure),
        }
    }
}

/// An answer, and the connection it comes over.
struct Answered {
    head: ResponseHead,
    rest: Rest,
    connection: Box<Connection>,
}

/// How many requests may be with the apps for this one to join them: what was signed has half of
/// the places to itself.
const fn share(route: &Route, limits: &Limits) -> usize {
    if route.is_public() { limits.max_in_flight / 2 } else { limits.max_in_flight }
}
