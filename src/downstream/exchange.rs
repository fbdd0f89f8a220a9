//! One exchange: a request and its response.

use std::{sync::Arc, time::Instant};

use super::worker::Worker;
use crate::http1::RequestHead;
use crate::limits::Reservation;
use crate::telemetry::{Outcome, Verdict};

/// An exchange in flight. It is counted and logged once: by [`Self::finish`], or when it is dropped
/// because the client left or the response broke off.
pub(super) struct Exchange {
    worker: Arc<Worker>,
    /// Memory of a large head.
    _head_memory: Option<Reservation>,
    pub(super) outcome: Outcome,
}

impl Exchange {
    pub(super) fn begin(
        worker: &Arc<Worker>,
        peer: Option<Arc<str>>,
        head: &Arc<RequestHead>,
        head_memory: Option<Reservation>,
    ) -> Self {
        let observer = &worker.shared.observer;
        observer.metrics.gauges.in_flight.inc();
        let outcome = Outcome {
            number: observer.next_number(),
            peer,
            head: Arc::clone(head),
            route: None,
            verdict: Verdict::Abandoned,
            status: 0,
            received: 0,
            sent: 0,
            began: Instant::now(),
            upstream: None,
            details: None,
            #[cfg(feature = "otlp")]
            parent: crate::telemetry::parent(&head.fields),
        };
        Self { worker: Arc::clone(worker), _head_memory: head_memory, outcome }
    }

    /// Counts and logs the outcome.
    pub(super) fn finish(self) {
        drop(self);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let observer = &self.worker.shared.observer;
        observer.metrics.gauges.in_flight.dec();
        observer.record(&mut self.outcome);
    }
}
