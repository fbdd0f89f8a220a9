//! Runs the cases: a gate, an app that records every byte, and the transport before the gate.
//!
//! With `HOSTILE_CASE=TEXT` in the environment only the cases whose `class: name` contains TEXT run.
//! A test that is run by its full name then fails when it has no such case; among several tests
//! those without one pass, and [`hostile_case_selects_at_least_one_case`] fails when none has one.

use std::{
    env, io,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use super::{Case, Expect, oracle};
use crate::support::{
    HOST,
    client::{Client, Response},
    gate::{Folder, Gate, guarded},
    message::Message,
    tls::{Authority, Relay},
    upstream::{Recorded, Upstream},
};

/// The protocol below HTTP.
#[derive(Clone, Copy, Debug)]
pub(super) enum Transport {
    Plain,
    Tls,
}

/// The variable that selects cases by a part of their name.
const HOSTILE_CASE: &str = "HOSTILE_CASE";

/// Cases that `HOSTILE_CASE` has selected in all tests of this process.
static SELECTED: AtomicUsize = AtomicUsize::new(0);

/// The cases to run: all, or those that `HOSTILE_CASE` names.
pub(super) fn select<'c, T>(class: &str, cases: &'c [T], name: impl Fn(&T) -> &str) -> Vec<&'c T> {
    let Ok(text) = env::var(HOSTILE_CASE) else { return cases.iter().collect() };
    let is_named = |case: &&T| format!("{class}: {}", name(case)).contains(&text);
    let selected: Vec<_> = cases.iter().filter(is_named).collect();
    SELECTED.fetch_add(selected.len(), Ordering::Relaxed);
    // libtest names the thread of each test after it.
    let test = thread::current().name().unwrap_or_default().to_owned();
    let is_run_by_name = env::args().skip(1).any(|argument| argument == test);
    assert!(!selected.is_empty() || !is_run_by_name, "{test}: no case contains {text:?}");
    selected
}

