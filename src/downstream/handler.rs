//! The request handler of a connection: claim, read, judge, send.

use std::{net::IpAddr, panic::resume_unwind, sync::Arc, time::Instant};

use tokio::task::{spawn_blocking, yield_now};

use super::{
    Snapshot,
    exchange::Exchange,
    response::{self, Response},
    worker::Worker,
};
use crate::gate::{Admitted, Claim, Complete, Refusal, Refused, RefusedBody, RequestBody};
use crate::http1::{FramedHead, Malformed, RequestHead};
use crate::telemetry::{Details, Outcome, Question, Verdict};
use crate::upstream::Failure;

/// Verifying a body of this many bytes takes long enough that the app's thread goes idle.
const YIELD_AFTER: u64 = 16 * 1024;
/// A costly claim with a body of this many bytes is judged on a blocking thread: hashing it takes
/// milliseconds.
const MIN_BLOCKING_BODY: u64 = 1024 * 1024;
/// Heads up to this size are not counted as buffered.
pub(super) const FREE_HEAD: usize = 4 * 1024;

/// Handles the requests of one connection.
pub(super) struct RequestHandler {
    worker: Arc<Worker>,
    peer: Option<IpAddr>,
    /// The peer's address as text, made once for all log lines.
    peer_text: Option<Arc<str>>,
}

impl RequestHandler {
    pub(super) fn new(worker: Arc<Worker>, peer: Option<IpAddr>) -> Self {
        let peer_text = peer.map(|peer| peer.to_string().into());
        Self { worker, peer, peer_text }
    }

    /// Takes a request to its response, in one straight line.
    pub(super) async fn respond(
        &self,
        head: &FramedHead,
        mut body: impl RequestBody,
        snapshot: &Snapshot,
    ) -> Response {
        let is_tls = snapshot.tls.is_some();
        if self.worker.shared.nonces.record(head.head(), self.peer, is_tls) {
            return self.answer_doctor(head.head());
        }
        // Behind a trusted proxy `Host` may differ from the public host, so it is not compared with it.
        // It must still be a valid host, since the app receives it.
        let is_trusted = snapshot.table.trust().is_some_and(|trust| trust.trusts(self.peer));
        if is_trusted && !head.head().has_valid_host() {
            return self.malformed(head.head(), "invalid_host");
        }
        let Some(mut exchange) = self.begin(head.head(), snapshot) else {
            let route = snapshot.table.find(head.head().path()).cloned();
            let refused = Refused::unread(Refusal::Overloaded, route);
            return self.refuse(refused, snapshot, self.begin_unaccounted(head.head()));
        };
        let has_body = body.exact_len() != Some(0);
        let admitted = match self.judge(head, &mut body, snapshot, &mut exchange.outcome).await {
            Ok(admitted) => admitted,
            Err(mut refused) => {
                refused.body = refused.body.or_else(|| (!has_body).then(RefusedBody::empty));
                return self.refuse(refused, snapshot, exchange);
            }
        };
        self.forward(admitted, body, snapshot, exchange).await
    }

    /// Sends an admitted request to the app.
    async fn forward(
        &self,
        admitted: Admitted,
        mut body: impl RequestBody,
        snapshot: &Snapshot,
        mut exchange: Exchange,
    ) -> Response {
        let proven = admitted.proven().clone();
        exchange.outcome.route = snapshot.counters(admitted.route());
        if let Some(reason) = proven.unenforced() {
            let body = Some(admitted.body_to_explain());
            exchange.outcome.details = self.details(reason, None, body, snapshot);
        }
        if exchange.outcome.received >= YIELD_AFTER {
            // Requests verified in the same turn are then sent together and wake the app once:
            // 1.04 instead of 1.17 times the floor for bodies of 64 KiB (benches/README.md).
            yield_now().await;
        }
        let sent = Instant::now();
        // Boxed: keeps the parent future small; a refused request never needs it.
        let sending = Box::pin(self.worker.forwarder.send(
            admitted,
            self.peer,
            &snapshot.limits,
            || body.is_client_gone(),
        ));
        let result = sending.await;
        exchange.outcome.upstream = Some(sent.elapsed());
        match result {
            Ok(response) => {
                exchange.outcome.verdict = Verdict::Admitted(proven);
                response::relayed(response, exchange)
            }
            Err(error) => {
                let failure = error.failure;
                exchange.outcome.verdict = match failure {
                    Failure::ClientGone => Verdict::Abandoned,
                    failure => Verdict::Failed(proven, failure),
                };
                exchange.outcome.details.get_or_insert_default().error = Some(error);
                response::failure(failure, exchange)
            }
        }
    }

