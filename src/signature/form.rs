//! `application/x-www-form-urlencoded`, decoded to bytes and never to text.

use std::cmp::Ordering;

use memchr::{memchr, memchr_iter};
use smallvec::SmallVec;

/// The part of a signed string that follows the URL.
pub(super) type Tail = Vec<u8>;

/// In which order names are appended to the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// By byte: Twilio's documentation ("Unix-style"), Python, Go, Ruby, PHP.
    Bytes,
    /// By UTF-16 code unit: Node, Java, .NET. Differs only where a character above U+FFFF meets
    /// one in U+E000..U+FFFF.
    Utf16,
}

/// The parameters of a form or a query, decoded, in the order they arrived.
///
/// Decoding follows the WHATWG URL standard, as Twilio's Python and Node libraries do: only `&`
/// separates, the first `=` ends the name, `+` is a space, a bad escape stays as it is, empty
/// segments are nothing. Repeats are kept.
#[derive(Debug)]
pub struct Parameters {
    /// The text, its names and values decoded where they stand; then [`PADDING`].
    text: Vec<u8>,
    list: Vec<Parameter>,
}

#[derive(Clone, Copy, Debug)]
struct Parameter {
    /// The first eight bytes of the name, big-endian: most comparisons end here.
    prefix: u64,
    name: Span,
    value: Span,
}

/// What is moved when the parameters are sorted.
#[derive(Clone, Copy, Debug)]
struct SortKey {
    prefix: u64,
    index: usize,
}

/// A part of the text, within it by construction.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    end: usize,
}

/// Twilio sends 20 to 30 parameters.
const TYPICAL: usize = 32;

/// Bytes of a name looked at together: nearly all of Twilio's names end within them.
const WORD: usize = 16;

/// So that a word can be read at the start of any name.
const PADDING: [u8; WORD] = [0; WORD];

impl Parameters {
    /// Decodes in one copy: plain text, nearly all of it, is only scanned.
    #[must_use]
    pub fn parse(encoded: &[u8]) -> Self {
        let mut text = Vec::with_capacity(encoded.len().saturating_add(PADDING.len()));
        text.extend(encoded.iter().map(|&byte| if byte == b'+' { b' ' } else { byte }));
        text.extend(PADDING);
        let mut list = Vec::with_capacity(TYPICAL);
        let mut start = 0;
        let mut escape = next_escape(encoded, start);
        for end in memchr_iter(b'&', encoded).chain([encoded.len()]) {
            if end > start {
                list.push(Parameter::decode(&mut text, Span { start, end }, escape));
            }
            start = end.saturating_add(1);
            if escape < start {
                escape = next_escape(encoded, start);
            }
        }
        Self { text, list }
    }

    /// Whether it decodes to no parameter at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Every name followed by its value; sorted by name, then by value, exact repeats once.
    #[must_use]
    pub fn sorted(&self, order: Order) -> Tail {
        let text = &self.text;
        let mut tail = Tail::with_capacity(text.len());
        let mut last: Option<&Parameter> = None;
        for parameter in self.in_order(order).iter().filter_map(|key| self.list.get(key.index)) {
            if last.is_none_or(|last| !last.repeats(parameter, text)) {
                tail.extend_from_slice(parameter.name.of(text));
                tail.extend_from_slice(parameter.value.of(text));
            }
            last = Some(parameter);
        }
        tail
    }

    /// By prefix first, as plain numbers; what is left to compare is next to nothing.
    fn in_order(&self, order: Order) -> SmallVec<[SortKey; TYPICAL]> {
        let mut keys: SmallVec<[SortKey; TYPICAL]> = SmallVec::with_capacity(self.list.len());
        keys.extend(
            self.list
                .iter()
                .enumerate()
                .map(|(index, parameter)| SortKey { prefix: parameter.prefix, index }),
        );
        match order {
            Order::Bytes => {
                keys.sort_unstable_by_key(|key| key.prefix);
                for alike in keys.chunk_by_mut(|left, right| left.prefix == right.prefix) {
                    if alike.len() > 1 {
                        alike.sort_unstable_by(|left, right| self.compare(*left, *right, in_bytes));
                    }
                }
            }
            Order::Utf16 => {
                keys.sort_unstable_by(|left, right| self.compare(*left, *right, in_utf16));
            }
        }
        keys
    }

    fn compare(&self, left: SortKey, right: SortKey, compare: Compare) -> Ordering {
        match (self.list.get(left.index), self.list.get(right.index)) {
            (Some(left), Some(right)) => left.compare(right, &self.text, compare),
            _ => Ordering::Equal,
        }
    }

    /// Whether the two orders could differ at all.
    pub(super) fn has_astral(&self) -> bool {
        self.text.iter().any(|&byte| byte >= 0xF0)
    }

    /// The values of one name, as they arrived or as last sorted.
    pub(super) fn values(&self, name: &[u8]) -> impl Iterator<Item = &[u8]> {
        let named = self.list.iter().filter(move |parameter| parameter.name.of(&self.text) == name);
        named.map(|parameter| parameter.value.of(&self.text))
    }
}

impl Parameter {
    /// `escape` is where the next escape is, in this segment or beyond it.
    fn decode(text: &mut [u8], segment: Span, escape: usize) -> Self {
        let equals = find_equals(text, segment);
        let mut name = Span { end: equals.unwrap_or(segment.end), ..segment };
        let after = equals.map_or(segment.end, |at| at.saturating_add(1));
        let mut value = Span { start: after, ..segment };
        if escape < name.end {
            name = name.unescaped(text, escape);
        }
        if escape < value.end {
            value = value.unescaped(text, escape.max(value.start));
        }
        Self { prefix: prefix(text, name), name, value }
    }

