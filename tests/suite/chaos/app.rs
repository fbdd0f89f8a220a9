//! The app: reads requests strictly, and answers each as its target says.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use super::plan::{Behaviour, Step, pattern, steps};
use crate::support::{TEST_TIMEOUT, fields_of, find, latin1, values};

pub(super) struct App {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    faults: Mutex<Vec<String>>,
    is_stopped: AtomicBool,
}

impl App {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if own.is_stopped.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&own);
                thread::spawn(move || Session { stream, buffer: Vec::new() }.serve(&shared));
            }
        });
        Self { address, shared }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was wrong with requests.
    pub(super) fn faults(&self) -> Vec<String> {
        self.shared.faults.lock().unwrap().clone()
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::SeqCst);
        let _wake = TcpStream::connect_timeout(&self.address, TEST_TIMEOUT);
    }
}

struct Session {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Session {
    fn serve(mut self, shared: &Shared) {
        let _patient = self.stream.set_read_timeout(Some(TEST_TIMEOUT));
        let _prompt = self.stream.set_nodelay(true);
        loop {
            match self.exchange() {
                Ok(true) => {}
                Ok(false) => break,
                Err(fault) => {
                    shared.faults.lock().unwrap().push(fault);
                    break;
                }
            }
        }
        let _closed = self.stream.shutdown(Shutdown::Both);
    }

    /// Returns whether the connection goes on.
    fn exchange(&mut self) -> Result<bool, String> {
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end + 4;
            }
            if !self.fill() {
                return Ok(false);
            }
        };
        let head: Vec<_> = self.buffer.drain(..end).collect();
        let line = latin1(&head).lines().next().unwrap_or_default().to_owned();
        let request = || format!("the app received {line:?}");
        let path = line.split([' ', '?']).nth(1).unwrap_or_default();
        let parts: Vec<_> = path.split('/').collect();
        let ["", "chaos", behaviour, token] = parts[..] else { return Err(request()) };
        let behaviour = Behaviour::parse(behaviour).ok_or_else(request)?;
        let fields = fields_of(&head);
        let length = match values(&fields, "Content-Length")[..] {
            [] => 0,
            [text] => text.parse().map_err(|_| request())?,
            _ => return Err(request()),
        };
        for step in steps(behaviour, token, line.starts_with("HEAD ")) {
            match step {
                Step::Send(bytes) if self.stream.write_all(&bytes).is_err() => return Ok(false),
                Step::Send(_) => {}
                Step::Pause(millis) => {
                    thread::sleep(Duration::from_millis(u64::try_from(millis).unwrap()));
                }
                Step::ReadBody => self
                    .read_body(token, length)
                    .map_err(|what| format!("{}: {what}", request()))?,
                Step::Close => return Ok(false),
            }
        }
        Ok(true)
    }

    fn read_body(&mut self, token: &str, length: usize) -> Result<(), String> {
        while self.buffer.len() < length {
            if !self.fill() {
                return Err(format!("{} of {length} bytes", self.buffer.len()));
            }
        }
        let body: Vec<_> = self.buffer.drain(..length).collect();
        if body == pattern(token, length) { Ok(()) } else { Err("another body".to_owned()) }
    }

    fn fill(&mut self) -> bool {
        let mut piece = [0; 64 * 1024];
        let length = self.stream.read(&mut piece).unwrap_or_default();
        self.buffer.extend_from_slice(&piece[..length]);
        length > 0
    }
}
