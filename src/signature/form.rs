//! Decodes `application/x-www-form-urlencoded` to bytes.
//!
//! Never to text: replacing invalid UTF-8 would give two different bodies one signature.

mod order;

use memchr::{memchr, memchr_iter};
use smallvec::SmallVec;

pub use order::Order;

/// Bytes of a form or of its sorted parameters: a typical form stays on the stack.
type ParamBytes = SmallVec<[u8; 2048]>;

/// The part of a signed string that follows the URL: sorted names and values.
pub(super) type Tail = ParamBytes;

/// The decoded parameters of a form or a query, in the order of arrival.
///
/// Decoding follows the WHATWG URL standard (section 5.1, `application/x-www-form-urlencoded`
/// parsing), as Twilio's Python and Node libraries do: only `&` separates, the first `=` ends the
/// name, `+` is a space, a malformed escape is kept as it is, empty segments are skipped. Repeated
/// names are kept.
#[derive(Debug, Default)]
pub struct Parameters {
    /// All decoded names and values, one after the other.
    text: ParamBytes,
    list: ParamList,
}

type ParamList = SmallVec<[Parameter; INLINE_PARAMS]>;

#[derive(Clone, Copy, Debug)]
struct Parameter {
    name: Span,
    value: Span,
}

/// A byte range of [`Parameters::text`], within it by construction.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    end: usize,
}

/// Parameters that are stored without an allocation. Twilio sends 20 to 30.
const INLINE_PARAMS: usize = 32;

impl Parameters {
    /// Decodes a whole form.
    #[must_use]
    pub fn parse(encoded: &[u8]) -> Self {
        let mut parameters = Self::default();
        parameters.read(encoded);
        parameters
    }

    /// Decodes a form into `self`, which must be empty. Filling the caller's value saves the move
    /// of the inline buffers.
    pub(super) fn read(&mut self, encoded: &[u8]) {
        if encoded.len() > self.text.inline_size() {
            // Exact counts: the number of allocations does not grow with the form.
            self.list.reserve_exact(memchr_iter(b'&', encoded).count().saturating_add(1));
            self.text.reserve_exact(encoded.len());
        }
        self.text.extend_from_slice(encoded); // overwritten: the decoded form is never longer
        let (mut rest, mut end) = (Decoded(encoded), 0);
        while !rest.0.is_empty() {
            if rest.skip_byte(b'&') {
                continue; // a separator or an empty segment
            }
            let name = rest.decode_until(|byte| matches!(byte, b'&' | b'='), &mut self.text, end);
            rest.skip_byte(b'=');
            let value = rest.decode_until(|byte| byte == b'&', &mut self.text, name.end);
            end = value.end;
            self.list.push(Parameter { name, value });
        }
        self.text.truncate(end);
    }

    /// Whether there is no parameter at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The values of one name, in the order of arrival.
    pub(super) fn values(&self, name: &[u8]) -> impl Iterator<Item = &[u8]> {
        self.pairs().filter(move |&(own, _)| own == name).map(|(_, value)| value)
    }

    fn pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let text = &self.text[..];
        self.list.iter().map(|each| (each.name.slice(text), each.value.slice(text)))
    }
}

impl Span {
    fn slice(self, text: &[u8]) -> &[u8] {
        text.get(self.start..self.end).unwrap_or_default()
    }
}

/// Splits a form or query into the raw name and value of each non-empty segment.
pub(super) fn pairs(encoded: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let filled = segments(encoded).filter(|segment| !segment.is_empty());
    filled.map(|segment| split_at_byte(segment, b'='))
}

/// Splits at each `&`. Segments may be empty.
fn segments(encoded: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0_usize;
    let ends = memchr_iter(b'&', encoded).chain(std::iter::once(encoded.len()));
    ends.map(move |end| {
        let segment = encoded.get(start..end).unwrap_or_default();
        start = end.saturating_add(1);
        segment
    })
}

/// The bytes before and after the first `separator`; all and none without one.
fn split_at_byte(bytes: &[u8], separator: u8) -> (&[u8], &[u8]) {
    match memchr(separator, bytes).and_then(|at| bytes.split_at_checked(at)) {
        Some((before, after)) => (before, after.get(1..).unwrap_or_default()),
        None => (bytes, &[]),
    }
}

/// The decoded bytes of one raw name or value, without a copy.
///
/// The only decoder of this module: two could differ, and then the gate would verify one reading
/// of a request and forward another.
#[derive(Clone, Debug)]
pub(super) struct Decoded<'a>(pub(super) &'a [u8]);

