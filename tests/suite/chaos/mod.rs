//! An app that breaks HTTP at random, while several clients check that each response is their own.
//!
//! Every exchange has a token, which the app returns in a field and in each part of the body,
//! stray bytes included. A client accepts its own token, a response of the gate's own, or a
//! connection that is closed before the response is complete, and nothing else.

mod app;
mod parser;
mod plan;
mod random;

use std::{
    collections::BTreeMap,
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::support::{TEST_TIMEOUT, gate::Gate, latin1, message::Message, signer};
use app::App;
use parser::{Parsed, Received};
use plan::{Behaviour, pattern};
use random::Random;

/// Clients at once.
const CLIENTS: u64 = 8;
/// Exchanges of each client.
const EXCHANGES: usize = 400;

const LIMITS: &str = "methods = [\"GET\", \"HEAD\", \"POST\"]\n[limits]\n\
    max_body_bytes = 500000\nresponse_timeout = \"500ms\"\nresponse_idle_timeout = \"200ms\"\n";

/// Returns the seed of this run: `CHAOS_SEED`, or a new one. The test's output has it.
fn seed() -> u64 {
    let chosen = std::env::var("CHAOS_SEED").ok().map(|text| text.parse().unwrap());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
    let seed = chosen.unwrap_or_else(|| u64::from(now));
    println!("CHAOS_SEED={seed}");
    seed
}

fn start(app: &App) -> Gate {
    Gate::start(&format!(
        "public_url = \"{}\"\nupstream = \"{}\"\nauth_tokens = [\"{}\"]\n{LIMITS}",
        crate::support::ORIGIN,
        app.url(),
        crate::support::TOKEN
    ))
}

/// One request and what is expected for it.
struct Exchange {
    token: String,
    behaviour: Behaviour,
    message: Message,
}

impl Exchange {
    fn new(behaviour: Behaviour, random: &mut Random) -> Self {
        let token = format!("{:016x}", random.next());
        let path = format!("/chaos/{behaviour:?}/{token}");
        let message = match random.below(3) {
            0 => Message::get(&path),
            1 => Message::new("HEAD", &path),
            _ => {
                let long = random.below(8) == 0;
                let body = pattern(&token, random.below(if long { 400_000 } else { 2000 }));
                let target = format!("{path}?bodySHA256={}", signer::sha256_hex(&body));
                Message::post(&target, "application/json", &body)
            }
        };
        Self { message: message.signed(), token, behaviour }
    }

    fn is_head(&self) -> bool {
        self.message.method == "HEAD"
    }

    /// Checks that a whole response is this exchange's, and returns its kind.
    fn check(&self, response: &Parsed) -> Result<&'static str, String> {
        let tokens = response.values("X-Token");
        if matches!(response.status, 502..=504) && tokens.is_empty() {
            return Ok("failure");
        }
        if tokens != [self.token.as_str()] || !self.owns(&response.body) {
            return Err("not its own".to_owned());
        }
        let length = if self.is_head() { 0 } else { plan::length(&self.token) };
        if self.behaviour.is_correct() && (response.status, response.body.len()) != (200, length) {
            return Err(format!("not whole: {length} bytes are"));
        }
        Ok("own")
    }
}

impl Exchange {
    /// Returns whether every token in a body is this exchange's; in a correct one there is nothing
    /// else.
    fn owns(&self, body: &[u8]) -> bool {
        if self.behaviour.is_correct() {
            return body == pattern(&self.token, body.len());
        }
        let text = latin1(body);
        let mut tokens = text.split("token=").skip(1).map(|rest| &rest[..rest.len().min(16)]);
        tokens.all(|token| self.token.starts_with(token.split(['\r', ';']).next().unwrap()))
    }
}

/// A client that sends one request at a time and keeps its connection while the gate does.
struct Client {
    address: SocketAddr,
    stream: Option<TcpStream>,
}

impl Client {
    fn stream(&mut self) -> &mut TcpStream {
        self.stream.get_or_insert_with(|| {
            let stream = TcpStream::connect_timeout(&self.address, TEST_TIMEOUT).unwrap();
            stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
            stream.set_nodelay(true).unwrap();
            stream
        })
    }

    /// Returns the response; `None` if the connection is closed before its end.
    fn exchange(&mut self, exchange: &Exchange) -> Result<Option<Parsed>, String> {
        let is_head = exchange.is_head();
        let stream = self.stream();
        let _closed = stream.write_all(&exchange.message.bytes());
        let mut received = Vec::new();
        let (response, length) = loop {
            let is_end = !read_more(stream, &mut received)?;
            match parser::parse(&received, is_head, is_end) {
                Received::Whole(response, length) => break (response, length),
                Received::Part if !is_end => {}
                Received::Part => {
                    self.stream = None;
                    return Ok(None);
                }
                Received::Invalid(what) => return Err(format!("{what}: {}", shown(&received))),
            }
        };
        if length != received.len() {
            return Err(format!("bytes beyond the response: {}", shown(&received)));
        }
        if response.values("Connection") == ["close"] {
            self.end()?;
        }
        Ok(Some(response))
    }

