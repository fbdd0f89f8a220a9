//! Decodes `application/x-www-form-urlencoded` to bytes.
//!
//! Never to text: replacing invalid UTF-8 would give two different bodies one signature.

mod order;

use memchr::{memchr, memchr_iter, memchr2};
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
        for (name, value) in pairs(encoded) {
            let parameter = Parameter { name: self.decode(name), value: self.decode(value) };
            self.list.push(parameter);
        }
    }

    fn decode(&mut self, raw: &[u8]) -> Span {
        let start = self.text.len();
        Decoded(raw).append_to(&mut self.text);
        Span { start, end: self.text.len() }
    }

    /// Whether there is no parameter at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The values of one name, in the order of arrival.
    pub(super) fn values(&self, name: &[u8]) -> impl Iterator<Item = &[u8]> {
        let named =
            self.list.iter().filter(move |parameter| parameter.name.slice(&self.text) == name);
        named.map(|parameter| parameter.value.slice(&self.text))
    }
}

impl Span {
    fn slice(self, text: &[u8]) -> &[u8] {
        text.get(self.start..self.end).unwrap_or_default()
    }
}

/// Splits a form or query into the raw name and value of each non-empty segment.
pub(super) fn pairs(encoded: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = encoded;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let (segment, after) = split_at_byte(rest, b'&');
            rest = after;
            if !segment.is_empty() {
                return Some(split_at_byte(segment, b'='));
            }
        }
        None
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
    /// Appends all decoded bytes. Runs without `%` and `+` are copied whole, because most names
    /// and values contain neither.
    fn append_to(mut self, text: &mut ParamBytes) {
        while let Some((plain, marked)) =
            memchr2(b'%', b'+', self.0).and_then(|at| self.0.split_at_checked(at))
        {
            text.extend_from_slice(plain);
            self.0 = marked;
            text.extend(self.next());
        }
        text.extend_from_slice(self.0);
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
    match (nibble(high), nibble(low)) {
        (high @ 0..16, low @ 0..16) => Some(high << 4 | low),
        _ => None,
    }
}

/// The value of a hex digit; 255 for any other byte.
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
