//! One exchange: a request and its response.

use std::{sync::Arc, time::Instant};

use super::{activity::ActivityTracker, worker::Worker};
use crate::http1::RequestHead;
use crate::telemetry::{Outcome, Verdict};

/// An exchange in flight. Dropping it counts and logs its outcome.
pub(super) struct Exchange {
    worker: Arc<Worker>,
    activity: Option<Arc<ActivityTracker>>,
    pub(super) outcome: Outcome,
}

impl Exchange {
    pub(super) fn begin(
        worker: &Arc<Worker>,
        activity: Option<&Arc<ActivityTracker>>,
        peer: Option<Arc<str>>,
        head: &Arc<RequestHead>,
    ) -> Self {
        let observer = &worker.shared.observer;
        observer.metrics.gauges.in_flight.inc();
        let began = Instant::now();
        activity.inspect(|activity| activity.begin());
        let outcome = Outcome {
            number: observer.next_number(),
            peer,
            head: Arc::clone(head),
            route: None,
            verdict: Verdict::Abandoned,
            status: 0,
            received: 0,
            sent: 0,
            began,
            upstream: None,
            #[cfg(feature = "otlp")]
            parent: crate::telemetry::parent(&head.fields),
        };
        Self { worker: Arc::clone(worker), activity: activity.cloned(), outcome }
    }

    /// Records that a part of the response was sent.
    pub(super) fn moved(&self) {
        self.activity.as_ref().inspect(|activity| activity.moved());
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let observer = &self.worker.shared.observer;
        observer.metrics.gauges.in_flight.dec();
        observer.record(&self.outcome);
        self.activity.as_ref().inspect(|activity| activity.end());
    }
}
