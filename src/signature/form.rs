//! `application/x-www-form-urlencoded`, decoded to bytes and never to text.

use std::cmp::Ordering;

use smallvec::SmallVec;

/// The part of a signed string that follows the URL. A typical one needs no allocation.
pub(super) type Tail = SmallVec<[u8; 1024]>;

/// In which order names are appended to the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// By byte: Twilio's documentation ("Unix-style"), Python, Go, Ruby, PHP.
    Bytes,
    /// By UTF-16 code unit: Node, Java, .NET. Differs only where a character above U+FFFF meets
    /// one in U+E000..U+FFFF.
    Utf16,
}

/// The parameters of a form or a query, still in their encoding, in the order they arrived.
///
/// Decoding follows the WHATWG URL standard, as Twilio's Python and Node libraries do: only `&`
/// separates, the first `=` ends the name, `+` is a space, a bad escape stays as it is, empty
/// segments are nothing. Repeats are kept.
#[derive(Debug)]
pub struct Parameters<'a> {
    list: SmallVec<[Parameter<'a>; 32]>,
}

#[derive(Clone, Copy, Debug)]
struct Parameter<'a> {
    /// The first eight decoded bytes of the name, big-endian: most comparisons end here.
    prefix: u64,
    name: &'a [u8],
    value: &'a [u8],
}

impl<'a> Parameters<'a> {
    /// Splits; nothing is decoded yet.
    #[must_use]
    pub fn parse(encoded: &'a [u8]) -> Self {
        Self { list: pairs(encoded).map(|(name, value)| Parameter::new(name, value)).collect() }
    }

    /// Whether it decodes to no parameter at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Every name followed by its value, decoded; sorted by name, then by value, exact repeats once.
    #[must_use]
    pub fn sorted(&mut self, order: Order) -> Tail {
        match order {
            Order::Bytes => self.list.sort_unstable_by(Parameter::in_bytes),
            Order::Utf16 => self.list.sort_unstable_by(Parameter::in_utf16),
        }
        let mut tail = Tail::new();
        let mut last: Option<&Parameter<'_>> = None;
        for parameter in &self.list {
            if last.is_none_or(|last| last.in_bytes(parameter).is_ne()) {
                decode_into(parameter.name, &mut tail);
                decode_into(parameter.value, &mut tail);
            }
            last = Some(parameter);
        }
        tail
    }

    /// Whether the two orders could differ at all.
    pub(super) fn has_astral(&self) -> bool {
        let astral = |text| Decoded(text).any(|byte| byte >= 0xF0);
        self.list.iter().any(|parameter| astral(parameter.name) || astral(parameter.value))
    }

    /// The decoded values of one name, as they arrived or as last sorted.
    pub(super) fn values<'n>(
        &self,
        name: &'n [u8],
    ) -> impl Iterator<Item = Decoded<'a>> + use<'_, 'a, 'n> {
        self.list
            .iter()
            .filter(move |parameter| Decoded(parameter.name).eq(name.iter().copied()))
            .map(|parameter| Decoded(parameter.value))
    }
}

impl<'a> Parameter<'a> {
    fn new(name: &'a [u8], value: &'a [u8]) -> Self {
        let mut prefix = [0; 8];
        for (slot, byte) in prefix.iter_mut().zip(Decoded(name)) {
            *slot = byte;
        }
        Self { prefix: u64::from_be_bytes(prefix), name, value }
    }

    fn in_bytes(&self, other: &Self) -> Ordering {
        self.prefix
            .cmp(&other.prefix)
            .then_with(|| in_bytes(self.name, other.name))
            .then_with(|| in_bytes(self.value, other.value))
    }

    fn in_utf16(&self, other: &Self) -> Ordering {
        in_utf16(self.name, other.name).then_with(|| in_utf16(self.value, other.value))
    }
}

fn in_bytes(left: &[u8], right: &[u8]) -> Ordering {
    if is_plain(left) && is_plain(right) {
        left.cmp(right)
    } else {
        Decoded(left).cmp(Decoded(right))
    }
}

fn in_utf16(left: &[u8], right: &[u8]) -> Ordering {
    Decoded(left).map(utf16_rank).cmp(Decoded(right).map(utf16_rank))
}

