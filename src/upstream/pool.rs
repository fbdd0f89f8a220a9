//! Idle connections, kept between two requests.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{connection::Connection, pool_key::PoolKey};
use crate::http1::{FieldName, ResponseHead};
use crate::limits::{CountLimit, CountPermit, Limits};

/// The idle connections of one worker, the most recently used on top. A request that finds none
/// opens one; nothing waits here.
#[derive(Debug)]
pub(super) struct Pool {
    /// Counts the idle connections of all workers.
    idle_limit: Arc<CountLimit>,
    /// A list, not a map: there are few upstreams, and comparing their addresses is cheaper than
    /// hashing their names.
    idle: Mutex<Vec<(PoolKey, Vec<IdleConnection>)>>,
}

#[derive(Debug)]
struct IdleConnection {
    connection: Box<Connection>,
    expires: Instant,
    _permit: CountPermit,
}

/// For how long a connection may be kept, and among how many of the whole process.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeepAlive {
    pub(super) period: Duration,
    pub(super) max_connections: usize,
}

/// Safety margin below the app's `Keep-Alive: timeout`, so that a request never races the app's
/// close.
const CLOSE_MARGIN: Duration = Duration::from_millis(500);
/// Interval between two searches for expired connections.
const SWEEP_INTERVAL: Duration = Duration::from_millis(500);

impl KeepAlive {
    /// The configured period, or less where the app closes sooner (`Keep-Alive: timeout=5`, as Node
    /// sends it).
    pub(super) fn new(head: &ResponseHead, limits: &Limits) -> Self {
        let hint = head.fields.get(FieldName::KeepAlive).and_then(timeout_hint);
        let hinted = hint.map_or(Duration::MAX, |hint| hint.saturating_sub(CLOSE_MARGIN));
        Self {
            period: limits.upstream_idle_timeout.min(hinted),
            max_connections: limits.upstream_idle_connections,
        }
    }
}

fn timeout_hint(value: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?;
    let seconds = text.split(',').find_map(|part| part.trim().strip_prefix("timeout="))?;
    Some(Duration::from_secs(seconds.trim().parse().ok()?))
}

impl Pool {
    /// Creates an empty pool, and a task that closes expired connections until the pool is dropped.
    pub(super) fn start(idle_limit: Arc<CountLimit>) -> Arc<Self> {
        let pool = Arc::new(Self { idle_limit, idle: Mutex::default() });
        tokio::spawn(sweep(Arc::downgrade(&pool)));
        pool
    }

    /// Takes the most recently used connection that is neither expired nor closed by the app.
    pub(super) fn take(&self, key: &PoolKey) -> Option<Box<Connection>> {
        let now = Instant::now();
        let mut idle = self.idle();
        let (_, stack) = idle.iter_mut().find(|(known, _)| known == key)?;
        while let Some(latest) = stack.pop() {
            if latest.expires <= now {
                stack.clear(); // most of those below have been idle for longer
                return None;
            }
            let mut connection = latest.connection;
            if !connection.has_unexpected_input() {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection that is reusable.
    pub(super) fn put(&self, connection: Box<Connection>, keep_alive: KeepAlive) {
        let Some(expires) = Instant::now().checked_add(keep_alive.period) else { return };
        if keep_alive.period.is_zero() || !connection.is_reusable() {
            return;
        }
        let Some(permit) = self.idle_limit.try_acquire(keep_alive.max_connections) else { return };
        let mut idle = self.idle();
        let known = idle.iter().position(|(known, _)| known == connection.key());
        let index = known.unwrap_or_else(|| {
            idle.push((connection.key().clone(), Vec::new()));
            idle.len().saturating_sub(1)
        });
        if let Some((_, stack)) = idle.get_mut(index) {
            stack.push(IdleConnection { connection, expires, _permit: permit });
        }
    }

    fn close_expired(&self) {
        let now = Instant::now();
        self.idle().retain_mut(|(_, stack)| {
            stack.retain(|idle| idle.expires > now);
            !stack.is_empty()
        });
    }

    /// A panic elsewhere cannot leave a half-changed list behind.
    fn idle(&self) -> MutexGuard<'_, Vec<(PoolKey, Vec<IdleConnection>)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn sweep(pool: Weak<Pool>) {
    let mut ticks = interval(SWEEP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(pool) = pool.upgrade() else { return };
        pool.close_expired();
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::http1::HeadScanner;

    #[test]
    fn a_connection_is_closed_before_the_app_would_close_it() {
        let keep = |hint: &str| {
            let text = format!("HTTP/1.1 200 OK\r\nKeep-Alive: {hint}\r\n\r\n");
            let mut buf = BytesMut::from(text.as_bytes());
            let head = ResponseHead::parse(&mut buf, &mut HeadScanner::default(), 1024);
            let limits =
                Limits { upstream_idle_timeout: Duration::from_secs(10), ..Limits::default() };
            KeepAlive::new(&head.unwrap().unwrap(), &limits).period
        };
        assert_eq!(keep("timeout=5"), Duration::from_millis(4500));
        assert_eq!(keep("timeout=2, max=100"), Duration::from_millis(1500));
        assert_eq!(keep("timeout=0"), Duration::ZERO);
        assert_eq!(keep("timeout=x"), Duration::from_secs(10));
        assert_eq!(keep("timeout=600"), Duration::from_secs(10));
    }
}
