//! How long a connection waits.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    task::coop::unconstrained,
    time::{Sleep, sleep},
};

/// Deadlines for all that a connection waits for, at the price of one timer that goes off now and
/// then: a wait arms none and reads no clock. The timer is asked even where the runtime thinks that
/// this task has done enough for now, so that whoever keeps it busy is late all the same.
#[derive(Debug)]
pub struct CoarseTimer {
    every: Duration,
    next: Pin<Box<Sleep>>,
}

/// It has taken too long.
#[derive(Debug)]
pub struct Elapsed;

/// Time is looked at as often as this, at least.
const TICK_INTERVAL: Duration = Duration::from_millis(500);

impl CoarseTimer {
    /// Looks at the time four times within the shortest of its deadlines, and twice a second at
    /// least: so much later than asked for may a wait end.
    #[must_use]
    pub fn new(shortest: Duration) -> Self {
        let every = TICK_INTERVAL.min(shortest.div_f32(4.0)).max(Duration::from_millis(1));
        Self { every, next: Box::pin(sleep(every)) }
    }

    /// What `wait` comes to, unless `enough` says so of the time waited.
    ///
    /// # Errors
    /// [`Elapsed`].
    pub async fn timeout<T>(
        &mut self,
        enough: impl Fn(Duration) -> bool,
        mut wait: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Result<T, Elapsed> {
        let mut waited = None; // the first look comes at any time
        poll_fn(|cx| {
            if let Poll::Ready(ready) = wait(cx) {
                return Poll::Ready(Ok(ready));
            }
            while pin!(unconstrained(self.next.as_mut())).poll(cx).is_ready() {
                self.next.set(sleep(self.every));
                let so_far =
                    waited.map_or(Duration::ZERO, |waited| self.every.saturating_add(waited));
                waited = Some(so_far);
                if enough(so_far) {
                    return Poll::Ready(Err(Elapsed));
                }
            }
            Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, timeout};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(2);

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_not_before_its_time_and_not_long_after() {
        let mut patience = CoarseTimer::new(LIMIT);
        for _ in 0..3 {
            sleep(Duration::from_millis(130)).await;
            let began = Instant::now();
            let waited = patience.timeout(|waited| waited >= LIMIT, |_| Poll::<()>::Pending).await;
            assert!(waited.is_err());
            let took = began.elapsed();
            assert!((LIMIT..=LIMIT + 2 * TICK_INTERVAL).contains(&took), "{took:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_need_not_wait_is_not_late() {
        let mut patience = CoarseTimer::new(LIMIT);
        sleep(4 * LIMIT).await;
        let ready = patience.timeout(|waited| waited >= LIMIT, |_| Poll::Ready(7)).await;
        assert_eq!(ready.unwrap(), 7);
        let mut looks = 0;
        let late = patience.timeout(
            |waited| waited >= LIMIT,
            |_| {
                looks += 1;
                Poll::<()>::Pending
            },
        );
        assert!(timeout(LIMIT / 2, late).await.is_err());
        assert!(looks < 10);
    }
}
