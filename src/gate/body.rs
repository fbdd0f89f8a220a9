//! Reading a body, bounded in bytes and in time.

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

/// For so long a body may come as slowly as it likes.
const MIN_RATE_GRACE: Duration = Duration::from_secs(2);

/// What one body may take.
pub(super) struct Bounds {
    /// Bytes.
    pub(super) bytes: u64,
    /// From the end of the head to the end of the body.
    pub(super) deadline: Duration,
    /// Bytes per second, after a moment of grace; zero asks for none.
    pub(super) rate: u64,
}

/// A body that is still on its way.
pub trait RequestBody {
    /// Puts what comes next of it behind what is there of it, or all at once in its place; how many
    /// bytes, and none where it is over.
    ///
    /// # Errors
    /// Where it breaks off, or cannot be read.
    fn poll_data(&mut self, whole: &mut BytesMut, cx: &mut Context<'_>) -> Poll<io::Result<usize>>;

    /// How many bytes are to come, where that is known.
    fn exact_len(&self) -> Option<u64>;
}

/// Whether the head announces more than `limit` bytes.
pub(super) fn announces_more_than(limit: u64, body: &impl RequestBody) -> bool {
    body.exact_len().is_some_and(|exact_len| exact_len > limit)
}

/// Reads it whole.
pub(super) async fn read(
    mut body: impl RequestBody,
    bounds: &Bounds,
    held: &mut Reservation,
) -> Result<Bytes, Refusal> {
    let mut whole = BytesMut::new();
    let mut length: u64 = 0;
    let mut began = None; // what is here already needs no clock
    while body.exact_len() != Some(0) {
        let mut more = poll_fn(|cx| body.poll_data(&mut whole, cx));
        let now_or_never = if began.is_none() { now_or_never(&mut more).await } else { None };
        let more = match now_or_never {
            Some(more) => more,
            None => {
                let until = bounds.until(*began.get_or_insert_with(Instant::now), length);
                timeout_at(until, more).await.map_err(|_| Refusal::BodyTimeout)?
            }
        };
        let more = more.map_err(|_| Refusal::BodyIncomplete)?;
        if more == 0 {
            break;
        }
        let more = u64::try_from(more).unwrap_or(u64::MAX);
        length = length.saturating_add(more);
        if length > bounds.bytes {
            return Err(Refusal::BodyTooLarge);
        }
        if !held.grow(more) {
            return Err(Refusal::Overloaded);
        }
    }
    Ok(whole.freeze())
}

/// What it comes to, if that is known without waiting.
async fn now_or_never<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    poll_fn(|cx| match pin!(&mut *future).poll(cx) {
        Poll::Ready(ready) => Poll::Ready(Some(ready)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

impl Bounds {
    /// Until when the next byte must be here: the deadline, or sooner where the body is slow.
    fn until(&self, began: Instant, length: u64) -> Instant {
        let paid = length.checked_div(self.rate).map_or(self.deadline, |seconds| {
            MIN_RATE_GRACE.saturating_add(Duration::from_secs(seconds))
        });
        let patience = self.deadline.min(paid);
        began.checked_add(patience).unwrap_or(began)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_body_has_the_time_that_its_bytes_have_earned() {
        let bounds = Bounds { bytes: 1, deadline: Duration::from_secs(10), rate: 1000 };
        let began = Instant::now();
        let patience = |bounds: &Bounds, length| bounds.until(began, length) - began;
        assert_eq!(patience(&bounds, 0), Duration::from_secs(2));
        assert_eq!(patience(&bounds, 5000), Duration::from_secs(7));
        assert_eq!(patience(&bounds, 50_000), Duration::from_secs(10));
        assert_eq!(patience(&Bounds { rate: 0, ..bounds }, 0), Duration::from_secs(10));
    }
}