/// libtest starts tests in alphabetical order, so all others in `hostile` have started by now and
/// need a moment at most to select their cases.
#[test]
fn hostile_case_selects_at_least_one_case() {
    let Ok(text) = env::var(HOSTILE_CASE) else { return };
    for _ in 0..200 {
        if SELECTED.load(Ordering::Relaxed) > 0 {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("no case of any test that ran contains {text:?}");
}

/// Short deadlines, small bodies, and a public route besides the guarded ones.
pub(super) const ROUTES: &str = "
[limits]
max_body_bytes = 1000
head_timeout = \"1s\"
body_timeout = \"1s\"
[[route]]
path = \"/voice\"
[[route]]
path = \"/sms/*\"
[[route]]
path = \"/status/*\"
access = \"public\"
";

/// Statuses of a response to malformed HTTP.
pub(super) const MALFORMED: [u16; 7] = [400, 408, 413, 414, 431, 501, 505];

pub(super) struct Stage {
    gate: Gate,
    pub(super) upstream: Upstream,
    /// Wraps the connections of the cases in TLS.
    relay: Option<Relay>,
    next: AtomicUsize,
    /// Bytes of all the requests that the app has seen.
    seen: AtomicUsize,
}

/// Runs the cases over every transport and fails with the names of all that went wrong.
pub(super) fn play(class: &str, config: &str, cases: &[Case]) {
    let cases = select(class, cases, |case| &case.name);
    if cases.is_empty() {
        return;
    }
    let mut wrong = Vec::new();
    for transport in [Transport::Plain, Transport::Tls] {
        let stage = Stage::open(transport, "http/1.1", config);
        for case in &cases {
            if let Err(what) = stage.play(case) {
                wrong.push(format!("{transport:?}, {class}: {}: {what}", case.name));
            }
        }
        println!("{class}: {} cases over {transport:?}", cases.len());
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

impl Stage {
    pub(super) fn open(transport: Transport, protocol: &str, config: &str) -> Self {
        let upstream = Upstream::start();
        let (gate, relay) = match transport {
            Transport::Plain => (Gate::with(&upstream, config), None),
            Transport::Tls => {
                let (authority, folder) = (Authority::new(), Folder::new());
                authority.issue(HOST, 2099).write(&folder, "gate");
                let secured = format!("{config}\n[tls]\ncert = \"gate.pem\"\nkey = \"gate.key\"\n");
                let gate = Gate::start_in(folder, &guarded(&upstream, &secured), &[]);
                let client = authority.client(None, &[protocol]);
                let relay = Relay::to_tls(client, gate.address());
                (gate, Some(relay))
            }
        };
        Self { gate, upstream, relay, next: AtomicUsize::new(0), seen: AtomicUsize::new(0) }
    }

    pub(super) fn connect(&self) -> Client {
        self.relay.as_ref().map_or_else(|| self.gate.connect(), |r| Client::connect(r.address))
    }

    fn play(&self, case: &Case) -> Result<(), String> {
        let mut client = self.connect();
        client.send(&case.sent);
        if case.finished {
            client.half_close();
        }
        let spoken = self.converse(&mut client, case);
        drop(client);
        let mut admitted = self.good(&mut self.connect())?;
        admitted += match &spoken {
            Ok(count) | Err((count, _)) => count,
        };
        self.app_saw(admitted)?;
        spoken.map(|_| ()).map_err(|(_, what)| what)
    }

    /// Returns the number of admitted requests; on failure also the reason.
    fn converse(&self, client: &mut Client, case: &Case) -> Result<usize, (usize, String)> {
        let mut admitted = 0;
        let outcome = self.read(client, case, &mut admitted);
        outcome.map_or_else(|what| Err((admitted, what)), |()| Ok(admitted))
    }

    fn read(&self, client: &mut Client, case: &Case, admitted: &mut usize) -> Result<(), String> {
        let (statuses, malformed): (&[u16], bool) = match &case.expect {
            Expect::Admitted => (&[200], false),
            Expect::Refused(status) => (std::slice::from_ref(status), false),
            Expect::Malformed => (&[], true),
            Expect::Each(statuses) => (statuses, false),
            Expect::EachThenMalformed(statuses) => (statuses, true),
            Expect::Open(statuses) => return self.read_open(client, statuses, case, admitted),
        };
        let mut closes = false;
        for &status in statuses {
            let response = next(client, case).map_err(|e| format!("no {status}: {e}"))?;
            *admitted += usize::from(matches!(response.status, 101 | 200));
            if response.status != status {
                return Err(format!("{} instead of {status}", response.status));
            }
            closes = says_close(&response);
        }
        match malformed {
            true => ends(client, case, admitted),
            false => self.goes_on(client, case, closes, admitted),
        }
    }

    fn read_open(
        &self,
        client: &mut Client,
        statuses: &[u16],
        case: &Case,
        admitted: &mut usize,
    ) -> Result<(), String> {
        match next(client, case) {
            Ok(response) if statuses.contains(&response.status) => {
                *admitted += usize::from(matches!(response.status, 101 | 200));
                self.goes_on(client, case, says_close(&response), admitted)
            }
            Ok(response) => is_refusal(&response, client, admitted),
            Err(error) => is_end(&error),
        }
    }

    /// The connection must end if the response announced it, or else carry the next good request.
    fn goes_on(
        &self,
        client: &mut Client,
        case: &Case,
        closes: bool,
        admitted: &mut usize,
    ) -> Result<(), String> {
        if closes || case.finished {
            return if client.is_at_end() {
                Ok(())
            } else {
                Err("no end although announced".into())
            };
        }
        let more = self.good(client).map_err(|what| format!("on the same connection, {what}"))?;
        *admitted += more;
        Ok(())
    }

    /// Sends a good request, which must be admitted.
    fn good(&self, client: &mut Client) -> Result<usize, String> {
        client.send(&self.next_good().bytes());
        match client.try_response() {
            Ok(response) if response.status == 200 => Ok(1),
            Ok(response) => Err(format!("the next good request got {}", response.status)),
            Err(error) => Err(format!("the next good request got nothing: {error}")),
        }
    }

    /// A signed request with a number of its own, so that the recorded ones can be distinguished.
    pub(super) fn next_good(&self) -> Message {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Message::form(&format!("/voice?good={number}"), "a=1").signed()
    }

    /// Checks that the app received exactly `count` more requests, each signed according to the
    /// oracle, and no other byte.
    pub(super) fn app_saw(&self, count: usize) -> Result<(), String> {
        let new = self.upstream.taken();
        if let Some(what) = new.iter().find_map(oracle::objection) {
            return Err(format!("the app received {what}"));
        }
        if new.len() != count {
            let lines: Vec<_> = new.iter().map(Recorded::line).collect();
            return Err(format!("the app saw {lines:?} where {count} were admitted"));
        }
        let whole: usize = new.iter().map(|one| one.head.len() + one.body.len()).sum();
        let whole = self.seen.fetch_add(whole, Ordering::Relaxed) + whole;
        match self.upstream.bytes() {
            bytes if bytes == whole => Ok(()),
            bytes => Err(format!("{} stray bytes to the app", bytes - whole)),
        }
    }
}

fn next(client: &mut Client, case: &Case) -> io::Result<Response> {
    if case.sent.starts_with(b"HEAD ") { client.try_head() } else { client.try_response() }
}

/// Expects a malformed status and the end of the connection, or the end alone.
fn ends(client: &mut Client, case: &Case, admitted: &mut usize) -> Result<(), String> {
    match next(client, case) {
        Ok(response) => is_refusal(&response, client, admitted),
        Err(error) => is_end(&error),
    }
}

fn is_refusal(
    response: &Response,
    client: &mut Client,
    admitted: &mut usize,
) -> Result<(), String> {
    *admitted += usize::from(matches!(response.status, 101 | 200));
    if !MALFORMED.contains(&response.status) {
        return Err(format!("{} instead of 400 or the end", response.status));
    }
    if client.is_at_end() {
        Ok(())
    } else {
        Err(format!("{} and the connection stays open", response.status))
    }
}

fn is_end(error: &io::Error) -> Result<(), String> {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Err("timeout".into()),
        _ => Ok(()),
    }
}

fn says_close(response: &Response) -> bool {
    let tokens = response.values("Connection");
    tokens.iter().any(|value| value.eq_ignore_ascii_case("close"))
        || (response.line.starts_with("HTTP/1.0") && tokens.is_empty())
}
