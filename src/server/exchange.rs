//! A request's way through the house.

use std::{net::IpAddr, sync::Arc, time::Instant};

use tokio::task::yield_now;

use super::{
    Snapshot,
    http2::Pace,
    reply::{self, Reply},
    worker::Worker,
};
use crate::gate::{Admitted, Claim, Refused, Source};
use crate::observe::{Outcome, Verdict};
use crate::wire::{Malformed, RequestHead};

/// A body from this size on takes so long to judge that the app falls asleep meanwhile.
const LONG: u64 = 16 * 1024;

/// One connection's view of the house.
pub(super) struct Exchange {
    worker: Arc<Worker>,
    peer: Option<IpAddr>,
    /// The same as text, made once for all lines.
    peer_text: Option<Arc<str>>,
    /// Kept where several are under way at once.
    pace: Option<Arc<Pace>>,
}

/// An exchange under way. When it is over, however that came, its outcome is told.
pub(super) struct Telling {
    worker: Arc<Worker>,
    pace: Option<Arc<Pace>>,
    pub(super) outcome: Outcome,
}

impl Exchange {
    pub(super) fn new(worker: Arc<Worker>, peer: Option<IpAddr>, pace: Option<Arc<Pace>>) -> Self {
        let peer_text = peer.map(|peer| peer.to_string().into());
        Self { worker, peer, peer_text, pace }
    }

    /// The straight line: claim, read, judge, send.
    pub(super) async fn answer(&self, head: Arc<RequestHead>, body: impl Source) -> Reply {
        let mut telling = self.begin(&head);
        let live = self.worker.shared.live.load_full(); // one immutable snapshot per request
        let admitted = match self.judge(head, body, &live, &mut telling.outcome).await {
            Ok(admitted) => admitted,
            Err(refused) => return refusal(&refused, &live, telling),
        };
        let proven = admitted.proven().clone();
        telling.outcome.route = live.counters(admitted.route());
        if telling.outcome.received >= LONG {
            yield_now().await; // what came together is judged first, then sent: one waking for all
        }
        let sent = Instant::now();
        // What is refused never needs the room that this takes.
        let answer = Box::pin(self.worker.forwarder.send(admitted, self.peer, &live.limits)).await;
        telling.outcome.upstream = Some(sent.elapsed());
        match answer {
            Ok(answer) => {
                telling.outcome.verdict = Verdict::Admitted(proven);
                reply::relayed(answer, telling)
            }
            Err(failure) => {
                telling.outcome.verdict = Verdict::Failed(proven, failure);
                reply::failure(failure, telling)
            }
        }
    }

    async fn judge(
        &self,
        head: Arc<RequestHead>,
        body: impl Source,
        live: &Snapshot,
        outcome: &mut Outcome,
    ) -> Result<Admitted, Refused> {
        let claim = Claim::new(head, body, self.peer, &live.table)?; // from the head alone; body unread
        let claim = claim.read(&live.limits, &self.worker.shared.buffers).await?; // bounded
        outcome.received = claim.body_length();
        claim.judge(&self.worker.shared.seen) // in constant time
    }

    /// What is said of a head that cannot be judged.
    pub(super) fn malformed(&self, head: &Arc<RequestHead>, what: Malformed) -> Reply {
        let mut telling = self.begin(head);
        telling.outcome.verdict = Verdict::Malformed(what);
        reply::malformed(telling)
    }

    fn begin(&self, head: &Arc<RequestHead>) -> Telling {
        let observer = &self.worker.shared.observer;
        observer.metrics.standing.in_flight.inc();
        let began = Instant::now();
        self.pace.as_ref().inspect(|pace| pace.begin());
        let outcome = Outcome {
            number: observer.next_number(),
            peer: self.peer_text.clone(),
            head: Arc::clone(head),
            route: None,
            verdict: Verdict::Abandoned,
            status: 0,
            received: 0,
            sent: 0,
            began,
            upstream: None,
            #[cfg(feature = "otlp")]
            parent: crate::observe::parent(&head.fields),
        };
        Telling { worker: Arc::clone(&self.worker), pace: self.pace.clone(), outcome }
    }
}

impl Telling {
    /// A piece of the answer is on its way.
    pub(super) fn moved(&self) {
        self.pace.as_ref().inspect(|pace| pace.moved());
    }
}

fn refusal(refused: &Refused, live: &Snapshot, mut telling: Telling) -> Reply {
    let Refused { reason, route } = refused;
    let statuses = route.as_ref().map_or(live.table.statuses(), |route| route.statuses);
    telling.outcome.route = route.as_ref().and_then(|route| live.counters(route));
    telling.outcome.verdict = Verdict::Refused(*reason);
    reply::refusal(*reason, statuses, telling)
}

impl Drop for Telling {
    fn drop(&mut self) {
        let observer = &self.worker.shared.observer;
        observer.metrics.standing.in_flight.dec();
        observer.record(&self.outcome);
        self.pace.as_ref().inspect(|pace| pace.end());
    }
}
