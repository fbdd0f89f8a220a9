//! Forwards an [`Admitted`] request and returns the app's response; tunnels. Sole holder of the
//! upstream client.
//!
//! Nothing is sent twice: a request is tried over another connection only while no byte of it has
//! been written.

mod connect;
mod connection;
mod failure;
mod header_filter;
mod pool;
mod pool_key;
mod request;
mod response_body;
mod tunnel;

use std::{
    future::Future,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::mpsc, time::timeout};

pub use failure::{Failure, UpstreamError};
pub use response_body::ResponseBody;
pub use tunnel::Tunnel;

use crate::gate::Admitted;
use crate::http1::{Field, FieldName, Fields, ResponseHead};
use crate::limits::{CountLimit, CountPermit, Limits};
use connection::{Attempt, Connection};
use header_filter::HeaderFilter;
use pool::{KeepAlive, Pool};
use pool_key::PoolKey;
use request::UpstreamRequest;
use response_body::{ActiveBody, IdleTimer};

/// Sends admitted requests to their upstreams. One per worker, with its own connections.
#[derive(Debug)]
pub struct Forwarder {
    pool: Arc<Pool>,
    in_flight_limit: Arc<CountLimit>,
    /// Held by whatever goes on when the connections of clients have ended.
    alive: mpsc::Sender<()>,
}

/// The app's response.
#[derive(Debug)]
pub struct UpstreamResponse {
    /// The head as the app sent it, without length fields that are repeated or invalid.
    pub head: ResponseHead,
    /// The body, still to come.
    pub body: ResponseBody,
    /// The app's side of the tunnel, where it accepted a WebSocket.
    pub tunnel: Option<Tunnel>,
}

impl UpstreamResponse {
    /// Iterates over the fields that go back to the client: all but those that belong to the
    /// upstream connection. Of a 101 they are the handshake's, and all go back.
    pub fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        let filter = match self.head.status {
            101 => HeaderFilter::all(),
            _ => HeaderFilter::end_to_end(&self.head.fields),
        };
        self.head.fields.iter().filter(move |field| filter.keeps(field))
    }
}

impl Forwarder {
    /// Creates a forwarder without connections. The limits count the requests in flight and the idle
    /// connections of all workers. Drops its clones of `alive` when nothing is left to be sent.
    #[must_use]
    pub fn new(
        in_flight_limit: Arc<CountLimit>,
        idle_limit: Arc<CountLimit>,
        alive: mpsc::Sender<()>,
    ) -> Self {
        Self { pool: Pool::start(idle_limit), in_flight_limit, alive }
    }

    /// Forwards the request unchanged and returns the app's response as it begins; its body follows
    /// as the app sends it. A WebSocket handshake that the app accepts yields a tunnel.
    /// `is_client_gone` is asked after a long wait for a connection.
    ///
    /// # Errors
    /// [`UpstreamError`], when there is no response to return.
    pub fn send(
        &self,
        admitted: Admitted,
        peer: Option<IpAddr>,
        limits: &Limits,
        mut is_client_gone: impl FnMut() -> bool,
    ) -> impl Future<Output = Result<Box<UpstreamResponse>, UpstreamError>> {
        let permit = self.in_flight_limit.try_acquire(max_in_flight(&admitted, limits));
        let key = PoolKey::new(&admitted);
        let mut request = UpstreamRequest::new(admitted, peer, limits);
        // The future of an `async fn` would hold `admitted` beside the request that is made of it:
        // 1,144 bytes, more than malloc keeps ready for a thread, and 500 instructions.
        async move {
            let named = |error: UpstreamError| error.at(&key.upstream);
            let permit = permit.ok_or_else(|| named(overloaded()))?;
            let sent = self.round_trip(&mut request, &key, limits, &mut is_client_gone).await;
            let (head, connection) = sent.map_err(named)?;
            if head.status == 101 {
                return upgrade(head, connection, &request, limits).map_err(named);
            }
            Ok(self.response(head, connection, request, permit, limits))
        }
    }

