//! Reading a body, bounded in bytes and in time.

use std::{
    error::Error,
    future::poll_fn,
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame};
use tokio::time::{Instant, timeout_at};

use super::{Held, Refusal};

/// For so long a body may come as slowly as it likes.
const GRACE: Duration = Duration::from_secs(2);

/// What one body may take.
pub(super) struct Bounds {
    /// Bytes.
    pub(super) bytes: u64,
    /// From the end of the head to the end of the body.
    pub(super) deadline: Duration,
    /// Bytes per second, after a moment of grace; zero asks for none.
    pub(super) rate: u64,
}

/// Whether the head announces more than `limit` bytes.
pub(super) fn announces_more_than(limit: u64, body: &impl Body) -> bool {
    body.size_hint().lower() > limit
}

/// Reads it whole. The usual body arrives in one frame and is not copied. Trailers are dropped:
/// nothing signs them.
pub(super) async fn read<B>(body: B, bounds: &Bounds, held: &mut Held) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes>,
    B::Error: Error + 'static,
{
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let announced = body.size_hint().lower().min(bounds.bytes);
    let mut body = pin!(body);
    let mut whole = Whole::default();
    let mut length: u64 = 0;
    let mut began = None; // what is here already needs no clock
    while !body.is_end_stream() {
        let at_hand = if began.is_none() { at_hand(body.as_mut()).await } else { None };
        let next = match at_hand {
            Some(next) => next,
            None => {
                let until = bounds.until(*began.get_or_insert_with(Instant::now), length);
                timeout_at(until, body.frame()).await.map_err(|_| Refusal::BodyTimeout)?
            }
        };
        let Some(frame) = next else { break };
        let frame = frame.map_err(|_| Refusal::BodyIncomplete)?;
        let Ok(data) = frame.into_data() else { continue };
        let more = u64::try_from(data.len()).unwrap_or(u64::MAX);
        length = length.saturating_add(more);
        if length > bounds.bytes {
            return Err(Refusal::BodyTooLarge);
        }
        if !held.grow(more) {
            return Err(Refusal::Overloaded);
        }
        whole.add(data, announced);
    }
    Ok(whole.bytes())
}

/// The next frame, or that there is none, if that is known without waiting.
async fn at_hand<B: Body>(
    mut body: Pin<&mut B>,
) -> Option<Option<Result<Frame<B::Data>, B::Error>>> {
    poll_fn(|cx| match body.as_mut().poll_frame(cx) {
        Poll::Ready(next) => Poll::Ready(Some(next)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// The frames so far: the only one as it came, several in one buffer.
#[derive(Default)]
struct Whole {
    only: Bytes,
    several: BytesMut,
}

impl Whole {
    /// `announced` is how long the whole will be, where that is known.
    fn add(&mut self, data: Bytes, announced: u64) {
        if self.only.is_empty() && self.several.is_empty() {
            self.only = data;
            return;
        }
        if self.several.is_empty() {
            self.several.reserve(usize::try_from(announced).unwrap_or_default());
            self.several.extend_from_slice(&std::mem::take(&mut self.only));
        }
        self.several.extend_from_slice(&data);
    }

    fn bytes(self) -> Bytes {
        if self.several.is_empty() { self.only } else { self.several.freeze() }
    }
}

impl Bounds {
    /// Until when the next byte must be here: the deadline, or sooner where the body is slow.
    fn until(&self, began: Instant, length: u64) -> Instant {
        let paid = length
            .checked_div(self.rate)
            .map_or(self.deadline, |seconds| GRACE.saturating_add(Duration::from_secs(seconds)));
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