    fn repeats(&self, other: &Self, text: &[u8]) -> bool {
        self.prefix == other.prefix && self.compare(other, text, in_bytes).is_eq()
    }

    fn compare(&self, other: &Self, text: &[u8], compare: Compare) -> Ordering {
        let names = compare(self.name.of(text), other.name.of(text));
        names.then_with(|| compare(self.value.of(text), other.value.of(text)))
    }
}

impl Span {
    fn of(self, text: &[u8]) -> &[u8] {
        text.get(self.start..self.end).unwrap_or_default()
    }

    /// Decodes its escapes where they stand; what is decoded is never longer.
    /// Nothing before `escape` changes.
    fn unescaped(self, text: &mut [u8], escape: usize) -> Self {
        let bytes = text.get_mut(..self.end).unwrap_or_default();
        let mut from = escape;
        let mut to = from;
        while let Some(&byte) = bytes.get(from) {
            let escaped = if byte == b'%' { escape_at(bytes, from) } else { None };
            if let Some(slot) = bytes.get_mut(to) {
                *slot = escaped.unwrap_or(byte);
            }
            from = from.saturating_add(if escaped.is_some() { 3 } else { 1 });
            to = to.saturating_add(1);
        }
        Self { end: to, ..self }
    }
}

/// Where the segment's first `=` is: all of a word at once, and on by bytes in a longer name.
fn find_equals(text: &[u8], segment: Span) -> Option<usize> {
    let word: &[u8; WORD] = text.get(segment.start..)?.first_chunk()?;
    let difference = u128::from_le_bytes(*word) ^ u128::from_ne_bytes([b'='; WORD]);
    let low = u128::from_ne_bytes([0x7F; WORD]);
    let equal = !((difference & low).wrapping_add(low) | difference | low); // high bit of each `=`
    let ahead = usize::try_from(equal.trailing_zeros() / u8::BITS).unwrap_or(WORD);
    let at = segment.start.saturating_add(ahead);
    if ahead < WORD {
        return (at < segment.end).then_some(at);
    }
    let beyond = text.get(at..segment.end)?.iter().position(|&byte| byte == b'=')?;
    Some(at.saturating_add(beyond))
}

/// The byte that the escape at this place stands for, if it is one.
fn escape_at(bytes: &[u8], at: usize) -> Option<u8> {
    match bytes.get(at..)? {
        [b'%', high, low, ..] => unhex(*high, *low),
        _ => None,
    }
}

/// Where the next escape is, or the end.
fn next_escape(encoded: &[u8], from: usize) -> usize {
    let found = memchr(b'%', encoded.get(from..).unwrap_or_default());
    found.map_or(encoded.len(), |at| from.saturating_add(at))
}

/// The first eight bytes of a name, zeros where it is shorter.
fn prefix(text: &[u8], name: Span) -> u64 {
    let eight = text.get(name.start..).and_then(|bytes| bytes.first_chunk());
    let length = u32::try_from(name.end.saturating_sub(name.start)).unwrap_or(u32::MAX);
    let beyond = u64::MAX.checked_shr(length.saturating_mul(u8::BITS)).unwrap_or(0);
    u64::from_be_bytes(eight.copied().unwrap_or_default()) & !beyond
}

type Compare = fn(&[u8], &[u8]) -> Ordering;

fn in_bytes(left: &[u8], right: &[u8]) -> Ordering {
    left.cmp(right)
}

fn in_utf16(left: &[u8], right: &[u8]) -> Ordering {
    left.iter().copied().map(utf16_rank).cmp(right.iter().copied().map(utf16_rank))
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
pub(super) fn unhex(high: u8, low: u8) -> Option<u8> {
    match (nibble(high), nibble(low)) {
        (high @ 0..16, low @ 0..16) => Some(high << 4 | low),
        _ => None,
    }
}

/// What a hex digit counts; 255 for what is none.
fn nibble(digit: u8) -> u8 {
    NIBBLES.get(usize::from(digit)).copied().unwrap_or(u8::MAX)
}

#[expect(clippy::indexing_slicing, reason = "computed when the gate is compiled")]
const NIBBLES: [u8; 256] = {
    let mut nibbles = [u8::MAX; 256];
    let mut value = 0;
    while value < 16 {
        nibbles[b"0123456789abcdef"[value as usize] as usize] = value;
        nibbles[b"0123456789ABCDEF"[value as usize] as usize] = value;
        value += 1;
    }
    nibbles
};

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
        let parameters = Parameters::parse(form.as_bytes());
        assert!(parameters.has_astral());
        assert_eq!(&parameters.sorted(Order::Bytes)[..], "Ａbmp😀astral".as_bytes());
        assert_eq!(&parameters.sorted(Order::Utf16)[..], "😀astralＡbmp".as_bytes());
    }

    #[test]
    fn a_long_text_is_decoded_like_a_short_one() {
        for length in 0..40 {
            let padding = "x".repeat(length);
            let form = format!("{padding}=+%41{padding}+=&{padding}b=%2B%&c+{padding}");
            let plain = format!(" A{padding} =");
            let mut expected = vec![
                (padding.clone(), plain),
                (format!("{padding}b"), "+%".to_owned()),
                (format!("c {padding}"), String::new()),
            ];
            expected.sort();
            let expected: String = expected.into_iter().flat_map(|(n, v)| [n, v]).collect();
            assert_eq!(sorted(&form), expected, "{form}");
        }
    }

    #[test]
    fn the_utf16_rank_is_a_permutation() {
        let mut ranks: Vec<u8> = (0..=255).map(utf16_rank).collect();
        ranks.sort_unstable();
        assert_eq!(ranks, (0..=255).collect::<Vec<u8>>());
    }
}
