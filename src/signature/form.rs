//! `application/x-www-form-urlencoded`, decoded to bytes and never to text.

use std::cmp::Ordering;

use memchr::memchr_iter;
use smallvec::SmallVec;
use wide::u8x16;

/// Bytes of a form, or of what is made of it: a typical one stays on the stack.
type Text = SmallVec<[u8; 2048]>;

/// The part of a signed string that follows the URL.
pub(super) type Tail = Text;

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
#[derive(Debug, Default)]
pub struct Parameters {
    /// As long as what was encoded; names and values stand decoded where they began.
    text: Text,
    list: List,
}

type List = SmallVec<[Parameter; TYPICAL]>;

#[derive(Clone, Copy, Debug)]
struct Parameter {
    /// The first eight bytes of the name, big-endian: most comparisons end here.
    prefix: u64,
    name: Span,
    value: Span,
}

/// A part of the text, within it by construction.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: usize,
    end: usize,
}

/// Twilio sends 20 to 30 parameters.
const TYPICAL: usize = 32;

/// Bytes that are scanned together: a mark for each fits in a word.
const BLOCK: usize = 64;

impl Parameters {
    /// Decodes a whole form.
    #[must_use]
    pub fn parse(encoded: &[u8]) -> Self {
        let mut parameters = Self::default();
        parameters.read(encoded);
        parameters
    }

    /// Decodes in one copy, into parameters that hold none yet: they are never moved.
    pub(super) fn read(&mut self, encoded: &[u8]) {
        let (blocks, rest) = encoded.as_chunks();
        let mut last = [0; BLOCK]; // no mark
        last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        if encoded.len() > self.text.inline_size() {
            self.list.reserve_exact(memchr_iter(b'&', encoded).count().saturating_add(1));
        }
        self.text.reserve_exact(encoded.len().saturating_add(BLOCK));
        self.text.extend_from_slice(encoded);
        self.text.extend_from_slice(&[0; BLOCK]); // a whole block fits; no escape ends in it
        let mut decoder = Decoder::new(&mut self.text, &mut self.list);
        for (block, base) in blocks.iter().chain([&last]).zip((0..).step_by(BLOCK)) {
            decoder.block(block, base);
        }
        decoder.end_parameter(encoded.len());
        self.text.truncate(encoded.len());
    }

    /// Whether it decodes to no parameter at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Every name followed by its value; sorted by name, then by value, exact repeats once.
    #[must_use]
    pub fn sorted(&self, order: Order) -> Vec<u8> {
        let mut tail = Tail::new();
        self.sort_into(&mut tail, order);
        tail.to_vec()
    }

    /// The same, into an empty tail.
    pub(super) fn sort_into(&self, tail: &mut Tail, order: Order) {
        let mut keys = Keys::new();
        let places = self.sort_keys(&mut keys, order);
        tail.extend_from_slice(&self.text); // which is at least as long
        let (text, list, to) = (&self.text[..], &self.list[..], &mut tail[..]);
        let mut written = 0;
        let mut last: Option<&Parameter> = None;
        for parameter in keys.iter().filter_map(|key| at(list, key & places)) {
            if last.is_none_or(|last| !last.repeats(parameter, text)) {
                written = parameter.name.copy(text, to, written);
                written = parameter.value.copy(text, to, written);
            }
            last = Some(parameter);
        }
        tail.truncate(written);
    }

    /// Sorts one number for each parameter: the beginning of its name, and in the lowest bits its
    /// place in the list. What begins alike is compared whole. Returns the mask of those bits.
    fn sort_keys(&self, keys: &mut Keys, order: Order) -> u64 {
        let count = u64::try_from(self.list.len()).unwrap_or(u64::MAX);
        match order {
            Order::Bytes => {
                let places = u64::MAX.checked_shr(count.leading_zeros()).unwrap_or(0);
                self.sort_keys_by(keys, places, in_bytes)
            }
            Order::Utf16 => self.sort_keys_by(keys, u64::MAX, in_utf16),
        }
    }

    fn sort_keys_by(&self, keys: &mut Keys, places: u64, compare: impl Compare) -> u64 {
        let (text, list) = (&self.text[..], &self.list[..]);
        keys.extend(list.iter().zip(0..).map(|(p, place)| p.prefix & !places | place));
        keys.sort_unstable();
        for alike in keys.chunk_by_mut(|left, right| (left ^ right) & !places == 0) {
            if alike.len() > 1 {
                alike.sort_unstable_by(|left, right| {
                    match (at(list, left & places), at(list, right & places)) {
                        (Some(left), Some(right)) => left.compare(right, text, &compare),
                        _ => Ordering::Equal,
                    }
                });
            }
        }
        places
    }

    /// Whether the two orders could differ at all.
    pub(super) fn has_astral(&self) -> bool {
        self.text.iter().copied().fold(0, u8::max) >= 0xF0
    }

    /// The values of one name, as they arrived.
    pub(super) fn values(&self, name: &[u8]) -> impl Iterator<Item = &[u8]> {
        let named = self.list.iter().filter(move |parameter| parameter.name.of(&self.text) == name);
        named.map(|parameter| parameter.value.of(&self.text))
    }
}

