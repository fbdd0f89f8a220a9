//! One span per request, exported by OTLP over HTTP. Only built with the feature `otlp`.
//!
//! A bounded queue and a separate thread keep requests from waiting for the collector. Spans are
//! dropped and counted when the queue is full or the collector does not accept them. A span never
//! contains a token, a signature, a query value or a body.

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

use super::{
    outcome::{ExchangeId, Outcome},
    verdict::Verdict,
};
use crate::gate::Proven;
use crate::http1::{FieldName, Fields};

/// Maximum spans in the queue.
const MAX_QUEUED_SPANS: usize = 2048;
/// Maximum spans in one export.
const MAX_BATCH: usize = 512;
/// Pause between two exports, so that one request carries many spans.
const BATCH_DELAY: Duration = Duration::from_millis(200);
/// Maximum time for one export.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum time that [`Spans::flush`] waits.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum characters of a path in a span.
const MAX_PATH_CHARS: usize = 1024;

/// Handle of the span queue; clones share it.
#[derive(Clone, Debug)]
pub struct Spans {
    queue: mpsc::Sender<SpanData>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Queued or being exported.
    waiting: AtomicUsize,
    dropped: AtomicU64,
}

impl Spans {
    /// Starts the exporter thread. The `OTEL_EXPORTER_OTLP_…` variables set the endpoint.
    ///
    /// # Errors
    /// When the variables are invalid, or the thread cannot be started.
    pub fn start() -> io::Result<Self> {
        let exporter = exporter()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (queue, waiting) = mpsc::channel(MAX_QUEUED_SPANS);
        let counts = Arc::<Counts>::default();
        let counting = Arc::clone(&counts);
        let run = move || runtime.block_on(send(exporter, waiting, &counting));
        thread::Builder::new().name("spans".into()).spawn(run)?;
        Ok(Self { queue, counts })
    }

    /// Queues the outcome's span, unless the parent is not sampled.
    pub(super) fn export(&self, outcome: &Outcome, duration: Duration, id: ExchangeId) {
        let Some(context) = context(&outcome.parent) else { return };
        self.counts.waiting.fetch_add(1, Ordering::Relaxed);
        if self.queue.try_send(span(outcome, context, duration, id)).is_err() {
            self.counts.finish(1, false);
        }
    }

    /// Returns the number of spans that did not reach the collector.
    pub(super) fn dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Relaxed)
    }

    /// Waits until the queue is exported, [`FLUSH_TIMEOUT`] at most.
    pub(super) fn flush(&self) {
        let began = Instant::now();
        while self.counts.waiting.load(Ordering::Relaxed) > 0 && began.elapsed() < FLUSH_TIMEOUT {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Counts {
    fn finish(&self, count: usize, sent: bool) {
        if !sent {
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            self.dropped.fetch_add(count, Ordering::Relaxed);
        }
        self.waiting.fetch_sub(count, Ordering::Relaxed);
    }
}

fn exporter() -> io::Result<SpanExporter> {
    let client = HyperClient::new(connector()?, EXPORT_TIMEOUT, None);
    let exporter = SpanExporter::builder().with_http().with_http_client(client).build();
    let mut exporter = exporter.map_err(io::Error::other)?;
    exporter.set_resource(&resource());
    Ok(exporter)
}

/// HTTP client for the collector; `https` uses the system's root certificates.
fn connector() -> io::Result<HttpsConnector<HttpConnector>> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let tls = tls.map_err(io::Error::other)?.with_root_certificates(roots).with_no_client_auth();
    Ok(HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build())
}

/// Resource from `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`; the name defaults to `gatekeeper`.
fn resource() -> Resource {
    let found = Resource::builder().build();
    let name = found.get(&"service.name".into()).map(|name| name.to_string());
    let named = name.is_some_and(|name| !name.starts_with("unknown_service"));
    let builder = Resource::builder();
    let builder = if named { builder } else { builder.with_service_name("gatekeeper") };
    builder.with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))).build()
}

