//! One connection to an upstream.

use std::{
    future::{Future, poll_fn},
    io,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use tokio::task::coop::unconstrained;

use super::wire::{MAX_READ, READ_SIZE, Sent, Wire};
use super::{Failure, connect};
use crate::http1::{BodyDecoder, ResponseHead};
use crate::limits::Limits;
use crate::net::{CoarseTimer, Elapsed, IoPair, Socket};
use crate::routes::Upstream;

/// A connection that is driven by whoever uses it: no task of its own, no wake-up across tasks.
#[derive(Debug)]
pub(super) struct Connection {
    upstream: Arc<Upstream>,
    wire: Wire,
    patience: CoarseTimer,
    /// It is at its end, or nobody knows where the next answer would begin.
    spoilt: bool,
}

/// What became of one try.
pub(super) enum Attempt {
    /// The head of its answer, and what is to come of the body.
    Answered(ResponseHead, BodyDecoder),
    /// Not a byte of it was written: it may be tried elsewhere.
    Unsent,
    /// It may have been received.
    Failed(Failure),
}

/// So many interim answers may stand before an answer.
const MAX_INTERIM: usize = 32;

impl Connection {
    /// Sends one request and waits so long for the head of its answer. `to_head` says that its
    /// method is `HEAD`.
    pub(super) async fn send(
        &mut self,
        mut pieces: IoPair<'_>,
        to_head: bool,
        limit: Duration,
    ) -> Attempt {
        if !self.is_idle() {
            return Attempt::Unsent; // closed by the upstream, or it speaks unasked
        }
        self.spoilt = true; // until it is known where the answer ends
        self.wire.sent = Sent { begun: false, flushed: false, broken: false };
        let Self { wire, patience, .. } = self;
        let mut interims = 0..MAX_INTERIM;
        let head = patience.timeout(
            |waited| waited >= limit,
            |cx| {
                wire.write(&mut pieces, cx);
                if wire.sent.broken && !wire.sent.begun {
                    return Poll::Ready(None);
                }
                wire.poll_head(to_head, &mut interims, cx)
            },
        );
        match head.await {
            Ok(Some((head, rest))) => {
                self.spoilt = !head.keeps_alive();
                self.wire.unsent = pieces.0.concat().into();
                Attempt::Answered(head, rest)
            }
            Ok(None) if !self.wire.sent.begun => Attempt::Unsent,
            Ok(None) => Attempt::Failed(Failure::Failed),
            Err(Elapsed) => Attempt::Failed(Failure::Timeout),
        }
    }

    /// The next piece of an answer's body, once the app has sent it.
    pub(super) fn poll_body(
        &mut self,
        rest: &mut BodyDecoder,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Bytes>>> {
        self.wire.write_rest(cx);
        loop {
            match rest.take(&mut self.wire.heard) {
                Ok(Some(data)) => return Poll::Ready(Some(Ok(data.freeze()))),
                Ok(None) if rest.is_over() => return Poll::Ready(None),
                Ok(None) => {}
                Err(what) => return Poll::Ready(Some(Err(io::Error::other(what)))),
            }
            let wanted = rest.length().map_or(MAX_READ, |left| {
                usize::try_from(left).unwrap_or(MAX_READ).clamp(READ_SIZE, MAX_READ)
            });
            match self.wire.poll_read(wanted, cx) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0)) if matches!(rest, BodyDecoder::UntilEnd) => {
                    *rest = BodyDecoder::Length(0);
                    self.spoilt = true;
                }
                Poll::Ready(Ok(0)) => {
                    return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Whether something of the request is still to be sent.
    pub(super) const fn has_unsent(&self) -> bool {
        !self.wire.unsent.is_empty()
    }

    /// Whether it could take another request now: it is open, the last one is sent whole, and the
    /// app has nothing to say. It is asked even where the runtime thinks that this task has done
    /// enough for now.
    pub(super) fn is_idle(&mut self) -> bool {
        let Self { wire, spoilt, .. } = self;
        let sent = wire.sent.flushed && !wire.sent.broken && wire.unsent.is_empty();
        if *spoilt || !sent || !wire.heard.is_empty() {
            return false;
        }
        let read = poll_fn(|cx| wire.poll_read(READ_SIZE, cx));
        pin!(unconstrained(read)).poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    /// After a 101: the socket, and what the app has already said over it.
    pub(super) fn into_upgraded(self) -> (Socket, Bytes) {
        (self.wire.socket, self.wire.heard.freeze())
    }

    pub(super) const fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }
}

/// A new connection. Nothing has been sent yet.
pub(super) async fn connect(
    upstream: &Arc<Upstream>,
    limits: &Limits,
) -> Result<Box<Connection>, Failure> {
    let socket = connect::open(upstream, limits).await?;
    Ok(Box::new(Connection {
        upstream: Arc::clone(upstream),
        wire: Wire::new(socket),
        patience: CoarseTimer::new(limits.response_timeout),
        spoilt: false,
    }))
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::UnixStream,
        time::timeout,
    };

    use super::*;

    const HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: h\r\n\r\n";
    const SOON: Duration = Duration::from_secs(2);

    fn connection() -> (Connection, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let connection = Connection {
            upstream: Arc::new(Upstream::parse("http://127.0.0.1:1").unwrap()),
            wire: Wire::new(Socket::Unix(ours)),
            patience: CoarseTimer::new(SOON),
            spoilt: false,
        };
        (connection, theirs)
    }

    async fn answer(app: &mut UnixStream, text: &str) {
        app.write_all(text.as_bytes()).await.unwrap();
    }

    async fn whole(connection: &mut Connection, rest: &mut BodyDecoder) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let next = timeout(SOON, poll_fn(|cx| connection.poll_body(rest, cx)));
            match next.await.expect("the body hangs") {
                Some(data) => body.extend_from_slice(&data?),
                None => return Ok(body),
            }
        }
    }

    #[tokio::test]
    async fn an_app_that_answers_early_still_gets_the_whole_request() {
        let (mut connection, mut app) = connection();
        let body = vec![b'x'; 1 << 20];
        let app = tokio::spawn(async move {
            let mut first = [0];
            app.read_exact(&mut first).await.unwrap();
            answer(&mut app, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            let mut request = vec![0; HEAD.len() + (1 << 20) - 1];
            app.read_exact(&mut request).await.unwrap();
            answer(&mut app, "2\r\nhi\r\n0\r\n\r\n").await;
            app
        });
        let Attempt::Answered(head, mut rest) =
            connection.send(IoPair([HEAD, &body]), false, SOON).await
        else {
            panic!("no answer")
        };
        assert!(head.status == 200 && connection.has_unsent() && !connection.is_idle());
        assert_eq!(whole(&mut connection, &mut rest).await.unwrap(), b"hi");
        assert!(connection.is_idle() && !connection.has_unsent());
        drop(app.await.unwrap());
    }

    #[tokio::test]
    async fn an_app_that_speaks_unasked_is_not_asked() {
        for said in ["HTTP/1.1 408 Request Timeout\r\n\r\n", "x"] {
            let (mut connection, mut app) = connection();
            assert!(connection.is_idle());
            answer(&mut app, said).await;
            let heard = async {
                while connection.is_idle() {
                    tokio::task::yield_now().await;
                }
            };
            timeout(SOON, heard).await.unwrap();
            let attempt = connection.send(IoPair([HEAD, b""]), false, SOON).await;
            assert!(matches!(attempt, Attempt::Unsent));
        }
    }

    #[tokio::test]
    async fn interim_answers_are_passed_over_and_counted() {
        for (count, is_answered) in [(0, true), (3, true), (MAX_INTERIM + 1, false)] {
            let (mut connection, mut app) = connection();
            let interims = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(count);
            tokio::spawn(async move {
                app.read_exact(&mut [0; HEAD.len()]).await.unwrap();
                answer(&mut app, &interims).await;
                answer(&mut app, "HTTP/1.1 204 No Content\r\n\r\n").await;
                app
            });
            match connection.send(IoPair([HEAD, b""]), false, SOON).await {
                Attempt::Answered(head, rest) => {
                    assert!(is_answered && head.status == 204 && rest.is_over(), "{count}");
                }
                Attempt::Failed(Failure::Failed) => assert!(!is_answered, "{count}"),
                Attempt::Failed(_) | Attempt::Unsent => panic!("{count}"),
            }
        }
    }

    #[tokio::test]
    async fn what_is_closed_before_a_byte_is_written_may_be_tried_elsewhere() {
        let (mut connection, app) = connection();
        drop(app);
        let attempt = connection.send(IoPair([HEAD, b""]), false, SOON).await;
        assert!(matches!(attempt, Attempt::Unsent));
    }

    #[tokio::test]
    async fn what_is_closed_afterwards_has_failed() {
        for answered in ["", "HTTP/1.1 200", "HTTP/1.1 099 No\r\n\r\n", "nonsense\r\n\r\n"] {
            let (mut connection, mut app) = connection();
            tokio::spawn(async move {
                app.read_exact(&mut [0; HEAD.len()]).await.unwrap();
                answer(&mut app, answered).await;
            });
            let attempt = connection.send(IoPair([HEAD, b""]), false, SOON).await;
            assert!(matches!(attempt, Attempt::Failed(Failure::Failed)), "{answered}");
        }
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_not_whole_and_spoils_the_connection() {
        for (head, body) in [
            ("Content-Length: 3\r\n", "hi"),
            ("Transfer-Encoding: chunked\r\n", "2\r\nhi\r\n"),
            ("Transfer-Encoding: chunked\r\n", "2\r\nhi\r\nx\r\n"),
        ] {
            let (mut connection, mut app) = connection();
            tokio::spawn(async move {
                app.read_exact(&mut [0; HEAD.len()]).await.unwrap();
                answer(&mut app, &format!("HTTP/1.1 200 OK\r\n{head}\r\n{body}")).await;
            });
            let Attempt::Answered(_, mut rest) =
                connection.send(IoPair([HEAD, b""]), false, SOON).await
            else {
                panic!("no answer")
            };
            assert!(whole(&mut connection, &mut rest).await.is_err(), "{body}");
            assert!(!rest.is_over());
        }
    }

    #[tokio::test]
    async fn without_a_length_the_end_is_the_connections() {
        let (mut connection, mut app) = connection();
        tokio::spawn(async move {
            app.read_exact(&mut [0; HEAD.len()]).await.unwrap();
            answer(&mut app, "HTTP/1.0 200 OK\r\n\r\nall of it").await;
        });
        let Attempt::Answered(_, mut rest) =
            connection.send(IoPair([HEAD, b""]), false, SOON).await
        else {
            panic!("no answer")
        };
        assert_eq!(whole(&mut connection, &mut rest).await.unwrap(), b"all of it");
        assert!(!connection.is_idle());
    }
}
