//! A request's way through the house.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use hyper::{Method, Request, Response, StatusCode, Uri, body::Incoming};

use super::{
    Snapshot,
    reply::{self, Reply},
    wire::{Framing, Record},
    worker::Worker,
};
use crate::forward::Failure;
use crate::gate::{Admitted, Claim, Proven, Refused};
use crate::observe::{self, Outcome, Verdict};
use crate::routes::Route;

/// One connection's view of the house.
#[derive(Clone)]
pub(super) struct Exchange {
    pub(super) worker: Worker,
    pub(super) peer: SocketAddr,
    pub(super) record: Record,
}

/// How it ended, and at which route.
struct Ended {
    response: Response<Reply>,
    verdict: Verdict,
    route: Option<Arc<Route>>,
}

impl Exchange {
    /// Answers one request and says once what happened.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response<Reply> {
        let began = Instant::now();
        let told = observe::is_heard().then(|| (request.method().clone(), request.uri().clone()));
        let Ended { response, verdict, route } = match self.record.next_head() {
            Ok(framing) => {
                let ended = self.pass(request).await;
                if framing == Framing::Chunked { ended.closing() } else { ended }
            }
            Err(what) => Ended::malformed(what),
        };
        if let Some((method, target)) = &told {
            self.tell(method, target, route.as_deref(), verdict, &response, began);
        }
        response
    }

    /// The straight line: claim, read, judge, send.
    async fn pass(&self, request: Request<Incoming>) -> Ended {
        let live = self.worker.shared.live.load_full(); // one immutable snapshot per request
        let admitted = match self.judge(request, &live).await {
            Ok(admitted) => admitted,
            Err(refused) => return Ended::refused(refused, &live),
        };
        let (proven, route) = (admitted.proven().clone(), Arc::clone(admitted.route()));
        match self.worker.forwarder.send(admitted, self.peer.ip(), &live.limits).await {
            Ok(response) => {
                if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                    self.record.end(); // what follows is a tunnel's
                }
                let response = response.map(Reply::Relayed);
                Ended { response, verdict: Verdict::Admitted(proven), route: Some(route) }
            }
            Err(failure) => Ended::failed(proven, failure, route),
        }
    }

    async fn judge(
        &self,
        request: Request<Incoming>,
        live: &Snapshot,
    ) -> Result<Admitted, Refused> {
        let claim = Claim::new(request, &live.table)?; // refusals from the head alone; body unread
        let claim = claim.read(&live.limits).await?; // bounded in bytes and in time
        claim.judge() // pure, constant time
    }

    fn tell(
        &self,
        method: &Method,
        target: &Uri,
        route: Option<&Route>,
        verdict: Verdict,
        response: &Response<Reply>,
        began: Instant,
    ) {
        observe::record(&Outcome {
            peer: self.peer.ip(),
            method,
            target,
            route: route.map(|route| route.path.to_string()),
            verdict,
            status: response.status().as_u16(),
            duration: began.elapsed(),
        });
    }
}

impl Ended {
    fn refused(Refused { reason, route }: Refused, live: &Snapshot) -> Self {
        let statuses = route.as_ref().map_or(live.table.statuses(), |route| route.statuses);
        let response = reply::refusal(reason, statuses);
        Self { response, verdict: Verdict::Refused(reason), route }
    }

    fn failed(proven: Proven, failure: Failure, route: Arc<Route>) -> Self {
        let response = reply::failure(failure);
        Self { response, verdict: Verdict::Failed(proven, failure), route: Some(route) }
    }

    fn malformed(what: &'static str) -> Self {
        Self { response: reply::malformed(), verdict: Verdict::Malformed(what), route: None }
    }

    fn closing(self) -> Self {
        Self { response: reply::close(self.response), ..self }
    }
}
