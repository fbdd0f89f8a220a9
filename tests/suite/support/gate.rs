//! The real binary, started, listened to and ended.

use std::{
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
    ORIGIN, PATIENCE, TOKEN,
    client::{Client, Response},
    message::Message,
    upstream::Upstream,
};

/// A running gate.
pub(crate) struct Gate {
    child: Child,
    address: SocketAddr,
    log: Arc<Log>,
    taken: AtomicUsize,
    folder: Folder,
}

#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    grown: Condvar,
}

impl Gate {
    /// Runs with this configuration; `listen` is put before it.
    pub(crate) fn start(config: &str) -> Self {
        Self::start_in(Folder::new(), config, &[])
    }

    /// The same, its file in a folder where others may lie already, with more variables.
    pub(crate) fn start_in(folder: Folder, config: &str, variables: &[(&str, &str)]) -> Self {
        let file = folder.write("gatekeeper.toml", &listening(config));
        let mut command = command(&["run", "-c", &file.display().to_string()]);
        command.envs(variables.iter().copied()).stdin(Stdio::null()).stdout(Stdio::null());
        Self::launch(command, folder)
    }

    /// Runs what becomes a gate; the first that it listens on is TCP.
    pub(crate) fn launch(mut command: Command, folder: Folder) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Log::default());
        let stderr = child.stderr.take().unwrap();
        let writing = Arc::clone(&log);
        thread::spawn(move || writing.fill(stderr));
        let unspecified = SocketAddr::from(([127, 0, 0, 1], 0));
        let taken = AtomicUsize::new(0);
        let mut gate = Self { child, address: unspecified, log, taken, folder };
        let listening = gate.log.nth("listening", 0);
        gate.address = listening["address"].as_str().unwrap().parse().unwrap();
        gate
    }

    /// One guarded route, `/*`.
    pub(crate) fn before(upstream: &Upstream) -> Self {
        Self::start(&guarded(upstream, ""))
    }

    /// The same with more keys at the top, or tables.
    pub(crate) fn with(upstream: &Upstream, more: &str) -> Self {
        Self::start(&guarded(upstream, more))
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// One request over a connection of its own, and the answer.
    pub(crate) fn answer(&self, message: &Message) -> Response {
        let mut client = self.connect();
        client.send(&message.bytes());
        client.response()
    }

    /// What is logged of the next request.
    pub(crate) fn outcome(&self) -> Outcome {
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        Outcome(self.log.nth("request", number))
    }

    /// The process id.
    pub(crate) fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, as a supervisor would.
    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Asks it to read everything anew.
    pub(crate) fn hang_up(&self) {
        self.signal("-HUP");
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// Replaces its configuration.
    pub(crate) fn rewrite(&self, config: &str) {
        self.folder.write("gatekeeper.toml", &listening(config));
    }

    pub(crate) const fn folder(&self) -> &Folder {
        &self.folder
    }

    /// The `number`th line with this message, once it is there.
    pub(crate) fn said(&self, message: &str, number: usize) -> Value {
        self.log.nth(message, number)
    }

    /// A connection to its admin listener.
    pub(crate) fn admin(&self) -> Client {
        let line = self.said("admin listening", 0);
        Client::connect(line["address"].as_str().unwrap().parse().unwrap())
    }

    /// What Prometheus reads of one metric, labels included.
    pub(crate) fn figure(&self, name: &str) -> Option<f64> {
        let mut admin = self.admin();
        admin.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let text = admin.response().text();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        Some(value.parse().unwrap())
    }

    /// How it ended, once it has.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        wait(&mut self.child)
    }

    /// Everything said so far.
    pub(crate) fn log(&self) -> String {
        self.log.lines.lock().unwrap().join("\n")
    }
}

/// Any port will do.
fn listening(config: &str) -> String {
    format!("listen = \"127.0.0.1:0\"\n{config}")
}

/// A configuration with the tests' origin and token, and `more`.
pub(crate) fn guarded(upstream: &Upstream, more: &str) -> String {
    let url = upstream.url();
    format!(
        "public_url = \"{ORIGIN}\"\nupstream = \"{url}\"\nauth_tokens = [\"{TOKEN}\"]\n{more}\n"
    )
}

/// Ends the process that was started, and no other.
impl Drop for Gate {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
        if thread::panicking() {
            // The harness shows it with the failed test only.
            let said = self.log();
            let tail = said.lines().rev().take(20).collect::<Vec<_>>();
            println!("the gate said, last line first:\n{}", tail.join("\n"));
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

    /// The `number`th line with this message, once it is there.
    fn nth(&self, message: &str, number: usize) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.lines.lock().unwrap();
        loop {
            let parsed = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            if let Some(line) = parsed.filter(|line| line["message"] == message).nth(number) {
                return line;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(lines);
                panic!("no line {number} {message:?}");
            }
            lines = self.grown.wait_timeout(lines, left).unwrap().0;
        }
    }
}

/// One line at the end of one request.
#[derive(Debug)]
pub(crate) struct Outcome(Value);

impl Outcome {
    /// A member as text; empty where there is none.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_default()
    }

    pub(crate) fn reason(&self) -> &str {
        self.text("reason")
    }

    pub(crate) fn verdict(&self) -> &str {
        self.text("verdict")
    }

    pub(crate) fn status(&self) -> u64 {
        self.0["status"].as_u64().unwrap_or_default()
    }
}

/// What a command said and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    pub(crate) fn all(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr)
    }
}

/// `gatekeeper check` of one file.
pub(crate) fn check(file: &Path) -> Said {
    run(&["check", "-c", &file.display().to_string()])
}

/// Runs a command to its end.
pub(crate) fn run(arguments: &[&str]) -> Said {
    let mut child = command(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = child.stdout.take().map(reader).unwrap();
    let stderr = child.stderr.take().map(reader).unwrap();
    let code = wait(&mut child);
    Said { code, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

/// Waits for a process to end by itself; one that does not is ended.
fn wait(child: &mut Child) -> Option<i32> {
    let deadline = Instant::now() + PATIENCE;
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

/// The binary, with nothing of the environment but what the tests' files name.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatekeeper"));
    command.args(arguments).env_clear().env("TWILIO_AUTH_TOKEN", TOKEN).env("EMPTY_TOKEN", "");
    command
}

/// A folder that is gone when it is dropped.
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