async fn send(exporter: SpanExporter, mut queue: mpsc::Receiver<SpanData>, counts: &Counts) {
    let mut batch = Vec::with_capacity(MAX_BATCH);
    let mut is_healthy = true;
    loop {
        let count = queue.recv_many(&mut batch, MAX_BATCH).await;
        if count == 0 {
            return;
        }
        let sent = exporter.export(std::mem::take(&mut batch)).await;
        match &sent {
            Err(error) if is_healthy => tracing::warn!(%error, "spans cannot be sent"),
            Ok(()) if !is_healthy => tracing::info!("spans are sent again"),
            _ => {}
        }
        is_healthy = sent.is_ok();
        counts.finish(count, is_healthy);
        if count < MAX_BATCH {
            sleep(BATCH_DELAY).await;
        }
    }
}

/// Parses `traceparent`. Returns an invalid context when the field is absent, invalid or repeated
/// (W3C Trace Context §4.3).
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

/// Creates a span context in the parent's trace, or in a new trace when the parent is invalid. Returns
/// `None` when the parent is not sampled.
fn context(parent: &SpanContext) -> Option<SpanContext> {
    let ids = RandomIdGenerator::default();
    let (trace, state) = if parent.is_valid() {
        parent.is_sampled().then(|| (parent.trace_id(), parent.trace_state().clone()))?
    } else {
        (ids.new_trace_id(), opentelemetry::trace::TraceState::NONE)
    };
    Some(SpanContext::new(trace, ids.new_span_id(), TraceFlags::SAMPLED, false, state))
}

fn span(outcome: &Outcome, context: SpanContext, duration: Duration, id: ExchangeId) -> SpanData {
    let end_time = SystemTime::now();
    let method = known_method(outcome.head.method());
    let name = match &outcome.route {
        Some(route) => format!("{} {}", method.unwrap_or("HTTP"), route.path()).into(),
        None => method.unwrap_or("HTTP").to_owned().into(),
    };
    let error = error(outcome);
    let mut attributes = attributes(outcome, method, id);
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

/// Attributes by OpenTelemetry's semantic conventions for HTTP servers, and `gatekeeper.*`.
fn attributes(outcome: &Outcome, method: Option<&'static str>, id: ExchangeId) -> Vec<KeyValue> {
    let path: String =
        String::from_utf8_lossy(outcome.head.path()).chars().take(MAX_PATH_CHARS).collect();
    let mut attributes = vec![
        KeyValue::new("http.request.method", method.unwrap_or("_OTHER")),
        KeyValue::new("url.path", path),
        KeyValue::new("http.request.body.size", number(outcome.received)),
        KeyValue::new("http.response.body.size", number(outcome.sent)),
        KeyValue::new("gatekeeper.request_id", id.to_string()),
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
    add(
        "gatekeeper.candidate",
        proof.and_then(|proof| Some(proof.candidate?.label().into_owned().into())),
    );
    attributes
}

/// Value of `error.type` by the conventions: set for a failed upstream and for a 5xx status.
fn error(outcome: &Outcome) -> Option<String> {
    match &outcome.verdict {
        Verdict::Failed(_, failure) => Some(failure.label().to_owned()),
        _ => (outcome.status >= 500).then(|| outcome.status.to_string()),
    }
}

/// Returns the method if RFC 9110 or RFC 5789 defines it. Others come from the client and would make
/// the span names unbounded.
fn known_method(method: &str) -> Option<&'static str> {
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

    fn parse(values: &[&str]) -> SpanContext {
        let fields = values.iter().map(|value| (&b"traceparent"[..], value.as_bytes()));
        parent(&crate::http1::RequestHead::from_http2("GET", "/", fields).fields)
    }

    #[test]
    fn only_a_single_valid_traceparent_is_used() {
        let sampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert!(parse(&[sampled]).is_valid());
        assert!(!parse(&[]).is_valid());
        assert!(!parse(&[sampled, sampled]).is_valid());
        assert!(!parse(&["00-00000000000000000000000000000000-b7ad6b7169203331-01"]).is_valid());
        assert!(!parse(&["00-0af7651916cd43dd8448eb211c80319c-b7ad6b71-0a-01"]).is_valid());
    }

    #[test]
    fn span_joins_a_sampled_parent_and_is_omitted_for_an_unsampled_one() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let ours = context(&parse(&[&format!("00-{trace}-b7ad6b7169203331-01")])).unwrap();
        assert_eq!(ours.trace_id().to_string(), trace);
        assert_ne!(ours.span_id().to_string(), "b7ad6b7169203331");
        assert!(context(&parse(&[&format!("00-{trace}-b7ad6b7169203331-00")])).is_none());
        assert!(context(&parse(&[])).unwrap().is_valid());
    }
}
