//! Connections between two requests.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::connection::Connection;
use crate::http1::{FieldName, ResponseHead};
use crate::limits::Limits;
use crate::routes::Upstream;

/// Unused connections, the latest on top. Nothing waits here: who finds none opens one.
#[derive(Debug, Default)]
pub(super) struct Pool {
    idle: Mutex<Stacks>,
}

/// By the upstream's place in memory. Each connection holds its upstream, so the place is not
/// another's as long as there is one.
type Stacks = BTreeMap<usize, Vec<Idle>>;

fn place(upstream: &Arc<Upstream>) -> usize {
    Arc::as_ptr(upstream).addr()
}

#[derive(Debug)]
struct Idle {
    connection: Box<Connection>,
    until: Instant,
}

/// For how long, and among how many, a connection may be kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeepAlive {
    pub(super) period: Duration,
    pub(super) among: usize,
}

/// Room for the journey of a request that leaves just before the app closes.
const CLOSE_MARGIN: Duration = Duration::from_millis(500);
/// How often what is past its time is closed.
const SWEEP_INTERVAL: Duration = Duration::from_millis(500);

/// The configured time, or less where the app says that it will close sooner
/// (`Keep-Alive: timeout=5`, as Node sends it).
pub(super) fn keep_alive_for(head: &ResponseHead, limits: &Limits) -> KeepAlive {
    let hint = head.fields.get(FieldName::KeepAlive).and_then(timeout_hint);
    let hinted = hint.map_or(Duration::MAX, |hint| hint.saturating_sub(CLOSE_MARGIN));
    KeepAlive {
        period: limits.upstream_idle_timeout.min(hinted),
        among: limits.upstream_idle_connections,
    }
}

fn timeout_hint(value: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?;
    let seconds = text.split(',').find_map(|part| part.trim().strip_prefix("timeout="))?;
    Some(Duration::from_secs(seconds.trim().parse().ok()?))
}

impl Pool {
    /// An empty pool, swept until it is dropped.
    pub(super) fn start() -> Arc<Self> {
        let pool = Arc::new(Self::default());
        tokio::spawn(sweep(Arc::downgrade(&pool)));
        pool
    }

    /// The most recently used connection that is within its time.
    pub(super) fn take(&self, upstream: &Arc<Upstream>) -> Option<Box<Connection>> {
        let now = Instant::now();
        let mut idle = self.idle();
        let stack = idle.get_mut(&place(upstream))?;
        let latest = stack.pop().filter(|latest| latest.until > now);
        if latest.is_none() {
            stack.clear(); // most of those below it have waited longer
        }
        latest.map(|latest| latest.connection)
    }

    /// Keeps a connection whose exchange is over, if it may be kept.
    pub(super) fn put(&self, mut connection: Box<Connection>, keep: KeepAlive) {
        let Some(until) = Instant::now().checked_add(keep.period) else { return };
        if keep.period.is_zero() || !connection.is_idle() {
            return;
        }
        let mut idle = self.idle();
        let stack = idle.entry(place(connection.upstream())).or_default();
        if stack.len() < keep.among {
            stack.push(Idle { connection, until });
        }
    }

    fn close_overdue(&self) {
        let now = Instant::now();
        self.idle().retain(|_, stack| {
            stack.retain(|idle| idle.until > now);
            !stack.is_empty()
        });
    }

    /// A panic elsewhere cannot leave a half-changed stack behind.
    fn idle(&self) -> MutexGuard<'_, Stacks> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn sweep(pool: Weak<Pool>) {
    let mut ticks = interval(SWEEP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(pool) = pool.upgrade() else { return };
        pool.close_overdue();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_closed_before_the_app_would() {
        let keep = |hint: &str| {
            let fields = [(&b"Keep-Alive"[..], hint.as_bytes())];
            let head = ResponseHead::from_parts(200, fields.into_iter());
            let limits =
                Limits { upstream_idle_timeout: Duration::from_secs(10), ..Limits::default() };
            keep_alive_for(&head, &limits).period
        };
        assert_eq!(keep("timeout=5"), Duration::from_millis(4500));
        assert_eq!(keep("timeout=2, max=100"), Duration::from_millis(1500));
        assert_eq!(keep("timeout=0"), Duration::ZERO);
        assert_eq!(keep("timeout=x"), Duration::from_secs(10));
        assert_eq!(keep("timeout=600"), Duration::from_secs(10));
    }
}
