//! Pickle:30, the weather hotline of Twilio's article: the app behind the gate.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response, body::Incoming, header::CONTENT_TYPE, server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;

/// A running hotline.
pub(super) struct Hotline {
    address: SocketAddr,
    calls: Arc<AtomicUsize>,
}

/// The TwiML for a caller.
const TWIML: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Say>Thank you for calling \
the weather hotline. The temperature in San Francisco is 61 degrees.</Say></Response>\n";

impl Hotline {
    /// Opens it on a loopback port of its own.
    pub(super) fn open() -> io::Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("hotline".to_owned()).spawn(move || {
            let _ended = runtime.block_on(serve(listener, counted));
        })?;
        Ok(Self { address, calls })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the number of requests that it has received.
    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

async fn serve(listener: std::net::TcpListener, calls: Arc<AtomicUsize>) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let calls = Arc::clone(&calls);
        let service = service_fn(move |_: Request<Incoming>| {
            calls.fetch_add(1, Ordering::SeqCst);
            std::future::ready(Ok::<_, Infallible>(twiml()))
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

fn twiml() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(TWIML.as_bytes())));
    let xml = hyper::header::HeaderValue::from_static("application/xml");
    response.headers_mut().insert(CONTENT_TYPE, xml);
    response
}
