//! One span per request, sent to a collector by OTLP over HTTP. Only built with the feature `otlp`.
//!
//! Spans wait in a bounded queue for a thread of their own, so that no request waits for a
//! collector. Those that find the queue full or the collector away are dropped and counted. Never a
//! token, a signature, a query value or a body.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use opentelemetry::{
    InstrumentationScope, KeyValue,
    propagation::{Extractor, TextMapPropagator},
    trace::{SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags},
};
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{IdGenerator, RandomIdGenerator, SpanData, SpanExporter as _},
};
use rustls::{ClientConfig, RootCertStore};
use tokio::{sync::mpsc, time::sleep};

use super::{Outcome, Verdict, line};
use crate::gate::Proven;
use crate::http1::{FieldName, Fields};

/// Spans that wait at most.
const QUEUE: usize = 2048;
/// Spans sent together at most.
const BATCH: usize = 512;
/// How long spans are gathered before they are sent together.
const BATCH_DELAY: Duration = Duration::from_millis(200);
/// How long a collector may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the end of the program waits for the last spans.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);
/// Characters of a path that a span shows.
const PATH: usize = 1024;

/// The queue in front of a collector.
#[derive(Clone, Debug)]
pub struct Spans {
    queue: mpsc::Sender<SpanData>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Put in and not done with.
    waiting: AtomicUsize,
    dropped: AtomicU64,
}

impl Spans {
    /// Starts the thread that sends to where the `OTEL_EXPORTER_OTLP_…` variables say.
    ///
    /// # Errors
    /// When the variables cannot be followed, or no thread can be had.
    pub fn start() -> io::Result<Self> {
        let exporter = exporter()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (queue, waiting) = mpsc::channel(QUEUE);
        let counts = Arc::<Counts>::default();
        let counting = Arc::clone(&counts);
        let work = move || runtime.block_on(send(exporter, waiting, &counting));
        thread::Builder::new().name("spans".into()).spawn(work)?;
        Ok(Self { queue, counts })
    }

    /// Puts the outcome's span behind those that wait, if whoever called wants it recorded.
    pub(super) fn put(&self, outcome: &Outcome, duration: Duration, start: u32) {
        let Some(context) = context(&outcome.parent) else { return };
        self.counts.waiting.fetch_add(1, Ordering::Relaxed);
        if self.queue.try_send(span(outcome, context, duration, start)).is_err() {
            self.counts.done(1, false);
        }
    }

    /// How many spans did not reach the collector.
    pub(super) fn dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Relaxed)
    }

    /// Waits for what was put in before, for a moment at most.
    pub(super) fn flush(&self) {
        let began = Instant::now();
        while self.counts.waiting.load(Ordering::Relaxed) > 0 && began.elapsed() < FLUSH_TIMEOUT {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Counts {
    fn done(&self, count: usize, sent: bool) {
        if !sent {
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            self.dropped.fetch_add(count, Ordering::Relaxed);
        }
        self.waiting.fetch_sub(count, Ordering::Relaxed);
    }
}

fn exporter() -> io::Result<SpanExporter> {
    let client = HyperClient::new(connector()?, PATIENCE, None);
    let exporter = SpanExporter::builder().with_http().with_http_client(client).build();
    let mut exporter = exporter.map_err(io::Error::other)?;
    exporter.set_resource(&resource());
    Ok(exporter)
}

/// Trusts the roots that this system does; over http none are needed.
fn connector() -> io::Result<HttpsConnector<HttpConnector>> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let tls = tls.map_err(io::Error::other)?.with_root_certificates(roots).with_no_client_auth();
    Ok(HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build())
}

/// `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`, with a name where they give none.
fn resource() -> Resource {
    let found = Resource::builder().build();
    let name = found.get(&"service.name".into()).map(|name| name.to_string());
    let named = name.is_some_and(|name| !name.starts_with("unknown_service"));
    let builder = Resource::builder();
    let builder = if named { builder } else { builder.with_service_name("gatekeeper") };
    builder.with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))).build()
}

async fn send(exporter: SpanExporter, mut queue: mpsc::Receiver<SpanData>, counts: &Counts) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut well = true;
    loop {
        let count = queue.recv_many(&mut batch, BATCH).await;
        if count == 0 {
            return;
        }
        let sent = exporter.export(std::mem::take(&mut batch)).await;
        match &sent {
            Err(error) if well => tracing::warn!(%error, "spans cannot be sent"),
            Ok(()) if !well => tracing::info!("spans are sent again"),
            _ => {}
        }
        well = sent.is_ok();
        counts.done(count, well);
        if count < BATCH {
            sleep(BATCH_DELAY).await;
        }
    }
}

/// Who called, as a valid `traceparent` says; of two there is none that holds (W3C Trace Context
/// §4.3).
#[must_use]
pub fn parent(fields: &Fields) -> SpanContext {
    if fields.all(FieldName::TraceParent).count() != 1 {
        return SpanContext::NONE;
    }
    let context = TraceContextPropagator::new().extract(&Carrier(fields));
    context.span().span_context().clone()
}

struct Carrier<'f>(&'f Fields);

impl Extractor for Carrier<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let mut fields = self.0.iter();
        let field = fields.find(|field| field.raw_name.eq_ignore_ascii_case(key.as_bytes()))?;
        std::str::from_utf8(field.value).ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().filter_map(|field| std::str::from_utf8(field.raw_name).ok()).collect()
    }
}