/// Puts the lead bytes of U+E000..U+FFFF after those of the astral planes, as UTF-16 does.
/// A permutation, so the result is a total order on any bytes.
const fn utf16_rank(byte: u8) -> u8 {
    match byte {
        0xEE | 0xEF => byte.saturating_add(0x10),
        0xF0..=0xFF => byte.saturating_sub(2),
        _ => byte,
    }
}

/// The raw name and value of each non-empty segment.
pub(super) fn pairs(encoded: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    encoded.split(|&byte| byte == b'&').filter(|segment| !segment.is_empty()).map(|segment| {
        let mut halves = segment.splitn(2, |&byte| byte == b'=');
        (halves.next().unwrap_or_default(), halves.next().unwrap_or_default())
    })
}

/// Whether decoding leaves it as it is.
fn is_plain(encoded: &[u8]) -> bool {
    !encoded.iter().any(|&byte| matches!(byte, b'%' | b'+'))
}

fn decode_into(encoded: &[u8], decoded: &mut Tail) {
    if is_plain(encoded) {
        decoded.extend_from_slice(encoded);
    } else {
        decoded.extend(Decoded(encoded));
    }
}

/// The decoded bytes of a name or a value, one at a time and without a copy.
#[derive(Clone, Debug)]
pub(super) struct Decoded<'a>(pub(super) &'a [u8]);

impl Iterator for Decoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        match *self.0 {
            [b'%', high, low, ref rest @ ..] if let Some(byte) = unhex(high, low) => {
                self.0 = rest;
                Some(byte)
            }
            [b'+', ref rest @ ..] => {
                self.0 = rest;
                Some(b' ')
            }
            [byte, ref rest @ ..] => {
                self.0 = rest;
                Some(byte)
            }
            [] => None,
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.len() / 3, Some(self.0.len()))
    }
}

/// The byte that two hex digits spell.
pub(super) const fn unhex(high: u8, low: u8) -> Option<u8> {
    match (nibble(high), nibble(low)) {
        (Some(high), Some(low)) => Some(high << 4 | low),
        _ => None,
    }
}

const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit.wrapping_sub(b'0')),
        b'a'..=b'f' => Some(digit.wrapping_sub(b'a' - 10)),
        b'A'..=b'F' => Some(digit.wrapping_sub(b'A' - 10)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(form: &str) -> String {
        let tail = Parameters::parse(form.as_bytes()).sorted(Order::Bytes);
        String::from_utf8_lossy(&tail).into_owned()
    }

    #[test]
    fn decoding_is_the_url_standards() {
        for (form, tail) in [
            ("b=2&a=1", "a1b2"),
            ("&&a=1&&", "a1"),
            ("a", "a"),
            ("=x", "x"),
            ("a=b=c", "ab=c"),
            ("a=1;b=2", "a1;b=2"),
            ("a=%zz%4", "a%zz%4"),
            ("a=%", "a%"),
            ("a=x+y%20z%2B", "ax y z+"),
            ("%61=%62", "ab"),
            ("a=%2561", "a%61"),
        ] {
            assert_eq!(sorted(form), tail, "{form}");
        }
        assert!(Parameters::parse(b"&&").is_empty());
    }

    #[test]
    fn repeats_are_sorted_and_exact_ones_dropped() {
        assert_eq!(sorted("k=2&k=1&k=2&a="), "ak1k2");
        assert_eq!(sorted("k=%61&k=a"), "ka");
        assert_eq!(sorted("a%00=1&a=2"), "a2a\u{0}1");
        assert_eq!(sorted("abcdefghj=1&abcdefghi=2"), "abcdefghi2abcdefghj1");
    }

    #[test]
    fn the_two_orders_differ_where_astral_meets_high_bmp() {
        let form = "%EF%BC%A1=bmp&%F0%9F%98%80=astral"; // U+FF21, U+1F600
        let mut parameters = Parameters::parse(form.as_bytes());
        assert!(parameters.has_astral());
        assert_eq!(&parameters.sorted(Order::Bytes)[..], "Ａbmp😀astral".as_bytes());
        assert_eq!(&parameters.sorted(Order::Utf16)[..], "😀astralＡbmp".as_bytes());
    }

    #[test]
    fn the_utf16_rank_is_a_permutation() {
        let mut ranks: Vec<u8> = (0..=255).map(utf16_rank).collect();
        ranks.sort_unstable();
        assert_eq!(ranks, (0..=255).collect::<Vec<u8>>());
    }
}