type Keys = SmallVec<[u64; TYPICAL]>;

fn at(list: &[Parameter], place: u64) -> Option<&Parameter> {
    list.get(usize::try_from(place).ok()?)
}

/// Goes from mark to mark (`&`, `=`, `%`) and decodes what lies between.
///
/// Its places are within the text, so no sum of them wraps; if one did, nothing would be found there.
struct Decoder<'a> {
    text: &'a mut [u8],
    list: &'a mut List,
    /// The name before this value, once its `=` is found.
    name: Option<Span>,
    /// Where this name or value begins.
    start: usize,
    /// Where its bytes after the last escape begin.
    run: usize,
    /// How far those bytes have to move towards its start.
    shift: usize,
}

impl<'a> Decoder<'a> {
    const fn new(text: &'a mut [u8], list: &'a mut List) -> Self {
        Self { text, list, name: None, start: 0, run: 0, shift: 0 }
    }

    fn block(&mut self, block: &[u8; BLOCK], base: usize) {
        let plain = self.text.get_mut(base..).and_then(<[u8]>::first_chunk_mut);
        let mut marks = plain.map_or(0, |plain| scan(block, plain));
        while marks != 0 {
            let ahead = usize::try_from(marks.trailing_zeros()).unwrap_or_default();
            marks &= marks.wrapping_sub(1);
            let at = base.wrapping_add(ahead);
            match block.get(ahead) {
                Some(b'&') => self.end_parameter(at),
                Some(b'%') => self.escape(at),
                _ if self.name.is_none() => self.name = Some(self.end(at)),
                _ => {}
            }
        }
    }

    fn end_parameter(&mut self, at: usize) {
        let empty = at == self.start;
        let last = self.end(at);
        let (name, value) = match self.name.take() {
            Some(name) => (name, last),
            None if empty => return,
            None => (last, Span::default()),
        };
        self.list.push(Parameter { prefix: prefix(self.text, name), name, value });
    }

    /// Ends a name or a value before this mark.
    fn end(&mut self, at: usize) -> Span {
        self.close_up(at);
        let span = Span { start: self.start, end: at.wrapping_sub(self.shift) };
        self.start = at.wrapping_add(1);
        self.run = self.start;
        self.shift = 0;
        span
    }

    /// Decodes where it stands; what is decoded is never longer. A bad escape stays as it is.
    fn escape(&mut self, at: usize) {
        let Some(byte) = escape_at(self.text, at) else { return };
        self.close_up(at);
        if let Some(slot) = self.text.get_mut(at.wrapping_sub(self.shift)) {
            *slot = byte;
        }
        self.run = at.wrapping_add(3);
        self.shift = self.shift.wrapping_add(2);
    }

    fn close_up(&mut self, at: usize) {
        if self.shift > 0 && self.run < at {
            self.text.copy_within(self.run..at, self.run.saturating_sub(self.shift));
        }
    }
}

/// Copies a block, each `+` as a space. Returns a bit for each mark in it, the first one lowest.
fn scan(block: &[u8; BLOCK], plain: &mut [u8; BLOCK]) -> u64 {
    let (from, to) = (block.as_chunks().0, plain.as_chunks_mut().0);
    let mut marks = 0;
    for ((from, to), shift) in from.iter().zip(to).zip([0, 16, 32, 48]) {
        let bytes = u8x16::new(*from);
        let each = |byte| bytes.simd_eq(u8x16::splat(byte));
        *to = (bytes ^ (each(b'+') & u8x16::splat(b'+' ^ b' '))).to_array();
        marks |= u64::from((each(b'&') | each(b'=') | each(b'%')).to_bitmask()) << shift;
    }
    marks
}

impl Parameter {
    fn repeats(&self, other: &Self, text: &[u8]) -> bool {
        self.prefix == other.prefix && self.compare(other, text, in_bytes).is_eq()
    }

    fn compare(&self, other: &Self, text: &[u8], compare: impl Compare) -> Ordering {
        let names = compare(self.name.of(text), other.name.of(text));
        names.then_with(|| compare(self.value.of(text), other.value.of(text)))
    }
}

impl Span {
    fn of(self, text: &[u8]) -> &[u8] {
        text.get(self.start..self.end).unwrap_or_default()
    }

    /// Copies its text to this place, and returns the next one.
    fn copy(self, text: &[u8], tail: &mut [u8], at: usize) -> usize {
        let part = self.of(text);
        let end = at.wrapping_add(part.len());
        if let Some(slot) = tail.get_mut(at..end) {
            slot.copy_from_slice(part);
        }
        end
    }
}

/// The byte that the escape at this place stands for, if it is one.
fn escape_at(bytes: &[u8], at: usize) -> Option<u8> {
    match bytes.get(at..)? {
        [b'%', high, low, ..] => unhex(*high, *low),
        _ => None,
    }
}