    /// Uses an idle connection if one is still open, else a new one; for a handshake always a new
    /// one.
    async fn round_trip(
        &self,
        request: &mut UpstreamRequest,
        key: &PoolKey,
        limits: &Limits,
        is_client_gone: &mut impl FnMut() -> bool,
    ) -> Result<(ResponseHead, Box<Connection>), UpstreamError> {
        while !request.is_handshake
            && let Some(mut idle) = self.pool.take(key)
        {
            let allowed = request.response_timeout;
            match idle.send(request, allowed).await {
                Attempt::Answered(head) => return Ok((head, idle)),
                Attempt::Unsent => {}
                Attempt::Failed(error) => return Err(error),
            }
        }
        // Boxed: keeps the parent future small. A new connection is rare.
        Box::pin(round_trip_anew(request, key.clone(), limits, is_client_gone)).await
    }

    fn response(
        &self,
        head: ResponseHead,
        connection: Box<Connection>,
        request: UpstreamRequest,
        permit: CountPermit,
        limits: &Limits,
    ) -> Box<UpstreamResponse> {
        let reservation = connection.has_unsent().then_some(request.reservation);
        let body = ResponseBody::new(ActiveBody {
            keep_alive: KeepAlive::new(&head, limits),
            connection,
            pool: Arc::clone(&self.pool),
            idle_timeout: limits.response_idle_timeout,
            _permit: permit,
            reservation,
            alive: self.alive.clone(),
            idle: IdleTimer::default(),
        });
        Box::new(UpstreamResponse { head, body, tunnel: None })
    }
}

/// A client may close its sending side and still read the response, as `nc` does at the end of its
/// input. After a wait of this length the close is taken for the client's end, as nginx always takes
/// it: its caller has heard an error by now, and the app must not act on the request.
const LONG_WAIT: Duration = Duration::from_millis(250);

fn overloaded() -> UpstreamError {
    UpstreamError::new(Failure::Overloaded, "max_in_flight requests are in flight")
}

async fn round_trip_anew(
    request: &mut UpstreamRequest,
    key: PoolKey,
    limits: &Limits,
    is_client_gone: &mut impl FnMut() -> bool,
) -> Result<(ResponseHead, Box<Connection>), UpstreamError> {
    let began = Instant::now();
    let connected = timeout(request.response_timeout, Connection::connect(key, limits));
    let elapsed = |_| UpstreamError::new(Failure::Timeout, "no connection within response_timeout");
    let mut connection = connected.await.map_err(elapsed)??;
    let waited = began.elapsed();
    if waited >= LONG_WAIT && is_client_gone() {
        return Err(UpstreamError::new(Failure::ClientGone, "the client closed its connection"));
    }
    let left = request.response_timeout.saturating_sub(waited);
    match connection.send(request, left).await {
        Attempt::Answered(head) => Ok((head, connection)),
        Attempt::Unsent => {
            Err(UpstreamError::new(Failure::Failed, "the connection was closed at once"))
        }
        Attempt::Failed(error) => Err(error),
    }
}

/// Turns a 101 into a tunnel. It must answer a handshake, and accept `websocket` (RFC 6455 §4.1).
fn upgrade(
    head: ResponseHead,
    connection: Box<Connection>,
    request: &UpstreamRequest,
    limits: &Limits,
) -> Result<Box<UpstreamResponse>, UpstreamError> {
    if !request.is_handshake || !accepts_websocket(&head.fields) {
        let cause = "a 101 that accepts no WebSocket";
        return Err(UpstreamError::new(Failure::Failed, cause));
    }
    let (app, prefix) = connection.into_upgraded();
    let tunnel = Some(Tunnel { app, prefix, idle_timeout: limits.tunnel_idle_timeout });
    Ok(Box::new(UpstreamResponse { head, body: ResponseBody::empty(), tunnel }))
}

fn accepts_websocket(fields: &Fields) -> bool {
    let mut upgrades = fields.elements(FieldName::Upgrade);
    let websocket = upgrades.next().is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"));
    websocket
        && upgrades.next().is_none()
        && fields.lists(FieldName::Connection, "upgrade")
        && !fields.contains(FieldName::TransferEncoding)
}

/// Returns the number of requests that may be in flight for this one to join them: unproven ones
/// share half of them, so that signed requests always have the other half.
fn max_in_flight(admitted: &Admitted, limits: &Limits) -> usize {
    let is_proven = admitted.proven().proof().is_some();
    if is_proven { limits.max_in_flight } else { limits.max_in_flight / 2 }
}
