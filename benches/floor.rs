//! The floor: a minimal verifying proxy on tokio, for comparison in `benches/compare.py`.
//!
//! It parses with httparse, verifies with the library's `signature` module, and forwards bytes
//! unchanged. No HTTP library, timeouts, limits, log or hop-by-hop rules: for measurements only.
//!
//! `floor PORT UPSTREAM_PORT ORIGIN TOKEN`

#![expect(clippy::unwrap_used, reason = "a bench that cannot start should say so")]

use std::{
    env, io,
    net::{Ipv4Addr, SocketAddr},
    ops::Range,
    sync::{Arc, Mutex},
};

use gatekeeper::signature::{
    Algorithm, BodyKind, Key, Keyring, Message, Origin, Selector, Signature, verify,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const UNSIGNED: &[u8] = b"HTTP/1.1 418 I'm a teapot\r\nContent-Length: 12\r\n\r\nNot signed.\n";
const MISMATCH: &[u8] =
    b"HTTP/1.1 403 Forbidden\r\nContent-Length: 24\r\n\r\nSignature does not match";
const FIELDS: usize = 64;

struct Floor {
    origin: Origin,
    keyring: Keyring,
    upstream: SocketAddr,
    idle: Mutex<Vec<TcpStream>>,
}

/// The parts of a head that the floor uses.
#[derive(Default)]
struct Head {
    target: Range<usize>,
    body: Range<usize>,
    signature: Option<Signature>,
}

fn main() {
    let arguments: Vec<String> =
        env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let [port, upstream, origin, token] = arguments.as_slice() else {
        return; // as `cargo bench` and `cargo test` call it
    };
    let key = Key::new("floor", token.as_bytes(), Algorithm::HmacSha1).unwrap();
    let floor = Arc::new(Floor {
        origin: Origin::parse(origin).unwrap(),
        keyring: Keyring::new(vec![key], None),
        upstream: SocketAddr::from((Ipv4Addr::LOCALHOST, upstream.parse().unwrap())),
        idle: Mutex::default(),
    });
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().unwrap()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    runtime.block_on(accept(floor, listen)).unwrap();
}

async fn accept(floor: Arc<Floor>, listen: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (client, _) = listener.accept().await?;
        client.set_nodelay(true)?;
        tokio::spawn(serve(Arc::clone(&floor), client));
    }
}

/// Serves one connection to its end.
async fn serve(floor: Arc<Floor>, mut client: TcpStream) -> io::Result<()> {
    let (mut request, mut answer) = (Vec::new(), Vec::new());
    while let Some(head) = read(&mut client, &mut request, request_head).await? {
        let end = head.body.end;
        match head.signature.as_ref().map(|signature| floor.judge(&request, &head, signature)) {
            None => client.write_all(UNSIGNED).await?,
            Some(false) => client.write_all(MISMATCH).await?,
            Some(true) => {
                floor.exchange(request.get(..end).unwrap_or_default(), &mut answer).await?;
                client.write_all(&answer).await?;
            }
        }
        request.drain(..end);
    }
    Ok(())
}

impl Floor {
    fn judge(&self, request: &[u8], head: &Head, signature: &Signature) -> bool {
        let target = request.get(head.target.clone()).unwrap_or_default();
        let body = request.get(head.body.clone()).unwrap_or_default();
        Message::bind(BodyKind::Form, target, body).is_ok_and(|message| {
            let (origin, keyring) = (&self.origin, &self.keyring);
            verify(&message, &[origin], keyring, Selector::AuthToken, signature).is_ok()
        })
    }

    /// Over an idle connection, else over a new one.
    async fn exchange(&self, request: &[u8], answer: &mut Vec<u8>) -> io::Result<()> {
        let idle = self.idle.lock().unwrap().pop();
        let mut app = match idle {
            Some(app) => app,
            None => TcpStream::connect(self.upstream).await?,
        };
        app.write_all(request).await?;
        answer.clear();
        read(&mut app, answer, answer_head).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        self.idle.lock().unwrap().push(app);
        Ok(())
    }
}

/// Reads one whole message; `None` if the peer closes between two messages.
async fn read(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    parse: fn(&[u8]) -> io::Result<Option<Head>>,
) -> io::Result<Option<Head>> {
    let mut head = None;
    loop {
        if head.is_none() && !buffer.is_empty() {
            head = parse(buffer)?;
        }
        if head.as_ref().is_some_and(|head| buffer.len() >= head.body.end) {
            return Ok(head);
        }
        buffer.reserve(4096);
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

fn request_head(bytes: &[u8]) -> io::Result<Option<Head>> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(length) = request.parse(bytes).map_err(io::Error::other)? else {
        return Ok(None);
    };
    let start = request.method.map_or(0, str::len).saturating_add(1);
    let end = start.saturating_add(request.path.map_or(0, str::len));
    let head = describe(length, request.headers);
    Ok(Some(Head { target: start..end, ..head }))
}

fn answer_head(bytes: &[u8]) -> io::Result<Option<Head>> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut answer = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(length) = answer.parse(bytes).map_err(io::Error::other)? else {
        return Ok(None);
    };
    Ok(Some(describe(length, answer.headers)))
}

fn describe(length: usize, fields: &[httparse::Header<'_>]) -> Head {
    let mut head = Head { body: length..length, ..Head::default() };
    for field in fields {
        if field.name.eq_ignore_ascii_case("content-length") {
            let body: usize = std::str::from_utf8(field.value)
                .ok()
                .and_then(|text| text.parse().ok())
                .unwrap_or(0);
            head.body.end = length.saturating_add(body);
        } else if field.name.eq_ignore_ascii_case("x-twilio-signature") {
            head.signature = Signature::parse(field.value).ok();
        }
    }
    head
}
