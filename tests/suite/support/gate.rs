//! Starts the real binary, reads its log and stops it.

use std::{
    collections::HashSet,
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    ORIGIN, TEST_TIMEOUT, TOKEN,
    client::{Client, Response},
    message::Message,
    upstream::Upstream,
};

/// A running gate.
pub(crate) struct Gate {
    child: Child,
    address: SocketAddr,
    log: Arc<Log>,
    /// Ids of the requests whose log entry was returned by [`Gate::outcome_of`].
    taken: Mutex<HashSet<String>>,
    folder: Folder,
}

#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    grown: Condvar,
}

impl Gate {
    /// Runs the gate with this configuration, `listen` put before it.
    pub(crate) fn start(config: &str) -> Self {
        Self::start_in(Folder::new(), config, &[])
    }

    /// The same with the configuration in this folder and with more environment variables.
    pub(crate) fn start_in(folder: Folder, config: &str, variables: &[(&str, &str)]) -> Self {
        let file = folder.write("gatekeeper.toml", &listening(config));
        let mut command = command(&["run", "-c", &file.display().to_string()]);
        command.envs(variables.iter().copied()).stdin(Stdio::null()).stdout(Stdio::null());
        Self::launch(command, folder)
    }

    /// Runs a command that becomes a gate. Its first listener must be TCP.
    pub(crate) fn launch(mut command: Command, folder: Folder) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Log::default());
        let stderr = child.stderr.take().unwrap();
        let writing = Arc::clone(&log);
        thread::spawn(move || writing.fill(stderr));
        let unspecified = SocketAddr::from(([127, 0, 0, 1], 0));
        let taken = Mutex::default();
        let mut gate = Self { child, address: unspecified, log, taken, folder };
        let listening = gate.log.nth("listening", 0);
        gate.address = listening["address"].as_str().unwrap().parse().unwrap();
        gate
    }

    /// A gate with one guarded route, `/*`.
    pub(crate) fn before(upstream: &Upstream) -> Self {
        Self::start(&guarded(upstream, ""))
    }

    /// The same with more top-level keys or tables.
    pub(crate) fn with(upstream: &Upstream, more: &str) -> Self {
        Self::start(&guarded(upstream, more))
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// Sends one request over a new connection and returns the response.
    pub(crate) fn answer(&self, message: &Message) -> Response {
        let mut client = self.connect();
        client.send(&message.bytes());
        client.response()
    }

    /// Waits for the log entry of this request and returns it.
    pub(crate) fn outcome_of(&self, message: &Message) -> Outcome {
        self.outcome_at(&message.method, &message.target)
    }

    /// The same for a request that is given by its method and target.
    ///
    /// Entries are matched by method and path and returned once each, by their request id. Other
    /// requests may be logged before or after. Panics when two entries match: which of them is
    /// meant would then depend on their order.
    pub(crate) fn outcome_at(&self, method: &str, target: &str) -> Outcome {
        let path = target.split('?').next().unwrap_or_default();
        let mut taken = self.taken.lock().unwrap();
        let entries = self.log.wait_for(&format!("{method} {path}"), |entry| {
            entry["message"] == "request"
                && entry["method"] == method
                && entry["path"] == path
                && !taken.contains(entry["id"].as_str().unwrap())
        });
        assert_eq!(entries.len(), 1, "several requests match {method} {path}: {entries:?}");
        let outcome = Outcome(entries.into_iter().next().unwrap());
        taken.insert(outcome.text("id").to_owned());
        outcome
    }

    /// Sends SIGTERM.
    /// The process id.
    pub(crate) fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM, as a supervisor would.
    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Sends SIGHUP, which reloads the configuration.
    pub(crate) fn hang_up(&self) {
        self.signal("-HUP");
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// Overwrites its configuration file.
    pub(crate) fn rewrite(&self, config: &str) {
        self.folder.write("gatekeeper.toml", &listening(config));
    }

    pub(crate) const fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Waits for the `number`th log entry with this message, counted from 0.
    pub(crate) fn log_entry(&self, message: &str, number: usize) -> Value {
        self.log.nth(message, number)
    }

    /// Connects to its admin listener.
    pub(crate) fn admin(&self) -> Client {
        let line = self.log_entry("admin listening", 0);
        Client::connect(line["address"].as_str().unwrap().parse().unwrap())
    }

    /// Reads one metric, named with its labels, from `/metrics`.
    pub(crate) fn figure(&self, name: &str) -> Option<f64> {
        let mut admin = self.admin();
        admin.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let text = admin.response().text();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        Some(value.parse().unwrap())
    }

    /// Waits for the gate to exit and returns its exit code.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        wait(&mut self.child)
    }

    /// Everything logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lines.lock().unwrap().join("\n")
    }
}