/// The first eight bytes of a name, zeros where it is shorter. A block can be read after it.
fn prefix(text: &[u8], name: Span) -> u64 {
    let eight = text.get(name.start..).and_then(|bytes| bytes.first_chunk());
    let length = u32::try_from(name.end.wrapping_sub(name.start)).unwrap_or(u32::MAX);
    let beyond = u64::MAX.checked_shr(length.saturating_mul(u8::BITS)).unwrap_or(0);
    u64::from_be_bytes(eight.copied().unwrap_or_default()) & !beyond
}

trait Compare: Fn(&[u8], &[u8]) -> Ordering {}
impl<F: Fn(&[u8], &[u8]) -> Ordering> Compare for F {}

fn in_bytes(left: &[u8], right: &[u8]) -> Ordering {
    left.cmp(right)
}

fn in_utf16(left: &[u8], right: &[u8]) -> Ordering {
    let rank = |bytes: &[u8], at: usize| bytes.get(at).copied().map(utf16_rank);
    let same = common(left, right);
    rank(left, same).cmp(&rank(right, same))
}

/// How many bytes two texts share at their beginning, a block at a time.
fn common(left: &[u8], right: &[u8]) -> usize {
    let blocks = left.as_chunks::<BLOCK>().0.iter().zip(right.as_chunks::<BLOCK>().0);
    let blocks = blocks.take_while(|(left, right)| left == right).count();
    let skipped = blocks.saturating_mul(BLOCK);
    let rest = left.iter().zip(right).skip(skipped).take_while(|(left, right)| left == right);
    skipped.saturating_add(rest.count())
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
    use std::cell::Cell;

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
    fn what_begins_alike_is_told_apart_in_both_orders() {
        for length in [1, 63, 64, 65, 127, 128, 200] {
            let alike = "x".repeat(length);
            let parameters =
                Parameters::parse(format!("{alike}%EF%BC%A1=1&{alike}%F0%9F%98%80=2").as_bytes());
            let tail = |first: &str, second: &str| [&*alike, first, &alike, second].concat();
            assert_eq!(parameters.sorted(Order::Bytes), tail("Ａ1", "😀2").as_bytes());
            assert_eq!(parameters.sorted(Order::Utf16), tail("😀2", "Ａ1").as_bytes());
        }
    }

    #[test]
    fn a_long_text_is_decoded_like_a_short_one() {
        for length in 0..140 {
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

    /// Sorted forms of one size: in how many comparisons of whole names and values.
    fn comparisons(form: &[u8], order: Order) -> usize {
        let count = Cell::new(0_usize);
        let parameters = Parameters::parse(form);
        let counted = |left: &[u8], right: &[u8]| {
            count.set(count.get().saturating_add(1));
            if order == Order::Bytes { in_bytes(left, right) } else { in_utf16(left, right) }
        };
        let places = if order == Order::Bytes { 0xF_FFFF } else { u64::MAX };
        parameters.sort_keys_by(&mut Keys::new(), places, counted);
        count.get()
    }

    #[test]
    fn a_hostile_form_is_sorted_in_n_log_n() {
        const SIZE: usize = 256 << 10;
        let filled = |each: &dyn Fn(usize) -> String| -> Vec<u8> {
            (0..).flat_map(|i| each(i).into_bytes()).take(SIZE).collect()
        };
        let shuffled = |i: usize| i.wrapping_mul(2_654_435_761) % 1_000_003;
        for form in [
            filled(&|_| "a&".into()),
            filled(&|i| format!("{:x}&", shuffled(i))),
            filled(&|i| format!("=%{:02x}&", i % 256)),
            filled(&|i| format!("{}{:06}&", "ConferenceStatus".repeat(4), shuffled(i))),
            filled(&|i| format!("name={}{:06}&", "x".repeat(64), shuffled(i))),
            filled(&|i| format!("%F0%9F%98%80{:06}=&", 1_000_000_usize.saturating_sub(i))),
            filled(&|i| format!("organpipe{}&", i.min(20_000_usize.saturating_sub(i)))),
        ] {
            let n = form.split(|&byte| byte == b'&').count();
            let log = usize::try_from(n.ilog2()).unwrap().saturating_add(1);
            for order in [Order::Bytes, Order::Utf16] {
                let most = n.saturating_mul(log).saturating_mul(4); // names and values, each twice
                let made = comparisons(&form, order);
                assert!(made <= most, "{order:?} {n}: {made} > {most}");
            }
        }
    }

    #[test]
    fn an_escape_that_the_end_cuts_off_stays_as_it_is() {
        for length in 0..150 {
            for cut in ["%", "%A", "%4"] {
                let form = format!("{}{cut}", "A".repeat(length));
                assert_eq!(sorted(&form), form);
                assert_eq!(sorted(&format!("n={form}")), format!("n{form}"));
            }
        }
    }

    #[test]
    fn the_utf16_rank_is_a_permutation() {
        let mut ranks: Vec<u8> = (0..=255).map(utf16_rank).collect();
        ranks.sort_unstable();
        assert_eq!(ranks, (0..=255).collect::<Vec<u8>>());
    }
}
