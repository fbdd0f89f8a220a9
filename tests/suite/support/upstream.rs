//! An app that records every received byte and answers as the test configures.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{TEST_TIMEOUT, fields_of, find, latin1, values};

/// The default response body.
pub(crate) const TWIML: &str = "<Response><Say>Sunny</Say></Response>";

/// A request as received.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    /// From the request line to the empty line, verbatim.
    pub(crate) head: Vec<u8>,
    /// Verbatim, chunking included.
    pub(crate) body: Vec<u8>,
}

impl Recorded {
    pub(crate) fn line(&self) -> String {
        latin1(&self.head).lines().next().unwrap_or_default().to_owned()
    }

    pub(crate) fn fields(&self) -> Vec<(String, String)> {
        fields_of(&self.head)
    }

    pub(crate) fn values(&self, name: &str) -> Vec<String> {
        values(&self.fields(), name).into_iter().map(str::to_owned).collect()
    }
}

/// The response of the app to a request.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pieces: Vec<Vec<u8>>,
    pause: Duration,
    then: Then,
}

/// The state of the connection after the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Keep,
    /// Closes after this idle time.
    KeepFor(Duration),
    Close,
    /// Stays open without reading or writing.
    Hold,
    /// Echoes every byte.
    Echo,
}

impl Answer {
    /// 200 with TwiML.
    pub(crate) fn twiml() -> Self {
        Self::raw(&format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\r\n{TWIML}",
            TWIML.len()
        ))
    }

    /// 101, then an echo.
    pub(crate) fn switching() -> Self {
        let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        Self::raw(head).then(Then::Echo)
    }

    /// These bytes.
    pub(crate) fn raw(text: &str) -> Self {
        Self::pieces(&[text])
    }

    /// These bytes, with a pause before each piece where one is set.
    pub(crate) fn pieces(pieces: &[&str]) -> Self {
        let pieces = pieces.iter().map(|piece| piece.as_bytes().to_vec()).collect();
        Self { pieces, pause: Duration::ZERO, then: Then::Keep }
    }

    /// No response at all.
    pub(crate) fn nothing() -> Self {
        Self::pieces(&[])
    }

    pub(crate) fn pausing(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    pub(crate) fn then(mut self, then: Then) -> Self {
        self.then = then;
        self
    }
}

type Play = Box<dyn Fn(&Recorded) -> Answer + Send + Sync>;

/// The app.
pub(crate) struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    play: Play,
    requests: Mutex<Vec<Recorded>>,
    arrived: Condvar,
    bytes: AtomicUsize,
    connections: Mutex<Vec<TcpStream>>,
    early: Mutex<Vec<u8>>,
    stopped: AtomicBool,
}

impl Upstream {
    /// Answers TwiML, and handshakes with 101.
    pub(crate) fn start() -> Self {
        Self::playing(|request| {
            if request.values("Upgrade").is_empty() { Answer::twiml() } else { Answer::switching() }
        })
    }

    /// Gives every request this answer.
    pub(crate) fn answering(answer: Answer) -> Self {
        Self::playing(move |_| answer.clone())
    }

    pub(crate) fn playing(play: impl Fn(&Recorded) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self::on(listener, Box::new(play))
    }

    /// The same on this address.
    pub(crate) fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        Self::on(listener, Box::new(|_| Answer::twiml()))
    }

    fn on(listener: TcpListener, play: Play) -> Self {
        let shared = Arc::new(Shared {
            play,
            requests: Mutex::default(),
            arrived: Condvar::new(),
            bytes: AtomicUsize::new(0),
            connections: Mutex::default(),
            early: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let address = listener.local_addr().unwrap();
        let accepting = Arc::clone(&shared);
        let acceptor = Some(thread::spawn(move || accept(&listener, &accepting)));
        Self { address, shared, acceptor }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests received so far.
    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// Removes and returns the requests received since the last call.
    pub(crate) fn taken(&self) -> Vec<Recorded> {
        std::mem::take(&mut self.shared.requests.lock().unwrap())
    }

    /// The only request; panics if there are others.
    pub(crate) fn only(&self) -> Recorded {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "the app saw {requests:?}");
        requests.remove(0)
    }

    /// Waits for `count` requests and returns them.
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Recorded> {
        let requests = self.shared.requests.lock().unwrap();
        let waiting = |requests: &mut Vec<Recorded>| requests.len() < count;
        let (requests, late) =
            self.shared.arrived.wait_timeout_while(requests, TEST_TIMEOUT, waiting).unwrap();
        assert!(!late.timed_out(), "only {} of {count} requests arrived", requests.len());
        requests.clone()
    }

    /// The number of bytes received in total, requests or not.
    pub(crate) fn bytes(&self) -> usize {
        self.shared.bytes.load(Ordering::SeqCst)
    }

    /// The number of connections accepted.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.lock().unwrap().len()
    }

    /// Bytes received after a handshake and before its response.
    pub(crate) fn early(&self) -> Vec<u8> {
        self.shared.early.lock().unwrap().clone()
    }
}

