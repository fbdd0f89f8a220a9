//! Replay memory, for routes with a `replay_window`.
//!
//! A signature covers no time, so anybody who has seen a request can send it again. A route can
//! bound how often one signature passes within a window: once, and `replay_retries` times more,
//! since Twilio itself repeats requests. Repeats are counted by what was signed alone: target and body
//! add nothing that a MAC does not cover, a body can be spelled in many ways that are signed alike,
//! and `I-Twilio-Idempotency-Token` is not signed. Of an ECDSA signature the signed text counts and
//! not the signature, which has a valid twin.
//!
//! An entry counts once a byte of the request may have reached the app: a request that was refused
//! for overload, or whose app was unreachable, can be sent again. Between judgement and that byte it
//! is reserved, so that two copies at once do not both pass.
//!
//! Not possible: to tell Twilio's retry from an attacker's copy; to remember beyond the window, over
//! a restart, or between two processes.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use crate::routes::Replay;

/// Most entries; the oldest is dropped for a new one. Only proven requests make entries.
const MAX_ENTRIES: usize = 65_536;

/// The signatures that passed a short time ago. One for the whole process.
#[derive(Clone, Debug, Default)]
pub struct ReplayCache {
    entries: Arc<Mutex<Entries>>,
}

#[derive(Debug, Default)]
struct Entries {
    by_digest: HashMap<Digest, Entry>,
    /// Digests and the ends of their windows, the oldest first.
    order: VecDeque<(Digest, Instant)>,
}

/// Identifies what was signed: Twilio's MAC, zero-padded, or a hash of the signed text and its key.
type Digest = [u8; 32];

#[derive(Debug)]
struct Entry {
    until: Instant,
    /// Number of requests that passed or are reserved.
    count: u32,
}

/// One pass of a signature. Dropped without [`Self::commit`], it does not count.
#[derive(Debug)]
#[must_use]
pub struct ReplayReservation {
    cache: ReplayCache,
    digest: Digest,
    /// The end of the window that it counts in.
    until: Instant,
    is_committed: bool,
}

impl ReplayCache {
    /// Reserves a pass for what has this digest; `None` if it has none left within the window.
    pub(super) fn reserve(
        &self,
        digest: Digest,
        rule: Replay,
        now: Instant,
    ) -> Option<ReplayReservation> {
        let mut entries = self.lock();
        entries.forget(now);
        let until = match entries.by_digest.get_mut(&digest) {
            Some(entry) if entry.until > now && entry.count > rule.retries => return None,
            Some(entry) if entry.until > now && entry.count > 0 => {
                entry.count = entry.count.saturating_add(1);
                entry.until
            }
            _ => {
                let until = now.checked_add(rule.window).unwrap_or(now);
                entries.by_digest.insert(digest, Entry { until, count: 1 });
                entries.order.push_back((digest, until));
                until
            }
        };
        Some(ReplayReservation { cache: self.clone(), digest, until, is_committed: false })
    }

    /// A panic elsewhere cannot leave a half-changed entry behind.
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReplayReservation {
    /// Counts the pass: a byte of the request may have reached the app.
    pub fn commit(mut self) {
        self.is_committed = true;
    }
}

impl Drop for ReplayReservation {
    fn drop(&mut self) {
        if self.is_committed {
            return;
        }
        if let Some(entry) = self.cache.lock().by_digest.get_mut(&self.digest)
            && entry.until == self.until
        {
            entry.count = entry.count.saturating_sub(1);
        }
    }
}

impl Entries {
    /// Drops expired entries, and the oldest where there are too many.
    fn forget(&mut self, now: Instant) {
        while let Some((digest, until)) = self.order.front()
            && (*until <= now || self.order.len() >= MAX_ENTRIES)
        {
            // A newer entry of the same digest has a place of its own in the order.
            if self.by_digest.get(digest).is_some_and(|entry| entry.until == *until) {
                self.by_digest.remove(digest);
            }
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const RULE: Replay = Replay { window: Duration::from_secs(60), retries: 1 };

    fn digest(number: usize) -> Digest {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&number.to_le_bytes());
        digest
    }

    #[test]
    fn a_signature_passes_once_and_as_often_again_as_the_rule_allows() {
        let (cache, now) = (ReplayCache::default(), Instant::now());
        let pass = |number, now| {
            let reservation = cache.reserve(digest(number), RULE, now);
            reservation.map(ReplayReservation::commit).is_some()
        };
        assert!(pass(1, now) && pass(1, now));
        assert!(!pass(1, now) && !pass(1, now));
        assert!(pass(2, now));
        assert!(pass(1, now + RULE.window));
    }

    #[test]
    fn a_reservation_that_is_dropped_does_not_count() {
        let (cache, now) = (ReplayCache::default(), Instant::now());
        let rule = Replay { retries: 0, ..RULE };
        let first = cache.reserve(digest(1), rule, now).unwrap();
        assert!(cache.reserve(digest(1), rule, now).is_none(), "two at once");
        drop(first);
        let later = now + RULE.window / 2;
        cache.reserve(digest(1), rule, later).unwrap().commit();
        assert!(cache.reserve(digest(1), rule, later).is_none());
        assert!(cache.reserve(digest(1), rule, now + RULE.window).is_none(), "a new window");
        assert!(cache.reserve(digest(1), rule, later + RULE.window).is_some());
    }

    #[test]
    fn a_reservation_of_an_earlier_window_takes_nothing_from_a_later_one() {
        let (cache, now) = (ReplayCache::default(), Instant::now());
        let rule = Replay { retries: 0, ..RULE };
        let early = cache.reserve(digest(1), rule, now).unwrap();
        let later = now + RULE.window;
        cache.reserve(digest(1), rule, later).unwrap().commit();
        drop(early);
        assert!(cache.reserve(digest(1), rule, later).is_none());
    }

    #[test]
    fn the_number_of_entries_is_bounded() {
        let (cache, now) = (ReplayCache::default(), Instant::now());
        for number in 0..MAX_ENTRIES + 10 {
            cache.reserve(digest(number), RULE, now).unwrap().commit();
        }
        let entries = cache.entries.lock().unwrap();
        assert_eq!((entries.by_digest.len(), entries.order.len()), (MAX_ENTRIES, MAX_ENTRIES));
    }
}
