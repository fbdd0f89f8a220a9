//! A request's way through the house.

use std::{net::IpAddr, sync::Arc, time::Instant};

use tokio::task::yield_now;

use super::{
    Snapshot,
    activity::ActivityTracker,
    exchange::Exchange,
    response::{self, Response},
    worker::Worker,
};
use crate::gate::{Admitted, Claim, Refused, RequestBody};
use crate::http1::{Malformed, RequestHead};
use crate::telemetry::{Outcome, Verdict};

/// A body from this size on takes so long to judge that the app falls asleep meanwhile.
const YIELD_AFTER: u64 = 16 * 1024;

/// One connection's view of the house.
pub(super) struct RequestHandler {
    worker: Arc<Worker>,
    peer: Option<IpAddr>,
    /// The same as text, made once for all lines.
    peer_text: Option<Arc<str>>,
    /// Kept where several are under way at once.
    activity: Option<Arc<ActivityTracker>>,
}

impl RequestHandler {
    pub(super) fn new(
        worker: Arc<Worker>,
        peer: Option<IpAddr>,
        activity: Option<Arc<ActivityTracker>>,
    ) -> Self {
        let peer_text = peer.map(|peer| peer.to_string().into());
        Self { worker, peer, peer_text, activity }
    }

    /// The straight line: claim, read, judge, send.
    pub(super) async fn answer(&self, head: Arc<RequestHead>, body: impl RequestBody) -> Response {
        let mut exchange = self.begin(&head);
        let live = self.worker.shared.snapshot.load_full(); // one immutable snapshot per request
        let admitted = match self.judge(head, body, &live, &mut exchange.outcome).await {
            Ok(admitted) => admitted,
            Err(refused) => return refusal(&refused, &live, exchange),
        };
        let proven = admitted.proven().clone();
        exchange.outcome.route = live.counters(admitted.route());
        if exchange.outcome.received >= YIELD_AFTER {
            yield_now().await; // what came together is judged first, then sent: one waking for all
        }
        let sent = Instant::now();
        // What is refused never needs the room that this takes.
        let answer = Box::pin(self.worker.forwarder.send(admitted, self.peer, &live.limits)).await;
        exchange.outcome.upstream = Some(sent.elapsed());
        match answer {
            Ok(answer) => {
                exchange.outcome.verdict = Verdict::Admitted(proven);
                response::relayed(answer, exchange)
            }
            Err(failure) => {
                exchange.outcome.verdict = Verdict::Failed(proven, failure);
                response::failure(failure, exchange)
            }
        }
    }

    async fn judge(
        &self,
        head: Arc<RequestHead>,
        body: impl RequestBody,
        live: &Snapshot,
        outcome: &mut Outcome,
    ) -> Result<Admitted, Refused> {
        let claim = Claim::new(head, body, self.peer, &live.table)?; // from the head alone; body unread
        let claim = claim.read(&live.limits, &self.worker.shared.memory_budget).await?; // bounded
        outcome.received = claim.body_length();
        claim.judge(&self.worker.shared.replay_cache) // in constant time
    }

    /// What is said of a head that cannot be judged.
    pub(super) fn malformed(&self, head: &Arc<RequestHead>, what: Malformed) -> Response {
        let mut exchange = self.begin(head);
        exchange.outcome.verdict = Verdict::Malformed(what);
        response::malformed(exchange)
    }

    fn begin(&self, head: &Arc<RequestHead>) -> Exchange {
        Exchange::begin(&self.worker, self.activity.as_ref(), self.peer_text.clone(), head)
    }
}

fn refusal(refused: &Refused, live: &Snapshot, mut exchange: Exchange) -> Response {
    let Refused { reason, route } = refused;
    let statuses = route.as_ref().map_or(live.table.statuses(), |route| route.statuses);
    exchange.outcome.route = route.as_ref().and_then(|route| live.counters(route));
    exchange.outcome.verdict = Verdict::Refused(*reason);
    response::refusal(*reason, statuses, exchange)
}
