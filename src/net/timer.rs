//! A coarse timer for the many short waits of one connection.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    task::coop::unconstrained,
    time::{Instant, Sleep, sleep},
};

/// One coarse timer per connection. Waits count its ticks instead of arming timers or reading the
/// clock, so that a wait that ends at once, as nearly all do, costs nothing. A timer of tokio's for
/// each of the six waits of an exchange costs 1,000 to 2,000 instructions.
///
/// Precision: a wait ends not before its limit, and at most two ticks after it. A tick is half a
/// second, or a quarter of the shortest limit that was asked for, if that is less.
#[derive(Debug)]
pub struct CoarseTimer {
    tick: Duration,
    next: Pin<Box<Sleep>>,
}

/// The limit of a wait has elapsed.
#[derive(Debug)]
pub struct Elapsed;

impl From<Elapsed> for std::io::Error {
    fn from(_: Elapsed) -> Self {
        std::io::ErrorKind::TimedOut.into()
    }
}

const MAX_TICK: Duration = Duration::from_millis(500);
const MIN_TICK: Duration = Duration::from_millis(1);

impl Default for CoarseTimer {
    /// Starts ticking. Needs a tokio runtime.
    fn default() -> Self {
        Self { tick: MAX_TICK, next: Box::pin(sleep(MAX_TICK)) }
    }
}

impl CoarseTimer {
    /// Polls `wait` until it is ready, for at most `limit`.
    ///
    /// # Errors
    /// [`Elapsed`].
    pub async fn timeout<T>(
        &mut self,
        limit: Duration,
        wait: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Result<T, Elapsed> {
        self.timeout_unless(limit, || false, wait).await
    }

    /// Polls `wait` until it is ready, for at most `limit`, or until `is_cancelled` on a tick.
    ///
    /// # Errors
    /// [`Elapsed`], also where it was cancelled.
    pub async fn timeout_unless<T>(
        &mut self,
        limit: Duration,
        is_cancelled: impl Fn() -> bool,
        mut wait: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Result<T, Elapsed> {
        self.refine(limit);
        let mut waited = None; // the first tick comes at any time, so it does not count
        poll_fn(|cx| {
            if let Poll::Ready(ready) = wait(cx) {
                return Poll::Ready(Ok(ready));
            }
            while self.poll_tick(cx).is_ready() {
                let total =
                    waited.map_or(Duration::ZERO, |waited| self.tick.saturating_add(waited));
                waited = Some(total);
                if total >= limit || is_cancelled() {
                    return Poll::Ready(Err(Elapsed));
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Polled outside tokio's cooperative budget: a task that is kept busy still times out.
    fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let tick = pin!(unconstrained(self.next.as_mut())).poll(cx);
        if tick.is_ready() {
            self.next.set(sleep(self.tick));
        }
        tick
    }

    /// Ticks at least four times within `limit` from now on.
    fn refine(&mut self, limit: Duration) {
        if limit >= self.tick.saturating_mul(4) {
            return;
        }
        let tick = limit.checked_div(4).unwrap_or_default().max(MIN_TICK);
        if tick < self.tick {
            self.tick = tick;
            if let Some(next) = Instant::now().checked_add(tick) {
                self.next.as_mut().reset(next);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(2);

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_at_its_limit_and_at_most_two_ticks_later() {
        let mut timer = CoarseTimer::default();
        for limit in [LIMIT, LIMIT, LIMIT * 5, LIMIT / 10] {
            sleep(Duration::from_millis(130)).await;
            let began = Instant::now();
            assert!(timer.timeout(limit, |_| Poll::<()>::Pending).await.is_err());
            let took = began.elapsed();
            assert!((limit..=limit + 2 * MAX_TICK.min(limit / 4)).contains(&took), "{took:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_ready_wait_never_elapses_and_a_pending_one_is_polled_rarely() {
        let mut timer = CoarseTimer::default();
        sleep(4 * LIMIT).await;
        assert_eq!(timer.timeout(LIMIT, |_| Poll::Ready(7)).await.unwrap(), 7);
        let mut polls = 0;
        let late = timer.timeout(LIMIT, |_| {
            polls += 1;
            Poll::<()>::Pending
        });
        assert!(timeout(LIMIT / 2, late).await.is_err());
        assert!(polls < 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_wait_ends_at_the_next_tick() {
        let began = Instant::now();
        let mut timer = CoarseTimer::default();
        assert!(timer.timeout_unless(LIMIT * 9, || true, |_| Poll::<()>::Pending).await.is_err());
        assert!(began.elapsed() <= 2 * MAX_TICK);
    }
}