/// Adds a listener on a free port.
fn listening(config: &str) -> String {
    format!("listen = \"127.0.0.1:0\"\n{config}")
}

/// A configuration with the tests' origin and token, followed by `more`.
pub(crate) fn guarded(upstream: &Upstream, more: &str) -> String {
    let url = upstream.url();
    format!(
        "public_url = \"{ORIGIN}\"\nupstream = \"{url}\"\nauth_tokens = [\"{TOKEN}\"]\n{more}\n"
    )
}

/// Kills the process that was started, and no other.
impl Drop for Gate {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
        if thread::panicking() {
            // The harness shows it with the failed test only.
            let log = self.log();
            let tail = log.lines().rev().take(20).collect::<Vec<_>>();
            println!("log of the gate, last line first:\n{}", tail.join("\n"));
        }
    }
}

impl Log {
    fn fill(&self, stderr: impl Read) {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            self.lines.lock().unwrap().push(line);
            self.grown.notify_all();
        }
    }

    /// Waits for the `number`th entry with this message, counted from 0.
    fn nth(&self, message: &str, number: usize) -> Value {
        self.wait_until(&format!("line {number} {message:?}"), |entries| {
            entries.into_iter().filter(|entry| entry["message"] == message).nth(number)
        })
    }

    /// Waits until at least one entry matches; returns all that match.
    fn wait_for(&self, what: &str, is_match: impl Fn(&Value) -> bool) -> Vec<Value> {
        self.wait_until(what, |entries| {
            let found: Vec<_> = entries.into_iter().filter(&is_match).collect();
            (!found.is_empty()).then_some(found)
        })
    }

    /// Waits until `select` finds something in the entries so far; panics after [`TEST_TIMEOUT`].
    fn wait_until<T>(&self, what: &str, select: impl Fn(Vec<Value>) -> Option<T>) -> T {
        let deadline = Instant::now() + TEST_TIMEOUT;
        let mut lines = self.lines.lock().unwrap();
        loop {
            let parsed = lines.iter().filter_map(|line| serde_json::from_str(line).ok());
            if let Some(found) = select(parsed.collect()) {
                return found;
            }
            let remaining = deadline.saturating_duration_since(Instant::now());
            if remaining.is_zero() {
                drop(lines);
                panic!("not logged: {what}");
            }
            lines = self.grown.wait_timeout(lines, remaining).unwrap().0;
        }
    }
}

/// The log entry of one request.
#[derive(Debug)]
pub(crate) struct Outcome(Value);

impl Outcome {
    /// A member as text; empty when it is absent.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_default()
    }

    pub(crate) fn reason(&self) -> &str {
        self.text("reason")
    }

    /// A member that is true or false; `None` when it is absent.
    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        self.0[name].as_bool()
    }

    pub(crate) fn verdict(&self) -> &str {
        self.text("verdict")
    }

    pub(crate) fn status(&self) -> u64 {
        self.0["status"].as_u64().unwrap_or_default()
    }
}

/// Output and exit code of a command.
#[derive(Debug)]
pub(crate) struct CommandOutput {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl CommandOutput {
    pub(crate) fn all(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr)
    }
}

/// Runs `gatekeeper check` on one file.
pub(crate) fn check(file: &Path) -> CommandOutput {
    run(&["check", "-c", &file.display().to_string()])
}

/// Runs a command until it exits.
pub(crate) fn run(arguments: &[&str]) -> CommandOutput {
    output_of(&mut command(arguments))
}

/// Runs a prepared command until it exits.
pub(crate) fn output_of(command: &mut Command) -> CommandOutput {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let stdout = child.stdout.take().map(reader).unwrap();
    let stderr = child.stderr.take().map(reader).unwrap();
    let code = wait(&mut child);
    CommandOutput { code, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

/// Waits for a process to exit; kills it after [`TEST_TIMEOUT`].
fn wait(child: &mut Child) -> Option<i32> {
    let deadline = Instant::now() + TEST_TIMEOUT;
    while child.try_wait().unwrap().is_none() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    let _ended = child.kill();
    child.wait().unwrap().code()
}

fn reader(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _broken = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The binary under test. `GATEKEEPER_BIN` selects another build, such as one before a fix, so that a
/// test can be seen to fail there.
pub(crate) fn binary() -> PathBuf {
    let selected = std::env::var_os("GATEKEEPER_BIN");
    selected.map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_gatekeeper")), PathBuf::from)
}

/// The binary with only those environment variables that the tests' files name.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments).env_clear().env("TWILIO_AUTH_TOKEN", TOKEN).env("EMPTY_TOKEN", "");
    command
}

/// A temporary folder, deleted when dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("gatekeeper-suite-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}
