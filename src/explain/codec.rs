//! Forms, queries and escapes, in every way that they are read and written.

/// A decoded name and its value.
pub(super) type Pair = (Vec<u8>, Vec<u8>);

/// Most names that a search looks at one by one.
pub(super) const MAX_NAMES: usize = 64;

/// Removes `%XX` escapes where `which` accepts the byte; bad ones stay.
pub(super) fn unescape(text: &[u8], which: impl Fn(u8) -> bool) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        rest = match rest {
            [b'%', high, low, after @ ..] if let Some(byte) = hex_pair(*high, *low) => {
                if which(byte) {
                    plain.push(byte);
                } else {
                    plain.extend_from_slice(&[b'%', *high, *low]);
                }
                after
            }
            _ => {
                plain.push(*first);
                tail
            }
        };
    }
    plain
}

/// Writes `%XX` for each byte that `which` accepts.
pub(super) fn escape(text: &[u8], which: impl Fn(u8) -> bool) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(text.len());
    for &byte in text {
        if which(byte) {
            escaped.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            escaped.push(byte);
        }
    }
    escaped
}

/// Changes the case of the hex digits of all escapes.
pub(super) fn hex_case(text: &[u8], upper: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        rest = match rest {
            [b'%', high, low, after @ ..] if hex_pair(*high, *low).is_some() => {
                let cased = |byte: &u8| {
                    if upper { byte.to_ascii_uppercase() } else { byte.to_ascii_lowercase() }
                };
                out.extend_from_slice(&[b'%', cased(high), cased(low)]);
                after
            }
            _ => {
                out.push(*first);
                tail
            }
        };
    }
    out
}

pub(super) fn hex_pair(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

/// Replaces every occurrence.
pub(super) fn replace(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        if let Some(after) = rest.strip_prefix(from).filter(|_| !from.is_empty()) {
            out.extend_from_slice(to);
            rest = after;
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    out
}

/// The raw segments of a form or a query, empty ones left out.
pub(super) fn segments(encoded: &[u8]) -> Vec<&[u8]> {
    encoded.split(|&byte| byte == b'&').filter(|segment| !segment.is_empty()).collect()
}

/// The raw name and value of a segment, and whether a `=` stands between them.
pub(super) fn halves(segment: &[u8]) -> (&[u8], &[u8], bool) {
    let at = segment.iter().position(|&byte| byte == b'=');
    let (name, value) = segment.split_at_checked(at.unwrap_or(segment.len())).unwrap_or_default();
    (name, value.get(1..).unwrap_or_default(), at.is_some())
}

/// Decodes a form or a query.
pub(super) fn pairs(encoded: &[u8]) -> Vec<Pair> {
    let plain = |raw: &[u8]| unescape(&replace(raw, b"+", b" "), |_| true);
    pairs_by(encoded, plain)
}

/// Decodes with the given reading of names and values.
pub(super) fn pairs_by(encoded: &[u8], plain: impl Fn(&[u8]) -> Vec<u8>) -> Vec<Pair> {
    let halves = segments(encoded).into_iter().map(halves);
    halves.map(|(name, value, _)| (plain(name), plain(value))).collect()
}

/// Returns the bytes that Twilio appends to the URL: parameters sorted by name and value, exact repeats once.
pub(super) fn tail(pairs: &[Pair]) -> Vec<u8> {
    let mut sorted: Vec<&Pair> = pairs.iter().collect();
    sorted.sort_unstable();
    sorted.dedup();
    unsorted_tail(sorted)
}

/// Names and values in the given order.
pub(super) fn unsorted_tail<'p>(pairs: impl IntoIterator<Item = &'p Pair>) -> Vec<u8> {
    let parts = pairs.into_iter().flat_map(|(name, value)| [name, value]);
    parts.flatten().copied().collect()
}

/// Unreserved characters of RFC 3986.
pub(super) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_read_and_written() {
        assert_eq!(unescape(b"a%2Fb%zz%7e", |_| true), b"a/b%zz~");
        assert_eq!(unescape(b"a%2Fb%7e", is_unreserved), b"a%2Fb~");
        assert_eq!(escape(b"a,b", |byte| byte == b','), b"a%2Cb");
        assert_eq!(hex_case(b"%3a%zz", true), b"%3A%zz");
        assert_eq!(tail(&pairs(b"b=2&a=x+y&a=%31&b=2")), b"a1ax yb2");
    }
}