    async fn judge(
        &self,
        head: &FramedHead,
        body: impl RequestBody,
        snapshot: &Snapshot,
        outcome: &mut Outcome,
    ) -> Result<Admitted, Refused> {
        let shared = &self.worker.shared;
        let claim = Claim::new(head, body, self.peer, &snapshot.table)?; // from the head alone
        let claim = claim.read(&snapshot.limits, &shared.memory_budget).await?; // bounded
        outcome.received = claim.body_length();
        if claim.is_costly() {
            return Box::pin(self.judge_in_turn(claim)).await; // boxed: rare, and keeps this future small
        }
        claim.judge(&shared.replay_cache) // MACs are compared in constant time
    }

    /// Returns the response to a pending nonce of `gatekeeper doctor`.
    fn answer_doctor(&self, head: &Arc<RequestHead>) -> Response {
        let mut exchange = self.begin_unaccounted(head);
        exchange.outcome.verdict = Verdict::Doctor;
        response::no_content(exchange)
    }

    /// Judges claims one after another, and lets every other task of the thread run before each.
    /// Without this, as many forged requests as there are connections would be verified between two
    /// steps of a signed one: with 512 of them, half of the signed ones took 220 ms instead of 3.
    ///
    /// A mail of 30 MB takes 100 ms to hash, so a long body is judged by another thread.
    async fn judge_in_turn(&self, claim: Claim<Complete>) -> Result<Admitted, Refused> {
        let _turn = self.worker.costly_turn.lock().await;
        yield_now().await;
        let replays = &self.worker.shared.replay_cache;
        if claim.body_length() < MIN_BLOCKING_BODY {
            return claim.judge(replays);
        }
        let replays = replays.clone();
        let judged = spawn_blocking(move || claim.judge(&replays)).await;
        judged.unwrap_or_else(|error| resume_unwind(error.into_panic()))
    }

    /// Returns the response to a head that cannot be judged.
    pub(super) fn malformed(&self, head: &Arc<RequestHead>, what: Malformed) -> Response {
        let mut exchange = self.begin_unaccounted(head);
        exchange.outcome.verdict = Verdict::Malformed(what);
        response::malformed(exchange)
    }

    /// Returns the response to a head with more than `max_headers` fields.
    pub(super) fn too_many_fields(&self, head: &Arc<RequestHead>) -> Response {
        let mut exchange = self.begin_unaccounted(head);
        exchange.outcome.verdict = Verdict::Malformed("too_many_fields");
        response::too_many_fields(exchange)
    }

    /// Begins an exchange, counting a large head as buffered; `None` where no memory is left.
    fn begin(&self, head: &Arc<RequestHead>, snapshot: &Snapshot) -> Option<Exchange> {
        let memory = match head.fields.head_size().checked_sub(FREE_HEAD) {
            None | Some(0) => None,
            Some(excess) => Some(self.worker.reserve(excess, self.peer, &snapshot.limits)?),
        };
        Some(Exchange::begin(&self.worker, self.peer_text.clone(), head, memory))
    }

    fn begin_unaccounted(&self, head: &Arc<RequestHead>) -> Exchange {
        Exchange::begin(&self.worker, self.peer_text.clone(), head, None)
    }

    fn refuse(&self, refused: Refused, snapshot: &Snapshot, mut exchange: Exchange) -> Response {
        let Refused { reason, route, account, body } = refused;
        let statuses = route.as_ref().map_or(snapshot.table.statuses(), |route| route.statuses);
        exchange.outcome.route = route.as_ref().and_then(|route| snapshot.counters(route));
        exchange.outcome.verdict = Verdict::Refused(reason);
        exchange.outcome.details = self.details(reason, account, body, snapshot);
        response::refusal(reason, statuses, exchange)
    }

    /// Returns what the log says of a request that is not proven, beside the reason.
    fn details(
        &self,
        reason: Refusal,
        account: Option<Box<str>>,
        body: Option<RefusedBody>,
        snapshot: &Snapshot,
    ) -> Option<Box<Details>> {
        let knowledge = snapshot.knowledge.as_ref().filter(|_| reason.is_explainable());
        let question = knowledge.map(|knowledge| Question {
            knowledge: Arc::clone(knowledge),
            body,
            peer: self.peer,
        });
        let has_any = account.is_some() || question.is_some();
        has_any.then(|| Box::new(Details { account, question, error: None }))
    }
}
