//! Replay protection for routes with a `replay_window`.
//!
//! Twilio's signature has no timestamp, so anyone who has seen a request can send it again. With a
//! `replay_window`, a signature is admitted once within the window, and a few more times with the
//! idempotency token of its first use, because Twilio itself retries requests. The cache key is the
//! signature alone: it covers target and body, and a form can be encoded in several ways that have
//! the same signature. Limits: a retry by Twilio looks like a replay by somebody who has the token
//! too, and the cache does not outlast the window or a restart and is not shared between processes.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::Instant,
};

use sha2::{Digest, Sha256};

use crate::routes::Replay;
use crate::signature::Signature;

/// Maximum entries; beyond it the oldest is removed. Only proven signatures are inserted.
const MAX_ENTRIES: usize = 65_536;

/// Signatures admitted within the window.
#[derive(Debug, Default)]
pub struct ReplayCache {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    by_signature: HashMap<SignatureDigest, Entry>,
    /// Oldest first.
    order: VecDeque<SignatureDigest>,
}

/// The MAC of a signature, zero-padded.
type SignatureDigest = [u8; 32];

#[derive(Debug)]
struct Entry {
    expires: Instant,
    /// SHA-256 of the idempotency token.
    token: Option<[u8; 32]>,
    retries: u32,
}

impl ReplayCache {
    /// Records the signature. Returns whether it may be admitted: it is new within the window, or a
    /// retry with the same token and retries remain.
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
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.evict(now);
        match entries.by_signature.get_mut(&digest) {
            Some(entry) if entry.expires > now => entry.use_retry(token),
            _ => {
                let expires = now.checked_add(rule.window).unwrap_or(now);
                let entry = Entry { expires, token, retries: rule.retries };
                entries.by_signature.insert(digest, entry);
                entries.order.push_back(digest);
                true
            }
        }
    }
}

impl Entry {
    fn use_retry(&mut self, token: Option<[u8; 32]>) -> bool {
        let same = token.is_some() && token == self.token;
        let remaining = self.retries.checked_sub(1).filter(|_| same);
        self.retries = remaining.unwrap_or(self.retries);
        remaining.is_some()
    }
}

impl Entries {
    /// Removes expired entries, and the oldest when the cache is full.
    fn evict(&mut self, now: Instant) {
        while let Some(oldest) = self.order.front() {
            let is_expired = self.by_signature.get(oldest).is_none_or(|entry| entry.expires <= now);
            if !is_expired && self.order.len() < MAX_ENTRIES {
                return;
            }
            self.by_signature.remove(oldest);
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
    fn signature_is_admitted_once_and_retried_only_with_its_token() {
        let (cache, now) = (ReplayCache::default(), Instant::now());
        let admit = |number, token: Option<&str>, now| {
            cache.check_and_insert(&signature(number), token.map(str::as_bytes), RULE, now)
        };
        assert!(admit(1, Some("x"), now));
        assert!(!admit(1, None, now));
        assert!(!admit(1, Some("y"), now));
        assert!(admit(1, Some("x"), now));
        assert!(!admit(1, Some("x"), now));
        assert!(admit(2, None, now));
        assert!(!admit(2, None, now));
        assert!(admit(1, None, now + RULE.window));
        assert!(!admit(1, None, now + RULE.window));
    }

    #[test]
    fn cache_size_is_bounded() {
        let (cache, now) = (ReplayCache::default(), Instant::now());
        for number in 0..MAX_ENTRIES + 10 {
            assert!(cache.check_and_insert(&signature(number), None, RULE, now));
        }
        let entries = cache.entries.lock().unwrap();
        assert_eq!((entries.by_signature.len(), entries.order.len()), (MAX_ENTRIES, MAX_ENTRIES));
    }
}