impl Decoded<'_> {
    /// Decodes into `text` from `start` on, until a byte for which `is_end` holds. An escape never
    /// reaches across a separator, which is not a hex digit.
    fn decode_until(&mut self, is_end: impl Fn(u8) -> bool, text: &mut [u8], start: usize) -> Span {
        let mut end = start;
        loop {
            let slots = text.get_mut(end..).unwrap_or_default();
            end = end.saturating_add(self.copy_plain(slots));
            if self.0.first().is_none_or(|byte| is_end(*byte)) {
                return Span { start, end };
            }
            if let (Some(slot), Some(byte)) = (text.get_mut(end), self.next()) {
                *slot = byte;
            }
            end = end.saturating_add(1);
        }
    }

    /// Copies the bytes before the next mark, returns their number. Nine bytes in ten are plain;
    /// taking them one by one from [`Self::next`] costs 7,100 instructions more for a voice
    /// webhook, whose verification takes 31,000.
    fn copy_plain(&mut self, slots: &mut [u8]) -> usize {
        let plain = self.0.iter().zip(slots).take_while(|(byte, _)| class(**byte) != MARK);
        let len = plain.map(|(byte, slot)| *slot = *byte).count();
        self.0 = self.0.get(len..).unwrap_or_default();
        len
    }

    /// Skips `byte` if it is the next one.
    fn skip_byte(&mut self, byte: u8) -> bool {
        let after = self.0.strip_prefix(&[byte]);
        self.0 = after.unwrap_or(self.0);
        after.is_some()
    }
}

impl Iterator for Decoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (byte, rest) = match *self.0 {
            [b'%', high, low, ref rest @ ..] if let Some(byte) = unhex(high, low) => (byte, rest),
            [b'+', ref rest @ ..] => (b' ', rest),
            [byte, ref rest @ ..] => (byte, rest),
            [] => return None,
        };
        self.0 = rest;
        Some(byte)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.len() / 3, Some(self.0.len()))
    }
}

/// The byte that two hex digits encode.
pub(super) fn unhex(high: u8, low: u8) -> Option<u8> {
    match (class(high), class(low)) {
        (high @ 0..16, low @ 0..16) => Some(high << 4 | low),
        _ => None,
    }
}

/// The value of a hex digit, [`MARK`] or [`OTHER`].
fn class(byte: u8) -> u8 {
    CLASSES.get(usize::from(byte)).copied().unwrap_or(OTHER)
}

/// The class of `&`, `=`, `%` and `+`, which may not stand for themselves.
const MARK: u8 = 254;
/// The class of all other bytes.
const OTHER: u8 = 255;

#[expect(clippy::indexing_slicing, reason = "computed when the gate is compiled")]
const CLASSES: [u8; 256] = {
    let mut classes = [OTHER; 256];
    let mut value = 0;
    while value < 16 {
        classes[b"0123456789abcdef"[value as usize] as usize] = value;
        classes[b"0123456789ABCDEF"[value as usize] as usize] = value;
        value += 1;
    }
    let mut mark = 0;
    while mark < 4 {
        classes[b"&=%+"[mark] as usize] = MARK;
        mark += 1;
    }
    classes
};

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn sorted(form: &str) -> String {
        let tail = Parameters::parse(form.as_bytes()).sorted(Order::Bytes);
        String::from_utf8_lossy(&tail).into_owned()
    }

    #[test]
    fn forms_are_decoded_by_the_url_standard() {
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
    fn parameters_equal_the_decoded_pairs() {
        for form in [
            "",
            "&",
            "=",
            "a",
            "a=",
            "=b",
            "a=b=c",
            "&&a=%3D&+=%26&",
            "a%3Db=%&b=%4",
            "a&=&b",
            "%&=%4=",
        ] {
            let decoded = |raw| Decoded(raw).collect::<Vec<_>>();
            let pairs = pairs(form.as_bytes()).map(|(n, v)| (decoded(n), decoded(v)));
            let parameters = Parameters::parse(form.as_bytes());
            let read = parameters.pairs().map(|(n, v)| (n.to_vec(), v.to_vec()));
            assert!(read.eq(pairs), "{form}");
        }
    }

    #[test]
    fn decoding_does_not_depend_on_length_or_position() {
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
    fn truncated_escape_is_kept_as_it_is() {
        for length in 0..150 {
            for cut in ["%", "%A", "%4"] {
                let form = format!("{}{cut}", "A".repeat(length));
                assert_eq!(sorted(&form), form);
                assert_eq!(sorted(&format!("n={form}")), format!("n{form}"));
            }
        }
    }
}
