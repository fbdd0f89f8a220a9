//! The streams of an HTTP/2 connection: how many are open, and whether each makes progress.

use std::{
    future::Future,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use hyper::rt::Executor;
use tokio::time::sleep;

use super::worker::Worker;
use crate::limits::Reservation;

/// Memory that an open stream is taken to hold, in bytes: its state, a head, a response line.
const STREAM_MEMORY: usize = 4 * 1024;

tokio::task_local! {
    /// The clock of the stream whose task is being polled.
    static CLOCK: Arc<SendClock>;
}

/// The open streams of one connection.
#[derive(Debug)]
pub(super) struct Activity(Mutex<OpenStreams>);

#[derive(Debug)]
struct OpenStreams {
    count: usize,
    has_begun: bool,
    /// The time of the last change of `count`.
    since: Instant,
}

impl Default for Activity {
    fn default() -> Self {
        Self(Mutex::new(OpenStreams { count: 0, has_begun: false, since: Instant::now() }))
    }
}

impl Activity {
    /// Returns whether no stream is open.
    pub(super) fn is_idle(&self) -> bool {
        self.open().count == 0
    }

    /// Returns whether a stream was ever opened.
    pub(super) fn has_begun(&self) -> bool {
        self.open().has_begun
    }

    /// Returns for how long no stream has been open.
    pub(super) fn idle_for(&self) -> Duration {
        let open = self.open();
        if open.count == 0 { open.since.elapsed() } else { Duration::ZERO }
    }

    fn begin(&self) {
        let mut open = self.open();
        let count = open.count.saturating_add(1);
        *open = OpenStreams { count, has_begun: true, since: Instant::now() };
    }

    fn end(&self) {
        let mut open = self.open();
        (open.count, open.since) = (open.count.saturating_sub(1), Instant::now());
    }

    /// A panic elsewhere cannot leave a half-changed count behind.
    fn open(&self) -> MutexGuard<'_, OpenStreams> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Measures how long a client has taken nothing of a response. It runs while hyper waits for window
/// to send in, and stands while the app has nothing to be sent: that pause has a timeout of its own.
#[derive(Debug, Default)]
pub(super) struct SendClock(Mutex<Option<Instant>>);

impl SendClock {
    /// Returns the clock of the stream that is being polled.
    pub(super) fn current() -> Arc<Self> {
        CLOCK.try_with(Arc::clone).unwrap_or_default()
    }

    /// Starts anew: from now on the client is waited for.
    pub(super) fn start(&self) {
        *self.lock() = Some(Instant::now());
    }

    /// Stops: the app is waited for.
    pub(super) fn stop(&self) {
        *self.lock() = None;
    }

    /// Returns once the clock has run for `timeout` without a new start.
    async fn elapsed(&self, timeout: Duration) {
        loop {
            let ran = self.lock().map_or(Duration::ZERO, |since| since.elapsed());
            match timeout.checked_sub(ran) {
                None | Some(Duration::ZERO) => return,
                Some(left) => sleep(left).await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs the streams of one connection as tasks. Each holds a share of the memory budget and has a
/// clock of its own: a stream that stalls is reset, whatever moves on the others.
#[derive(Clone)]
pub(super) struct StreamExecutor {
    worker: Arc<Worker>,
    peer: Option<IpAddr>,
    activity: Arc<Activity>,
}

impl StreamExecutor {
    pub(super) const fn new(
        worker: Arc<Worker>,
        peer: Option<IpAddr>,
        activity: Arc<Activity>,
    ) -> Self {
        Self { worker, peer, activity }
    }
}

impl<F> Executor<F> for StreamExecutor
where
    F: Future<Output: Send> + Send + 'static,
{
    /// Without memory the stream is dropped, which resets it.
    fn execute(&self, stream: F) {
        let limits = &self.worker.shared.snapshot.load().limits;
        if let Some(memory) = self.worker.reserve(STREAM_MEMORY, self.peer, limits) {
            let open = OpenStream::new(Arc::clone(&self.activity), memory);
            tokio::spawn(run(stream, open, limits.response_idle_timeout));
        }
    }
}

/// Counts a stream as open.
struct OpenStream {
    activity: Arc<Activity>,
    _memory: Reservation,
}

impl OpenStream {
    fn new(activity: Arc<Activity>, memory: Reservation) -> Self {
        activity.begin();
        Self { activity, _memory: memory }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.activity.end();
    }
}

async fn run<F: Future>(stream: F, open: OpenStream, timeout: Duration) {
    let clock = Arc::new(SendClock::default());
    let stream = CLOCK.scope(Arc::clone(&clock), stream);
    tokio::select! {
        biased;
        _ = stream => {}
        () = clock.elapsed(timeout) => tracing::debug!("a client takes nothing of a response"),
    }
    drop(open);
}