/// A new span of the parent's trace, or of a new one; none where the parent is not sampled.
fn context(parent: &SpanContext) -> Option<SpanContext> {
    let ids = RandomIdGenerator::default();
    let (trace, state) = if parent.is_valid() {
        parent.is_sampled().then(|| (parent.trace_id(), parent.trace_state().clone()))?
    } else {
        (ids.new_trace_id(), opentelemetry::trace::TraceState::NONE)
    };
    Some(SpanContext::new(trace, ids.new_span_id(), TraceFlags::SAMPLED, false, state))
}

fn span(outcome: &Outcome, context: SpanContext, duration: Duration, start: u32) -> SpanData {
    let end_time = SystemTime::now();
    let method = known(outcome.head.method());
    let name = match &outcome.route {
        Some(route) => format!("{} {}", method.unwrap_or("HTTP"), route.path()).into(),
        None => method.unwrap_or("HTTP").to_owned().into(),
    };
    let error = error(outcome);
    let mut attributes = attributes(outcome, method, start);
    attributes.extend(error.clone().map(|error| KeyValue::new("error.type", error)));
    SpanData {
        span_context: context,
        parent_span_is_remote: outcome.parent.is_valid(),
        parent_span_id: if outcome.parent.is_valid() {
            outcome.parent.span_id()
        } else {
            SpanId::INVALID
        },
        span_kind: SpanKind::Server,
        name,
        start_time: end_time.checked_sub(duration).unwrap_or(end_time),
        end_time,
        attributes,
        dropped_attributes_count: 0,
        events: Default::default(),
        links: Default::default(),
        status: error.map_or(Status::Unset, Status::error),
        instrumentation_scope: InstrumentationScope::builder("gatekeeper").build(),
    }
}

/// Names by OpenTelemetry's conventions for HTTP servers, and the gate's own.
fn attributes(outcome: &Outcome, method: Option<&'static str>, start: u32) -> Vec<KeyValue> {
    let path: String = String::from_utf8_lossy(outcome.head.path()).chars().take(PATH).collect();
    let mut attributes = vec![
        KeyValue::new("http.request.method", method.unwrap_or("_OTHER")),
        KeyValue::new("url.path", path),
        KeyValue::new("http.request.body.size", number(outcome.received)),
        KeyValue::new("http.response.body.size", number(outcome.sent)),
        KeyValue::new("gatekeeper.request_id", line::id(start, outcome.number)),
        KeyValue::new("gatekeeper.verdict", outcome.verdict.label()),
    ];
    let mut add = |name, value: Option<opentelemetry::Value>| {
        attributes.extend(value.map(|value| KeyValue::new(name, value)));
    };
    add("http.route", outcome.route.as_ref().map(|route| route.path().to_owned().into()));
    let status = Some(outcome.status).filter(|status| *status != 0);
    add("http.response.status_code", status.map(|status| i64::from(status).into()));
    add("network.peer.address", outcome.peer.as_ref().map(|peer| peer.to_string().into()));
    add("gatekeeper.reason", outcome.verdict.reason().map(Into::into));
    add("gatekeeper.upstream_seconds", outcome.upstream.map(|time| time.as_secs_f64().into()));
    let proof = outcome.verdict.proven().and_then(Proven::proof);
    add("gatekeeper.key", proof.map(|proof| proof.key.to_string().into()));
    add("gatekeeper.candidate", proof.map(|proof| proof.candidate.label().into_owned().into()));
    attributes
}

/// What the conventions call an error of a server.
fn error(outcome: &Outcome) -> Option<String> {
    match &outcome.verdict {
        Verdict::Failed(_, failure) => Some(failure.label().to_owned()),
        _ => (outcome.status >= 500).then(|| outcome.status.to_string()),
    }
}

/// The methods of RFC 9110 and RFC 5789. Any other is what the sender chose to write.
fn known(method: &str) -> Option<&'static str> {
    const KNOWN: [&str; 9] =
        ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];
    KNOWN.into_iter().find(|known| *known == method)
}

fn number(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(values: &[&str]) -> SpanContext {
        let fields = values.iter().map(|value| (&b"traceparent"[..], value.as_bytes()));
        parent(&crate::http1::RequestHead::from_http2("GET", "/", fields).fields)
    }

    #[test]
    fn a_parent_is_one_that_is_valid() {
        let sampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert!(told(&[sampled]).is_valid());
        assert!(!told(&[]).is_valid());
        assert!(!told(&[sampled, sampled]).is_valid());
        assert!(!told(&["00-00000000000000000000000000000000-b7ad6b7169203331-01"]).is_valid());
        assert!(!told(&["00-0af7651916cd43dd8448eb211c80319c-b7ad6b71-0a-01"]).is_valid());
    }

    #[test]
    fn a_span_is_of_its_parents_trace_and_only_where_that_is_sampled() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let ours = context(&told(&[&format!("00-{trace}-b7ad6b7169203331-01")])).unwrap();
        assert_eq!(ours.trace_id().to_string(), trace);
        assert_ne!(ours.span_id().to_string(), "b7ad6b7169203331");
        assert!(context(&told(&[&format!("00-{trace}-b7ad6b7169203331-00")])).is_none());
        assert!(context(&told(&[])).unwrap().is_valid());
    }
}
