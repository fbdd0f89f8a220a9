//! Where the cases are played: a gate, an app that records, and the transport between.

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
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

/// What carries HTTP.
#[derive(Clone, Copy, Debug)]
pub(super) enum Transport {
    Plain,
    Tls,
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

/// What is not good HTTP is told so with one of these.
pub(super) const MALFORMED: [u16; 7] = [400, 408, 413, 414, 431, 501, 505];

pub(super) struct Stage {
    gate: Gate,
    pub(super) upstream: Upstream,
    /// Puts TLS around what the cases send.
    relay: Option<Relay>,
    next: AtomicUsize,
    /// Bytes of all the requests that the app has seen.
    seen: AtomicUsize,
}

/// Plays all cases over every transport and tells of all that went wrong.
pub(super) fn play(class: &str, config: &str, cases: &[Case]) {
    let mut wrong = Vec::new();
    for transport in [Transport::Plain, Transport::Tls] {
        let stage = Stage::open(transport, "http/1.1", config);
        for case in cases {
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

    /// How many requests were admitted, or also what was wrong.
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

    /// The connection ends as announced, or carries the next good request.
    fn goes_on(
        &self,
        client: &mut Client,
        case: &Case,
        closes: bool,
        admitted: &mut usize,
    ) -> Result<(), String> {
        if closes || case.finished {
            return if client.is_at_end() { Ok(()) } else { Err("no end as announced".into()) };
        }
        let more = self.good(client).map_err(|what| format!("on the same connection, {what}"))?;
        *admitted += more;
        Ok(())
    }

    /// A good request has to be answered. Each is another one, so that they can be told apart.
    fn good(&self, client: &mut Client) -> Result<usize, String> {
        client.send(&self.next_good().bytes());
        match client.try_response() {
            Ok(response) if response.status == 200 => Ok(1),
            Ok(response) => Err(format!("the next good request got {}", response.status)),
            Err(error) => Err(format!("the next good request got nothing: {error}")),
        }
    }

    /// A request like no other, signed.
    pub(super) fn next_good(&self) -> Message {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Message::form(&format!("/voice?good={number}"), "a=1").signed()
    }

    /// Exactly so many more requests, every one proven by a signer that is not the gate's, and not
    /// a byte besides.
    pub(super) fn app_saw(&self, count: usize) -> Result<(), String> {
        let new = self.upstream.taken();
        if let Some(what) = new.iter().find_map(oracle::objection) {
            return Err(format!("the app was told {what}"));
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

/// Malformed: an answer that says so and the end, or the end.
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
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Err("it hangs".into()),
        _ => Ok(()),
    }
}

fn says_close(response: &Response) -> bool {
    let tokens = response.values("Connection");
    tokens.iter().any(|value| value.eq_ignore_ascii_case("close"))
        || (response.line.starts_with("HTTP/1.0") && tokens.is_empty())
}
