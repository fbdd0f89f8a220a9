//! A request's way through the house.

use std::{
    convert::Infallible,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use hyper::{Request, Response, body::Incoming};
use tokio::task::yield_now;

use super::{
    Snapshot, http2,
    reply::{self, Reply},
    wire::{Framing, Malformed, Record},
    worker::Worker,
};
use crate::forward::{Answer, Tunnel};
use crate::gate::{Admitted, Claim, Refused};
use crate::observe::{Outcome, Verdict};

/// One connection's view of the house.
pub(super) struct Exchange {
    worker: Arc<Worker>,
    peer: Option<IpAddr>,
    /// The same as text, made once for all lines.
    peer_text: Option<Arc<str>>,
    transport: Transport,
    /// What became of a WebSocket handshake, for the connection to go on with.
    tunnel: Mutex<Option<Tunnel>>,
    /// How many are under way, and when one of them last moved.
    pace: Arc<Mutex<Pace>>,
}

/// How requests arrive.
pub(super) enum Transport {
    /// Their heads are in the record too.
    Http1(Record),
    Http2,
}

struct Pace {
    open: usize,
    since: Instant,
}

/// An exchange under way. When it is over, however that came, its outcome is told.
pub(super) struct Telling {
    worker: Arc<Worker>,
    record: Option<Record>,
    pace: Arc<Mutex<Pace>>,
    pub(super) outcome: Outcome,
}

impl Exchange {
    pub(super) fn new(worker: Arc<Worker>, peer: Option<IpAddr>, transport: Transport) -> Self {
        let pace = Arc::new(Mutex::new(Pace { open: 0, since: Instant::now() }));
        let peer_text = peer.map(|peer| peer.to_string().into());
        Self { worker, peer, peer_text, transport, tunnel: Mutex::new(None), pace }
    }

    /// Answers one request, whatever comes of it.
    pub(super) async fn answer(
        &self,
        mut request: Request<Incoming>,
    ) -> Result<Response<Reply>, Infallible> {
        let telling = self.begin(&request);
        let framing = match &self.transport {
            Transport::Http1(record) => record.next_head(),
            Transport::Http2 => http2::as_http1(&mut request).map(|()| Framing::Length(0)),
        };
        let response = match framing {
            Ok(_) => self.pass(request, telling).await,
            Err(what) => malformed(what, telling),
        };
        self.let_others_go_first().await;
        Ok(if self.is_last(framing) { reply::close(response) } else { response })
    }

    /// The straight line: claim, read, judge, send.
    async fn pass(&self, request: Request<Incoming>, mut telling: Telling) -> Response<Reply> {
        let live = self.worker.shared.live.load_full(); // one immutable snapshot per request
        let admitted = match self.judge(request, &live, &mut telling.outcome).await {
            Ok(admitted) => admitted,
            Err(refused) => return refusal(&refused, &live, telling),
        };
        let proven = admitted.proven().clone();
        telling.outcome.route = live.counters(admitted.route());
        let sent = Instant::now();
        // What is refused never needs the room that this takes.
        let answer = Box::pin(self.worker.forwarder.send(admitted, self.peer, &live.limits)).await;
        telling.outcome.upstream = Some(sent.elapsed());
        match answer {
            Ok(Answer { response, tunnel }) => {
                telling.outcome.verdict = Verdict::Admitted(proven);
                self.keep(tunnel);
                reply::relayed(response, telling)
            }
            Err(failure) => {
                telling.outcome.verdict = Verdict::Failed(proven, failure);
                reply::failure(failure, telling)
            }
        }
    }

    async fn judge(
        &self,
        request: Request<Incoming>,
        live: &Snapshot,
        outcome: &mut Outcome,
    ) -> Result<Admitted, Refused> {
        let claim = Claim::new(request, self.peer, &live.table)?; // from the head alone; body unread
        let claim = claim.read(&live.limits, &self.worker.shared.buffers).await?; // bounded
        outcome.received = claim.body_length();
        claim.judge(&self.worker.shared.seen) // in constant time
    }

    fn begin(&self, request: &Request<Incoming>) -> Telling {
        let observer = &self.worker.shared.observer;
        observer.metrics.standing.in_flight.inc();
        lock(&self.pace).begin();
        let record = match &self.transport {
            Transport::Http1(record) => Some(record.clone()),
            Transport::Http2 => None,
        };
        let outcome = Outcome {
            number: observer.next_number(),
            peer: self.peer_text.clone(),
            method: request.method().clone(),
            target: request.uri().clone(),
            route: None,
            verdict: Verdict::Abandoned,
            status: 0,
            received: 0,
            sent: 0,
            began: Instant::now(),
            upstream: None,
            #[cfg(feature = "otlp")]
            parent: crate::observe::parent(request.headers()),
        };
        Telling { worker: Arc::clone(&self.worker), record, pace: Arc::clone(&self.pace), outcome }
    }

    /// Whether the connection ends with this answer, and the sender has to know: nothing is read
    /// of the rest of a refused body. HTTP/2 says so in another way.
    fn is_last(&self, framing: Result<Framing, Malformed>) -> bool {
        let Transport::Http1(record) = &self.transport else { return false };
        let stopping = self.worker.shared.stop.is_told();
        let known = matches!(framing, Ok(Framing::Length(_)));
        (stopping || !known || record.awaits_body()) && !self.has_tunnel()
    }

    /// A connection that has sent more requests than one gets one answer in each turn of its
    /// thread's connections. hyper alone would give it sixteen.
    async fn let_others_go_first(&self) {
        if matches!(&self.transport, Transport::Http1(record) if record.has_more()) {
            yield_now().await;
        }
    }

    fn keep(&self, tunnel: Option<Tunnel>) {
        if let (Some(tunnel), Transport::Http1(record)) = (tunnel, &self.transport) {
            record.end(); // what follows is a tunnel's
            *lock(&self.tunnel) = Some(tunnel);
        }
    }

    fn has_tunnel(&self) -> bool {
        lock(&self.tunnel).is_some()
    }

    /// The tunnel that the last handshake has led to.
    pub(super) fn tunnel(&self) -> Option<Tunnel> {
        lock(&self.tunnel).take()
    }

    /// For how long nothing has been under way.
    pub(super) fn idle_for(&self) -> Duration {
        let pace = lock(&self.pace);
        if pace.open == 0 { pace.since.elapsed() } else { Duration::ZERO }
    }

    /// For how long something has been under way and nothing has moved.
    pub(super) fn stalled_for(&self) -> Duration {
        let pace = lock(&self.pace);
        if pace.open > 0 { pace.since.elapsed() } else { Duration::ZERO }
    }
}

impl Telling {
    /// A piece of the answer is on its way. HTTP/1.1 has a closer look at that: its socket's.
    pub(super) fn moved(&self) {
        if self.record.is_none() {
            lock(&self.pace).since = Instant::now();
        }
    }
}

/// A panic elsewhere cannot leave a half-changed state behind.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pace {
    fn begin(&mut self) {
        self.open = self.open.saturating_add(1);
        self.since = Instant::now();
    }

    fn end(&mut self) {
        self.open = self.open.saturating_sub(1);
        self.since = Instant::now();
    }
}

fn refusal(refused: &Refused, live: &Snapshot, mut telling: Telling) -> Response<Reply> {
    let Refused { reason, route } = refused;
    let statuses = route.as_ref().map_or(live.table.statuses(), |route| route.statuses);
    telling.outcome.route = route.as_ref().and_then(|route| live.counters(route));
    telling.outcome.verdict = Verdict::Refused(*reason);
    reply::refusal(*reason, statuses, telling)
}

fn malformed(what: Malformed, mut telling: Telling) -> Response<Reply> {
    telling.outcome.verdict = Verdict::Malformed(what);
    reply::malformed(telling)
}

impl Drop for Telling {
    fn drop(&mut self) {
        let observer = &self.worker.shared.observer;
        observer.metrics.standing.in_flight.dec();
        observer.record(&self.outcome);
        lock(&self.pace).end();
        if let Some(record) = &self.record {
            record.answered();
        }
    }
}
