//! Explains refused requests off their path: a thread of its own searches for the mistake and
//! completes the log line.
//!
//! The search takes thousands of MACs, and anyone can cause it. So the thread rests three times as long
//! as it has searched, the queue is short, and a request that finds it full is logged at once, without
//! an explanation, and counted.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use prometheus::{IntCounter, IntCounterVec};

use super::{
    access_log::{self, Explained},
    log_writer::LogWriter,
    question::Question,
};
use crate::config::{Lines, RouteLines};
use crate::explain::{Case, Explanation, Mistake, Site, explain};
use crate::http1::RequestHead;

/// Most requests that wait for an explanation.
const MAX_QUEUED: usize = 32;
/// Most bytes of heads and bodies that wait.
const MAX_QUEUED_BYTES: usize = 1 << 20;
/// Rest after a search, as a multiple of its duration: a quarter of one core at most.
const REST: u32 = 3;
/// The thread's nice value: a tenth of what a request's thread gets of a contended core.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;
/// Most time that [`Explainer::flush`] waits.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// The counters of explanations.
#[derive(Clone, Debug)]
pub struct ExplainMetrics {
    /// First mistakes, by label.
    pub mistakes: IntCounterVec,
    /// Refused requests that found the queue full.
    pub skipped: IntCounter,
}

/// Handle of the thread that explains.
#[derive(Debug)]
pub(super) struct Explainer {
    queue: Arc<Queue>,
    log: LogWriter,
    metrics: ExplainMetrics,
}

/// A refused request and its log line, which is complete but for the explanation.
pub(super) struct Job {
    pub(super) line: Vec<u8>,
    pub(super) head: Arc<RequestHead>,
    pub(super) question: Question,
}

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    bytes: usize,
    is_searching: bool,
    /// The process ends: lines are written without a search.
    is_closing: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("jobs", &self.jobs.len()).finish_non_exhaustive()
    }
}

impl Job {
    fn size(&self) -> usize {
        let body = self.question.body.as_ref().map_or(0, |body| body.bytes.len());
        self.head.fields.head_size().saturating_add(body)
    }

    /// Returns the likeliest mistake.
    ///
    /// Of a request whose body was not read, only the head can be explained.
    fn search(&self) -> Option<Explained> {
        let Question { knowledge, body, peer } = &self.question;
        let Explanation { mistakes, route, .. } = explain(Case {
            head: &self.head,
            body: body.as_ref().map_or(&[], |body| &body.bytes),
            peer: *peer,
            table: &knowledge.table,
            keys: &knowledge.keys,
            given: &[],
            told: None,
            listen_ports: &knowledge.listen_ports,
        });
        let is_sound = |mistake: &Mistake| body.is_some() || mistake.label.shows_in_head();
        let mistake = mistakes.into_iter().find(is_sound)?;
        Some(Explained::new(mistake, route, &knowledge.lines))
    }
}

impl Explainer {
    /// Starts the thread.
    pub(super) fn start(log: LogWriter, metrics: ExplainMetrics) -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let explainer = Self { queue, log, metrics };
        let worker = Self {
            queue: Arc::clone(&explainer.queue),
            log: explainer.log.clone(),
            metrics: explainer.metrics.clone(),
        };
        thread::Builder::new().name("explain".into()).spawn(move || worker.run())?;
        Ok(explainer)
    }

    /// Queues a refused request; writes its line as it is if the queue is full.
    pub(super) fn submit(&self, job: Job) {
        let mut state = self.queue.lock();
        let bytes = state.bytes.saturating_add(job.size());
        if state.is_closing || state.jobs.len() >= MAX_QUEUED || bytes > MAX_QUEUED_BYTES {
            drop(state);
            self.metrics.skipped.inc();
            self.log.write(&job.line);
            return;
        }
        state.bytes = bytes;
        state.jobs.push_back(job);
        self.queue.changed.notify_all();
    }

    /// Writes the lines that wait, without explanations, for two seconds at most.
    pub(super) fn flush(&self) {
        let mut state = self.queue.lock();
        state.is_closing = true;
        self.queue.changed.notify_all();
        let is_busy = |state: &mut State| state.is_searching || !state.jobs.is_empty();
        drop(self.queue.changed.wait_timeout_while(state, FLUSH_TIMEOUT, is_busy));
    }

    fn run(&self) {
        lower_priority();
        loop {
            let (mut job, is_closing) = self.queue.take();
            let began = Instant::now();
            if !is_closing && let Some(explained) = job.search() {
                self.metrics.mistakes.with_label_values(&[explained.mistake]).inc();
                access_log::append(&mut job.line, self.log.format(), &explained);
            }
            self.log.write(&job.line);
            drop(job);
            self.queue.rest(began.elapsed().saturating_mul(REST));
        }
    }
}

/// Lets requests go first where both want a core. On Linux the priority is that of this thread alone
/// (setpriority(2), NPTL); elsewhere it would be the process's.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!(%error, "cannot lower the priority of the thread that explains");
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a job. Returns it, and whether the process ends.
    fn take(&self) -> (Job, bool) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                state.bytes = state.bytes.saturating_sub(job.size());
                state.is_searching = true;
                return (job, state.is_closing);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends a search, and pauses unless the process ends.
    fn rest(&self, pause: Duration) {
        let mut state = self.lock();
        state.is_searching = false;
        self.changed.notify_all();
        drop(self.changed.wait_timeout_while(state, pause, |state| !state.is_closing));
    }
}

impl Explained {
    fn new(mistake: Mistake, route: Option<usize>, lines: &Lines) -> Self {
        let line = cure_line(&mistake, route, lines);
        let place = line.map(|line| format!("{}:{line}", lines.file));
        let Mistake { label, proven, says, cure, .. } = mistake;
        Self { mistake: label.name(), proven, says, cure, place }
    }
}

/// Returns the line of the configuration where a mistake is cured. `route` is the route's number.
#[must_use]
pub fn cure_line(mistake: &Mistake, route: Option<usize>, lines: &Lines) -> Option<usize> {
    let top = RouteLines {
        path: lines.routes.iter().find_map(|route| route.path),
        public_url: lines.public_url,
        auth_tokens: lines.auth_tokens,
        ..RouteLines::default()
    };
    let route = route.and_then(|route| lines.routes.get(route)).copied().unwrap_or(top);
    match mistake.label.site()? {
        Site::PublicUrl => route.public_url.or(lines.trust),
        Site::AllowedHosts => route.allowed_hosts.or(route.public_url),
        Site::RoutePath => route.path.or(route.public_url),
        Site::Methods => route.methods.or(route.path),
        Site::AuthTokens => route.auth_tokens,
        Site::Trust => lines.trust,
    }
}
