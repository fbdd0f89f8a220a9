//! Where lines go: into a buffer, and from there to standard error by a thread of its own, so that
//! no request waits for a disk or a terminal.

use std::{
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

use super::access_log::LogFormat;

/// Lines that nobody takes are dropped beyond this many bytes, and counted.
const MAX_QUEUED: usize = 4 << 20;
/// How long lines are gathered before they are written together.
const BATCH_DELAY: Duration = Duration::from_millis(5);
/// How long the end of the program waits for the last lines.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// A buffer in front of standard error.
#[derive(Clone, Debug)]
pub struct LogWriter {
    look: LogFormat,
    queue: Arc<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    written: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    dropped: u64,
    /// The thread sleeps until it is woken.
    asleep: bool,
    /// Bytes are on their way out.
    writing: bool,
}

impl LogWriter {
    /// Starts the thread that writes.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn start(look: LogFormat) -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let writer = Arc::clone(&queue);
        thread::Builder::new().name("log".into()).spawn(move || writer.work())?;
        Ok(Self { look, queue })
    }

    /// For whom it writes.
    #[must_use]
    pub const fn look(&self) -> LogFormat {
        self.look
    }

    /// Puts whole lines behind those that wait.
    pub fn write(&self, lines: &[u8]) {
        let mut state = self.queue.lock();
        if state.waiting.len().saturating_add(lines.len()) > MAX_QUEUED {
            state.dropped = state.dropped.saturating_add(1);
            return;
        }
        state.waiting.extend_from_slice(lines);
        if std::mem::take(&mut state.asleep) {
            self.queue.filled.notify_one();
        }
    }

    /// How many lines were dropped because nobody took them.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.queue.lock().dropped
    }

    /// Waits for what was put in before, for a moment at most.
    pub fn flush(&self) {
        let state = self.queue.lock();
        let pending = |state: &mut State| state.writing || !state.waiting.is_empty();
        drop(self.queue.written.wait_timeout_while(state, FLUSH_TIMEOUT, pending));
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut lines = Vec::new();
        loop {
            self.take(&mut lines);
            let _unheard = io::stderr().lock().write_all(&lines);
            lines.clear();
            self.lock().writing = false;
            self.written.notify_all();
            thread::sleep(BATCH_DELAY);
        }
    }

    /// Waits for lines and takes them all.
    fn take(&self, lines: &mut Vec<u8>) {
        let mut state = self.lock();
        while state.waiting.is_empty() {
            state.asleep = true;
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(lines, &mut state.waiting);
        state.writing = true;
    }
}

/// A line of `tracing`, put in whole when it is done.
#[derive(Debug)]
pub struct Line<'s> {
    sink: &'s LogWriter,
    text: Vec<u8>,
}

impl Write for Line<'_> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        self.sink.write(&self.text);
    }
}

impl<'s> MakeWriter<'s> for LogWriter {
    type Writer = Line<'s>;

    fn make_writer(&'s self) -> Line<'s> {
        Line { sink: self, text: Vec::with_capacity(256) }
    }
}
