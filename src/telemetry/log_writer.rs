//! Asynchronous log output: lines are queued in memory, and a separate thread writes them to standard
//! error, so that no request waits for a disk or a terminal.

use std::{
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

use super::access_log::LogFormat;

/// Maximum bytes in the queue. Lines beyond it are dropped and counted.
const MAX_QUEUED_BYTES: usize = 4 << 20;
/// Pause between two writes, so that one system call writes many lines.
const BATCH_DELAY: Duration = Duration::from_millis(5);
/// Maximum time that [`LogWriter::flush`] waits.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Handle of the log queue; clones share it.
#[derive(Clone, Debug)]
pub struct LogWriter {
    format: LogFormat,
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
    pending: Vec<u8>,
    dropped: u64,
    /// The writer thread waits on `filled`.
    asleep: bool,
    /// The writer thread writes a batch.
    writing: bool,
}

impl LogWriter {
    /// Starts the writer thread.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(format: LogFormat) -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let writer = Arc::clone(&queue);
        thread::Builder::new().name("log".into()).spawn(move || writer.run())?;
        Ok(Self { format, queue })
    }

    /// Returns the format of its lines.
    #[must_use]
    pub const fn format(&self) -> LogFormat {
        self.format
    }

    /// Queues whole lines. Drops them when the queue is full.
    pub fn write(&self, lines: &[u8]) {
        let mut state = self.queue.lock();
        if state.pending.len().saturating_add(lines.len()) > MAX_QUEUED_BYTES {
            state.dropped = state.dropped.saturating_add(1);
            return;
        }
        state.pending.extend_from_slice(lines);
        if std::mem::take(&mut state.asleep) {
            self.queue.filled.notify_one();
        }
    }

    /// Returns the number of writes that were dropped because the queue was full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.queue.lock().dropped
    }

    /// Waits until the queue is written, for two seconds at most.
    pub fn flush(&self) {
        let state = self.queue.lock();
        let is_busy = |state: &mut State| state.writing || !state.pending.is_empty();
        drop(self.queue.written.wait_timeout_while(state, FLUSH_TIMEOUT, is_busy));
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut lines = Vec::new();
        loop {
            self.take(&mut lines);
            // A closed standard error leaves no place to report to.
            let _ignored = io::stderr().lock().write_all(&lines);
            lines.clear();
            self.lock().writing = false;
            self.written.notify_all();
            thread::sleep(BATCH_DELAY);
        }
    }

    /// Waits until the queue has lines, and moves all of them into `lines`.
    fn take(&self, lines: &mut Vec<u8>) {
        let mut state = self.lock();
        while state.pending.is_empty() {
            state.asleep = true;
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(lines, &mut state.pending);
        state.writing = true;
    }
}

/// Collects one `tracing` event and queues it on drop, so that events never interleave.
#[derive(Debug)]
pub struct EventWriter<'s> {
    log: &'s LogWriter,
    text: Vec<u8>,
}

impl Write for EventWriter<'_> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for EventWriter<'_> {
    fn drop(&mut self) {
        self.log.write(&self.text);
    }
}

impl<'s> MakeWriter<'s> for LogWriter {
    type Writer = EventWriter<'s>;

    fn make_writer(&'s self) -> EventWriter<'s> {
        EventWriter { log: self, text: Vec::with_capacity(256) }
    }
}