/// Closes the listener and every connection.
impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        let _wake = TcpStream::connect_timeout(&self.address, TEST_TIMEOUT);
        if let Some(acceptor) = self.acceptor.take() {
            let _ended = acceptor.join();
        }
        for connection in self.shared.connections.lock().unwrap().iter() {
            let _gone = connection.shutdown(Shutdown::Both);
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let Ok(known) = stream.try_clone() else { continue };
        shared.connections.lock().unwrap().push(known);
        let shared = Arc::clone(shared);
        thread::spawn(move || Session { stream, shared, buffer: Vec::new() }.serve());
    }
}

struct Session {
    stream: TcpStream,
    shared: Arc<Shared>,
    buffer: Vec<u8>,
}

impl Session {
    /// Shuts the socket down explicitly, since other descriptors of it stay open.
    fn serve(mut self) {
        let _nodelay = self.stream.set_nodelay(true);
        let mut timeout = TEST_TIMEOUT;
        while let Some(request) = self.request(timeout) {
            let answer = (self.shared.play)(&request);
            self.shared.requests.lock().unwrap().push(request);
            self.shared.arrived.notify_all();
            if self.answer(&answer).is_none() {
                break;
            }
            timeout = match answer.then {
                Then::Keep => TEST_TIMEOUT,
                Then::KeepFor(period) => period,
                Then::Close => break,
                Then::Hold => return,
                Then::Echo => return self.echo(),
            };
        }
        let _closed = self.stream.shutdown(Shutdown::Both);
    }

    fn request(&mut self, timeout: Duration) -> Option<Recorded> {
        self.stream.set_read_timeout(Some(timeout)).ok()?;
        let head = self.until(b"\r\n\r\n")?;
        let fields = fields_of(&head);
        let body = if values(&fields, "Transfer-Encoding").is_empty() {
            let length =
                values(&fields, "Content-Length").first().map_or(Ok(0), |text| text.parse());
            self.exactly(length.ok()?)?
        } else {
            self.until(b"0\r\n\r\n")?
        };
        Some(Recorded { head, body })
    }

    fn answer(&mut self, answer: &Answer) -> Option<()> {
        for piece in &answer.pieces {
            thread::sleep(answer.pause);
            if answer.then == Then::Echo {
                self.note_early_bytes()?;
            }
            self.stream.write_all(piece).ok()?;
        }
        Some(())
    }

    fn note_early_bytes(&mut self) -> Option<()> {
        self.stream.set_nonblocking(true).ok()?;
        let _whatever = self.fill();
        self.stream.set_nonblocking(false).ok()?;
        self.shared.early.lock().unwrap().extend_from_slice(&self.buffer);
        Some(())
    }

    fn echo(mut self) {
        let _patient = self.stream.set_read_timeout(Some(TEST_TIMEOUT));
        loop {
            let bytes = std::mem::take(&mut self.buffer);
            if self.stream.write_all(&bytes).is_err() || self.fill().is_none() {
                let _closed = self.stream.shutdown(Shutdown::Write);
                return;
            }
        }
    }

    fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = find(&self.buffer, end) {
                return Some(self.buffer.drain(..at + end.len()).collect());
            }
            self.fill()?;
        }
    }

    fn exactly(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < length {
            self.fill()?;
        }
        Some(self.buffer.drain(..length).collect())
    }

    fn fill(&mut self) -> Option<()> {
        let mut piece = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut piece) {
                Ok(0) => return None,
                Ok(length) => {
                    self.shared.bytes.fetch_add(length, Ordering::SeqCst);
                    self.buffer.extend_from_slice(&piece[..length]);
                    return Some(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
    }
}
