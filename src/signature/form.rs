//! `application/x-www-form-urlencoded`, decoded to bytes and never to text.

mod order;

use memchr::memchr_iter;
use smallvec::SmallVec;
use wide::u8x16;

pub use order::Order;

/// Bytes of a form, or of what is made of it: a typical one stays on the stack.
type ParamBytes = SmallVec<[u8; 2048]>;

/// The part of a signed string that follows the URL.
pub(super) type Tail = ParamBytes;

/// The parameters of a form or a query, decoded, in the order they arrived.
///
/// Decoding follows the WHATWG URL standard, as Twilio's Python and Node libraries do: only `&`
/// separates, the first `=` ends the name, `+` is a space, a bad escape stays as it is, empty
/// segments are nothing. Repeats are kept.
#[derive(Debug, Default)]
pub struct Parameters {
    /// As long as what was encoded; names and values stand decoded where they began.
    text: ParamBytes,
    list: ParamList,
}

type ParamList = SmallVec<[Parameter; INLINE_PARAMS]>;

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
const INLINE_PARAMS: usize = 32;

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

    /// The values of one name, as they arrived.
    pub(super) fn values(&self, name: &[u8]) -> impl Iterator<Item = &[u8]> {
        let named = self.list.iter().filter(move |parameter| parameter.name.of(&self.text) == name);
        named.map(|parameter| parameter.value.of(&self.text))
    }
}

/// Goes from mark to mark (`&`, `=`, `%`) and decodes what lies between.
///
/// Its places are within the text, so no sum of them wraps; if one did, nothing would be found there.
struct Decoder<'a> {
    text: &'a mut [u8],
    list: &'a mut ParamList,
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
    const fn new(text: &'a mut [u8], list: &'a mut ParamList) -> Self {
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

impl Span {
    fn of(self, text: &[u8]) -> &[u8] {
        text.get(self.start..self.end).unwrap_or_default()
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

    pub(super) fn sorted(form: &str) -> String {
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
}
