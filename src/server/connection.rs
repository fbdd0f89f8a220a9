//! One connection from outside.

use std::{net::SocketAddr, pin::pin};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpStream, sync::OwnedSemaphorePermit};

use super::{
    exchange::Exchange,
    wire::Wire,
    worker::{Worker, told_to_stop},
};
use crate::routes::Limits;

/// Serves it to its end, and gracefully once told to stop.
pub(super) async fn serve(
    worker: Worker,
    stream: TcpStream,
    peer: SocketAddr,
    permit: OwnedSemaphorePermit,
) {
    let builder = builder(&worker.shared.live.load().limits);
    let mut stopped = worker.stopped.clone();
    let (wire, record) = Wire::new(stream);
    let exchange = Exchange { worker, peer, record };
    let service = service_fn(|request| {
        let exchange = exchange.clone();
        async move { Ok::<_, std::convert::Infallible>(exchange.answer(request).await) }
    });
    let mut connection =
        pin!(builder.serve_connection(TokioIo::new(wire), service).with_upgrades());
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = told_to_stop(&mut stopped) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection ended");
    }
    drop(permit);
}

/// hyper's side of the bargain: spelling kept, nothing added, everything bounded. It answers 400,
/// 414 and 431 by itself.
fn builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .preserve_header_case(true)
        .auto_date_header(false)
        .half_close(true)
        .max_buf_size(limits.max_head_bytes)
        .max_headers(limits.max_headers)
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout);
    builder
}
