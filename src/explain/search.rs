//! Tests hypotheses under the keys, within a budget.

use super::{label::Label, url::Url};
use crate::signature::{ProbeKey, Signature};

/// Most MACs of one search. A MAC over a typical request takes about a microsecond.
pub const MAX_MACS: usize = 12_000;
/// Most bytes that one search hashes: 16 MiB, so that the largest default body of 256 KiB is still
/// tested under the sixty likeliest hypotheses.
pub const MAX_HASHED: usize = 16 << 20;
/// Most keys that every hypothesis is tested under; all others are tested under the likeliest only.
const MAX_KEYS_EACH: usize = 4;

/// A text that may have been signed.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    /// The URL; it is shown, and hashed unless `text` takes its place.
    pub(super) url: Url,
    /// Hashed in place of the URL: a sender may have signed something else.
    pub(super) text: Option<Vec<u8>>,
    /// The parameters or other bytes that follow.
    pub(super) tail: Vec<u8>,
    /// The mistakes that the text shows; those of the URL follow from the URL.
    pub(super) labels: Vec<Label>,
    /// Words for `signed_wrongly`.
    pub(super) detail: &'static str,
}

impl Attempt {
    pub(super) const fn new(url: Url, tail: Vec<u8>) -> Self {
        Self { url, text: None, tail, labels: Vec::new(), detail: "" }
    }

    pub(super) fn with_url(&self, url: Url) -> Self {
        Self { url, ..self.clone() }
    }

    pub(super) fn with_tail(&self, tail: Vec<u8>, label: Label) -> Self {
        Self { tail, labels: vec![label], ..self.clone() }
    }

    pub(super) fn wrongly(&self, text: Vec<u8>, tail: Vec<u8>, detail: &'static str) -> Self {
        let labels = vec![Label::SignedWrongly];
        Self { text: Some(text), tail, labels, detail, ..self.clone() }
    }
}

/// The reason for which a key is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rank {
    /// The gate tries it for this request.
    Own,
    /// It was given to be tried.
    Given,
    /// It is configured elsewhere.
    Elsewhere,
    /// It is what an own one may have been meant to be.
    Repaired,
}

/// A key to try.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trial<'a> {
    pub(super) key: &'a ProbeKey,
    pub(super) rank: Rank,
}

/// A signature to try, and the mistake in how it was written.
pub(super) struct Read {
    pub(super) signature: Signature,
    pub(super) label: Option<Label>,
    pub(super) detail: &'static str,
}

/// A hypothesis under which a key signed the request.
pub(super) struct Found<'a> {
    pub(super) attempt: Attempt,
    pub(super) trial: Trial<'a>,
    pub(super) label: Option<Label>,
    pub(super) detail: &'static str,
    pub(super) signature: Signature,
}

/// The state of a search.
pub(super) struct Search<'a> {
    pub(super) signatures: Vec<Read>,
    pub(super) keys: Vec<Trial<'a>>,
    pub(super) macs: usize,
    hashed: usize,
    pub(super) found: Option<Found<'a>>,
}

impl<'a> Search<'a> {
    pub(super) const fn new(signatures: Vec<Read>, keys: Vec<Trial<'a>>) -> Self {
        Self { signatures, keys, macs: 0, hashed: 0, found: None }
    }

    pub(super) const fn hashed(&self) -> usize {
        self.hashed
    }

    /// Whether there is nothing more to do.
    pub(super) const fn is_over(&self) -> bool {
        self.found.is_some() || self.macs >= MAX_MACS || self.hashed >= MAX_HASHED
    }

    /// Tests a text under the likeliest keys. Returns whether the search is over.
    pub(super) fn test(&mut self, attempt: &Attempt) -> bool {
        self.test_under(attempt, MAX_KEYS_EACH)
    }

    /// Tests a text under all keys.
    pub(super) fn test_under_all(&mut self, attempt: &Attempt) -> bool {
        self.test_under(attempt, usize::MAX)
    }

    fn test_under(&mut self, attempt: &Attempt, keys: usize) -> bool {
        let url = attempt.text.clone().unwrap_or_else(|| attempt.url.bytes());
        let length = url.len().saturating_add(attempt.tail.len());
        for index in 0..self.keys.len().min(keys) {
            for read in &self.signatures {
                if self.macs >= MAX_MACS || self.hashed.saturating_add(length) > MAX_HASHED {
                    self.hashed = MAX_HASHED;
                    return true;
                }
                let Some(trial) = self.keys.get(index) else { return true };
                self.macs = self.macs.saturating_add(1);
                self.hashed = self.hashed.saturating_add(length);
                if trial.key.signed(&read.signature, &[&url, &attempt.tail]) {
                    self.found = Some(Found {
                        attempt: attempt.clone(),
                        trial: *trial,
                        label: read.label,
                        detail: read.detail,
                        signature: read.signature,
                    });
                    return true;
                }
            }
        }
        self.is_over()
    }
}
