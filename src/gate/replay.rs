//! What was let through a moment ago, for routes that want nothing twice (`replay_window`).
//!
//! The signature has no time in it, so who has seen a request can send it again. A route can ask
//! that one signature passes once within a window, and a few times more under the idempotency token
//! that it first came with, since Twilio itself repeats requests. The signature alone is what is
//! remembered: target and body would add nothing that it does not cover, and a body can be raw_name
//! in many ways that are signed alike. What this cannot do: tell a repeat by Twilio from one by
//! somebody who saw the token too, or remember longer than the window, over a restart, or between
//! two gates.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::Instant,
};

use sha2::{Digest, Sha256};

use crate::routes::Replay;
use crate::signature::Signature;

/// The oldest is forgotten beyond so many; only what is proven is remembered at all.
const MAX_ENTRIES: usize = 65_536;

/// The requests that were let through.
#[derive(Debug, Default)]
pub struct ReplayCache {
    memory: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    passed: HashMap<SignatureDigest, Entry>,
    /// In the order in which they came.
    order: VecDeque<SignatureDigest>,
}

/// A MAC, or the digest of an idempotency token.
type SignatureDigest = [u8; 32];

#[derive(Debug)]
struct Entry {
    until: Instant,
    token: Option<SignatureDigest>,
    retries: u32,
}

impl ReplayCache {
    /// Whether it may pass: as the first of its kind within the window, or as one of the retries
    /// that are left to it.
    ///
    /// `token` is `I-Twilio-Idempotency-Token`, which is not signed.
    pub(super) fn check_and_insert(
        &self,
        signature: &Signature,
        token: Option<&[u8]>,
        rule: Replay,
        now: Instant,
    ) -> bool {
        let digest = signature.mac();
        let token = token.map(|token| Sha256::digest(token).into());
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.forget(now);
        match memory.passed.get_mut(&digest) {
            Some(passed) if passed.until > now => passed.lets_retry(token),
            _ => {
                let until = now.checked_add(rule.window).unwrap_or(now);
                let passed = Entry { until, token, retries: rule.retries };
                memory.passed.insert(digest, passed);
                memory.order.push_back(digest);
                true
            }
        }
    }
}

impl Entry {
    fn lets_retry(&mut self, token: Option<SignatureDigest>) -> bool {
        let same = token.is_some() && token == self.token;
        let left = self.retries.checked_sub(1).filter(|_| same);
        self.retries = left.unwrap_or(self.retries);
        left.is_some()
    }
}

impl Entries {
    /// Drops from the oldest on what is past its time, and what is too much.
    fn forget(&mut self, now: Instant) {
        while let Some(oldest) = self.order.front() {
            let is_over = self.passed.get(oldest).is_none_or(|passed| passed.until <= now);
            if !is_over && self.order.len() < MAX_ENTRIES {
                return;
            }
            self.passed.remove(oldest);
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const RULE: Replay = Replay { window: Duration::from_secs(60), retries: 1 };

    fn signature(number: usize) -> Signature {
        let mut mac = [0; 20];
        mac[..8].copy_from_slice(&number.to_le_bytes());
        let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, mac);
        Signature::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn once_and_as_often_again_as_the_rule_says_under_the_same_token() {
        let (seen, now) = (ReplayCache::default(), Instant::now());
        let pass = |number, token: Option<&str>, now| {
            seen.check_and_insert(&signature(number), token.map(str::as_bytes), RULE, now)
        };
        assert!(pass(1, Some("x"), now));
        assert!(!pass(1, None, now));
        assert!(!pass(1, Some("y"), now));
        assert!(pass(1, Some("x"), now));
        assert!(!pass(1, Some("x"), now));
        assert!(pass(2, None, now));
        assert!(!pass(2, None, now));
        assert!(pass(1, None, now + RULE.window));
        assert!(!pass(1, None, now + RULE.window));
    }

    #[test]
    fn its_memory_is_bounded() {
        let (seen, now) = (ReplayCache::default(), Instant::now());
        for number in 0..MAX_ENTRIES + 10 {
            assert!(seen.check_and_insert(&signature(number), None, RULE, now));
        }
        let memory = seen.memory.lock().unwrap();
        assert_eq!((memory.passed.len(), memory.order.len()), (MAX_ENTRIES, MAX_ENTRIES));
    }
}
