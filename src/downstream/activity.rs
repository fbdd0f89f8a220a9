//! The streams of an HTTP/2 connection: how many are open, and whether each makes progress.

use std::{
    future::Future,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures_util::stream::{FuturesUnordered, Stream as _};
use hyper::rt::Executor;
use tokio::{sync::Notify, time::sleep};

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
pub(super) struct Activity {
    streams: Mutex<OpenStreams>,
    began: Notify,
}

#[derive(Debug)]
struct OpenStreams {
    count: usize,
    has_begun: bool,
    /// The time of the last change of `count`.
    since: Instant,
}

impl Default for Activity {
    fn default() -> Self {
        let streams = OpenStreams { count: 0, has_begun: false, since: Instant::now() };
        Self { streams: Mutex::new(streams), began: Notify::new() }
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
        self.began.notify_one();
    }

    /// Waits for the next stream.
    pub(super) async fn begun(&self) {
        self.began.notified().await;
    }

    fn end(&self) {
        let mut open = self.open();
        (open.count, open.since) = (open.count.saturating_sub(1), Instant::now());
    }

    fn open(&self) -> MutexGuard<'_, OpenStreams> {
        lock(&self.streams)
    }
}

/// A panic elsewhere cannot leave a half-changed value behind: all of them are replaced as a whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
        lock(&self.0)
    }
}

/// The streams that hyper starts, until the connection's task polls them.
type NewStreams = Arc<Mutex<Vec<Pin<Box<dyn Future<Output = ()> + Send>>>>>;

/// Runs the streams of one connection inside the connection's own task.
///
/// hyper decodes all heads that have arrived before it returns; as tasks of their own, the streams
/// would wait until every other connection has done the same, and all those heads would be held at
/// once. In the same task they are answered first. They also end with their connection.
///
/// Each stream holds a share of the memory budget and has a clock of its own: one that stalls is
/// reset, whatever moves on the others.
#[derive(Clone)]
pub(super) struct StreamExecutor {
    worker: Arc<Worker>,
    peer: Option<IpAddr>,
    activity: Arc<Activity>,
    new: NewStreams,
}

impl StreamExecutor {
    pub(super) fn new(worker: Arc<Worker>, peer: Option<IpAddr>, activity: Arc<Activity>) -> Self {
        Self { worker, peer, activity, new: NewStreams::default() }
    }

    /// Returns the running streams: poll them after the connection.
    pub(super) fn streams(&self) -> Streams {
        Streams { new: Arc::clone(&self.new), running: FuturesUnordered::new() }
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
            let stream = run(stream, open, limits.response_idle_timeout);
            lock(&self.new).push(Box::pin(stream));
        }
    }
}

/// The streams of one connection.
pub(super) struct Streams {
    new: NewStreams,
    running: FuturesUnordered<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Streams {
    /// Polls the streams that can make progress.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) {
        self.running.extend(lock(&self.new).drain(..));
        while let Poll::Ready(Some(())) = Pin::new(&mut self.running).poll_next(cx) {}
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
