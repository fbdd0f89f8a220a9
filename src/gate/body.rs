//! Reads a request body, bounded in bytes and in time.

use std::{
    future::poll_fn,
    io,
    pin::pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, timeout_at};

use super::Refusal;
use crate::limits::Reservation;

/// Time before the minimum body rate applies.
const MIN_RATE_GRACE: Duration = Duration::from_secs(2);

/// Bounds of one body.
pub(super) struct Bounds {
    /// Maximum length in bytes.
    pub(super) max_bytes: u64,
    /// Maximum time for the whole body.
    pub(super) timeout: Duration,
    /// Minimum average rate in bytes per second after [`MIN_RATE_GRACE`]; 0 disables the check.
    pub(super) min_rate: u64,
}

/// A request body that has not been read yet.
pub trait RequestBody {
    /// Appends the next chunk to `whole`, or replaces an empty `whole` without copying. Returns the
    /// length of the chunk; 0 at the end of the body.
    ///
    /// # Errors
    /// When the body is truncated or its coding is invalid.
    fn poll_data(&mut self, whole: &mut BytesMut, cx: &mut Context<'_>) -> Poll<io::Result<usize>>;

    /// Returns the number of bytes still to read, if the framing states it.
    fn exact_len(&self) -> Option<u64>;

    /// Returns whether the client has closed its side of the connection, as far as that shows without
    /// waiting. Asked only when the body is complete.
    fn is_client_gone(&mut self) -> bool;
}

impl<B: RequestBody> RequestBody for &mut B {
    fn poll_data(&mut self, whole: &mut BytesMut, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        (**self).poll_data(whole, cx)
    }

    fn exact_len(&self) -> Option<u64> {
        (**self).exact_len()
    }

    fn is_client_gone(&mut self) -> bool {
        (**self).is_client_gone()
    }
}

/// Returns whether the framing announces more than `limit` bytes.
pub(super) fn announces_more_than(limit: u64, body: &impl RequestBody) -> bool {
    body.exact_len().is_some_and(|exact_len| exact_len > limit)
}

/// Reads the whole body behind `prefix`, which is not counted.
pub(super) async fn read(
    mut body: impl RequestBody,
    prefix: &[u8],
    bounds: &Bounds,
    reservation: &mut Reservation,
) -> Result<Bytes, Refusal> {
    let mut whole = BytesMut::from(prefix);
    let mut length: u64 = 0;
    let mut began = None; // reading the clock is skipped when the whole body is buffered already
    while body.exact_len() != Some(0) {
        let mut more = poll_fn(|cx| body.poll_data(&mut whole, cx));
        let ready = if began.is_none() { now_or_never(&mut more).await } else { None };
        let more = match ready {
            Some(more) => more,
            None => {
                let deadline = bounds.deadline(*began.get_or_insert_with(Instant::now), length);
                timeout_at(deadline, more).await.map_err(|_| Refusal::BodyTimeout)?
            }
        };
        let more = more.map_err(|_| Refusal::BodyIncomplete)?;
        if more == 0 {
            break;
        }
        let more = u64::try_from(more).unwrap_or(u64::MAX);
        length = length.saturating_add(more);
        if length > bounds.max_bytes {
            return Err(Refusal::BodyTooLarge);
        }
        if !reservation.try_grow(more) {
            return Err(Refusal::Overloaded);
        }
        reserve_rest(&mut whole, length, body.exact_len());
    }
    Ok(whole.freeze())
}

/// Allocates the rest of a body at once when a quarter of it has arrived: doubling a buffer again
/// and again copies it, and holds it twice meanwhile. Not before: a client that only announces a
/// long body would take its address space.
fn reserve_rest(whole: &mut BytesMut, arrived: u64, left: Option<u64>) {
    if let Some(left) = left
        && arrived >= left / 3
    {
        whole.reserve(usize::try_from(left).unwrap_or(0));
    }
}

/// Polls the future once. Returns `None` when it is pending.
async fn now_or_never<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    poll_fn(|cx| match pin!(&mut *future).poll(cx) {
        Poll::Ready(ready) => Poll::Ready(Some(ready)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

impl Bounds {
    /// Returns the time by which the next chunk must arrive: the timeout, or earlier when the average rate
    /// is too low.
    fn deadline(&self, began: Instant, length: u64) -> Instant {
        let earned = length.checked_div(self.min_rate).map_or(self.timeout, |seconds| {
            MIN_RATE_GRACE.saturating_add(Duration::from_secs(seconds))
        });
        let allowed = self.timeout.min(earned);
        began.checked_add(allowed).unwrap_or(began)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_body_times_out_by_its_average_rate() {
        let bounds = Bounds { max_bytes: 1, timeout: Duration::from_secs(10), min_rate: 1000 };
        let began = Instant::now();
        let allowed = |bounds: &Bounds, length| bounds.deadline(began, length) - began;
        assert_eq!(allowed(&bounds, 0), Duration::from_secs(2));
        assert_eq!(allowed(&bounds, 5000), Duration::from_secs(7));
        assert_eq!(allowed(&bounds, 50_000), Duration::from_secs(10));
        assert_eq!(allowed(&Bounds { min_rate: 0, ..bounds }, 0), Duration::from_secs(10));
    }
}