    /// Closes the connection, over which nothing may follow.
    fn end(&mut self) -> Result<(), String> {
        let Some(mut stream) = self.stream.take() else { return Ok(()) };
        let _closed = stream.shutdown(Shutdown::Write);
        let mut more = Vec::new();
        while read_more(&mut stream, &mut more)? {}
        if more.is_empty() { Ok(()) } else { Err(format!("stray bytes: {}", shown(&more))) }
    }
}

/// Reads once; returns false at the end of the connection.
fn read_more(stream: &mut TcpStream, to: &mut Vec<u8>) -> Result<bool, String> {
    let mut piece = [0; 64 * 1024];
    match stream.read(&mut piece) {
        Ok(length) => {
            to.extend_from_slice(&piece[..length]);
            Ok(length > 0)
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Err(format!("timeout after {}", shown(to)))
        }
        Err(_) => Ok(false),
    }
}

fn shown(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(600)].escape_ascii().to_string()
}

type Counts = BTreeMap<&'static str, usize>;

fn run_client(address: SocketAddr, mut random: Random) -> Result<Counts, String> {
    let (mut client, mut counts) = (Client { address, stream: None }, Counts::new());
    for _ in 0..EXCHANGES {
        let exchange = Exchange::new(Behaviour::choose(&mut random), &mut random);
        let described = |what: String| {
            let Exchange { message, .. } = &exchange;
            format!("{} {}: {what}", message.method, message.target)
        };
        let kind = match client.exchange(&exchange).map_err(described)? {
            None => "closed",
            Some(response) => exchange
                .check(&response)
                .map_err(|what| described(format!("{what}: {response:?}")))?,
        };
        *counts.entry(kind).or_default() += 1;
    }
    client.end()?;
    Ok(counts)
}

#[test]
fn each_client_gets_its_own_response_or_none_whatever_the_app_does() {
    let seed = seed();
    let app = App::start();
    let gate = start(&app);
    let (address, mut counts) = (gate.address(), Counts::new());
    let results: Vec<_> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                scope.spawn(move || run_client(address, Random::new(seed ^ number << 40)))
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    for result in results {
        for (kind, count) in result.unwrap_or_else(|what| panic!("seed {seed}: {what}")) {
            *counts.entry(kind).or_default() += count;
        }
    }
    println!("{counts:?}");
    thread::sleep(Duration::from_millis(500)); // rests of requests are still being sent
    assert_eq!(app.faults(), Vec::<String>::new(), "seed {seed}");
    assert!(counts["own"] > counts.values().sum::<usize>() / 2, "seed {seed}: {counts:?}");
}

/// Everything that a client receives until the end of its connection is one response for each
/// request, or less.
#[test]
fn whatever_an_app_sends_the_declared_length_is_the_sent_length() {
    let seed = seed();
    let app = App::start();
    let gate = start(&app);
    let address = gate.address();
    let check = |mut random: Random| -> Result<(), String> {
        for number in 0..250 {
            let behaviour =
                if number % 4 == 0 { Behaviour::choose(&mut random) } else { Behaviour::Random };
            check_stream(address, behaviour, &mut random)?;
        }
        Ok(())
    };
    let results: Vec<_> = thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|number| scope.spawn(move || check(Random::new(seed ^ number << 48))))
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    for result in results {
        result.unwrap_or_else(|what| panic!("seed {seed}: {what}"));
    }
    assert_eq!(app.faults(), Vec::<String>::new(), "seed {seed}");
}

/// Sends one to three requests at once, half-closes, and parses all that is received.
fn check_stream(
    address: SocketAddr,
    behaviour: Behaviour,
    random: &mut Random,
) -> Result<(), String> {
    let count = 1 + random.below(3);
    let is_http10 = random.below(4) == 0;
    let exchanges: Vec<_> = (0..count).map(|_| Exchange::new(behaviour, random)).collect();
    let mut client = Client { address, stream: None };
    let stream = client.stream();
    for exchange in &exchanges {
        let mut bytes = exchange.message.bytes();
        if is_http10 {
            let at = crate::support::find(&bytes, b"HTTP/1.1").unwrap();
            bytes[at + 7] = b'0';
        }
        let _closed = stream.write_all(&bytes);
    }
    let _closed = stream.shutdown(Shutdown::Write);
    let mut received = Vec::new();
    while read_more(stream, &mut received)? {}
    let mut rest = &received[..];
    for exchange in &exchanges {
        let described = |what: &str| {
            let target = &exchange.message.target;
            format!("{} {target}: {what}: {}", exchange.message.method, shown(&received))
        };
        match parser::parse(rest, exchange.is_head(), true) {
            Received::Whole(response, length) => {
                exchange.check(&response).map_err(|what| described(&what))?;
                rest = &rest[length..];
            }
            Received::Part => return Ok(()),
            Received::Invalid(what) => return Err(described(what)),
        }
    }
    if rest.is_empty() { Ok(()) } else { Err(format!("more responses: {}", shown(&received))) }
}
