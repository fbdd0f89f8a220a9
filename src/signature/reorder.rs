//! The query in another order, for a route with `query_order = "any"`.
//!
//! Twilio is reported to sign a URL as it is written and to send its query sorted. Only whole
//! `name=value` pairs change their places; those that an app could read as one parameter keep their
//! order, because many apps read the first or the last of them.

use smallvec::SmallVec;

use super::{
    form::Decoded,
    target::{MAX_RESPELLED, Target, with_query},
};

/// The order in which the names of a query may have been signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueryOrder {
    /// The order in which they arrived.
    #[default]
    AsReceived,
    /// Any order, of up to five names.
    Any,
}

/// The most pairs that are reordered: 120 orders.
const MAX_PAIRS: usize = 5;

/// The targets with the same pairs in another order, lazily; at most 119.
pub(super) fn reorderings(target: Target<'_>) -> Reorderings<'_> {
    let query = target.query.filter(|query| query.len() <= MAX_RESPELLED).unwrap_or_default();
    let mut pairs: SmallVec<[&[u8]; MAX_PAIRS]> = SmallVec::new();
    pairs.extend(query.split(|&byte| byte == b'&').take(MAX_PAIRS.saturating_add(1)));
    // Some apps split at `;` too: such a pair could hide another name.
    let is_plain = |pair: &&[u8]| !pair.is_empty() && !pair.contains(&b';');
    if pairs.len() > MAX_PAIRS || !pairs.iter().all(is_plain) {
        pairs.clear();
    }
    let kept = kept_orders(&pairs);
    Reorderings { path: target.path, order: (0..pairs.len()).collect(), pairs, kept }
}

/// The remaining orders of a query.
pub(super) struct Reorderings<'a> {
    path: &'a [u8],
    pairs: SmallVec<[&'a [u8]; MAX_PAIRS]>,
    order: SmallVec<[usize; MAX_PAIRS]>,
    /// Pairs of which the first stays before the second.
    kept: Vec<(usize, usize)>,
}

impl Iterator for Reorderings<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        while advance(&mut self.order) {
            if self.kept.iter().all(|&(first, second)| self.place(first) < self.place(second)) {
                let pairs = self.order.iter().filter_map(|&index| self.pairs.get(index).copied());
                let query = pairs.collect::<SmallVec<[&[u8]; MAX_PAIRS]>>().join(&b'&');
                return Some(with_query(self.path, Some(&query)));
            }
        }
        None
    }
}

impl Reorderings<'_> {
    fn place(&self, index: usize) -> Option<usize> {
        self.order.iter().position(|&at| at == index)
    }
}

/// Makes the lexicographically next permutation; `false` after the last.
fn advance(order: &mut [usize]) -> bool {
    let rises = |pair: &[usize]| matches!(pair, [left, right] if left < right);
    let Some(pivot) = order.windows(2).rposition(rises) else { return false };
    let Some(&value) = order.get(pivot) else { return false };
    let Some(larger) = order.iter().rposition(|&other| other > value) else { return false };
    order.swap(pivot, larger);
    if let Some(rest) = order.get_mut(pivot.saturating_add(1)..) {
        rest.reverse();
    }
    true
}

fn kept_orders(pairs: &[&[u8]]) -> Vec<(usize, usize)> {
    let names: SmallVec<[Vec<u8>; MAX_PAIRS]> = pairs.iter().map(|pair| name(pair)).collect();
    let mut kept = Vec::new();
    for (first, one) in names.iter().enumerate() {
        let later = names.iter().enumerate().skip(first.saturating_add(1));
        let same = later.filter(|(_, other)| may_be_one_parameter(one, other));
        kept.extend(same.map(|(second, _)| (first, second)));
    }
    kept
}

/// The decoded name of a pair, in small letters: some frameworks ignore case.
fn name(pair: &[u8]) -> Vec<u8> {
    let raw = pair.split(|&byte| byte == b'=').next().unwrap_or_default();
    Decoded(raw).map(|byte| byte.to_ascii_lowercase()).collect()
}

/// Whether some app reads two names as one parameter or as parts of one: `a[b]` and `a` (PHP,
/// Rails), `a.b` and `a_b` (PHP), names that end at a NUL.
fn may_be_one_parameter(one: &[u8], other: &[u8]) -> bool {
    folded(one) == folded(other) || base(one) == base(other)
}

fn folded(name: &[u8]) -> Vec<u8> {
    let plain = |&byte: &u8| if byte.is_ascii_alphanumeric() { byte } else { b'_' };
    name.trim_ascii().iter().map(plain).collect()
}

fn base(name: &[u8]) -> &[u8] {
    let is_end = |byte: &u8| !byte.is_ascii_alphanumeric() && !matches!(byte, b'_' | b'-');
    name.trim_ascii().split(is_end).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reordered(target: &str) -> Vec<String> {
        let all = reorderings(Target::split(target.as_bytes()));
        all.map(|target| String::from_utf8(target).unwrap()).collect()
    }

    #[test]
    fn every_other_order_of_up_to_five_pairs_is_made_once() {
        assert_eq!(reordered("/p?b=2&a=%31"), ["/p?a=%31&b=2"]);
        let mut all = reordered("/p?a=1&b=2&c=3&d=4&e");
        assert_eq!(all.len(), 119);
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 119);
        assert!(all.iter().all(|target| target.len() == "/p?a=1&b=2&c=3&d=4&e".len()));
        for target in ["/p", "/p?", "/p?a=1", "/p?a=1&b=2&c=3&d=4&e=5&f=6"] {
            assert!(reordered(target).is_empty(), "{target}");
        }
    }

    #[test]
    fn pairs_that_an_app_may_read_as_one_parameter_keep_their_order() {
        assert_eq!(reordered("/?a=1&b=2&a=3").len(), 2);
        for target in [
            "/?a=1&a=2",
            "/?a=1&A=2",
            "/?a=1&%61=2",
            "/?a[]=1&a[]=2",
            "/?a=1&a[x]=2",
            "/?a.b=1&a_b=2",
            "/?a%00x=1&a=2",
            "/?+a=1&a=2",
            "/?a=1;b=2&c=3",
            "/?a=1&&b=2",
        ] {
            assert!(reordered(target).is_empty(), "{target}");
        }
        let long = format!("/?a={}&b=1", "x".repeat(MAX_RESPELLED));
        assert!(reordered(&long).is_empty());
    }
}
