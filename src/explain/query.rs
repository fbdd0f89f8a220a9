//! Hypotheses about the query.

use sha2::{Digest, Sha256};

use super::{
    codec::{MAX_NAMES, escape, halves, hex_case, replace, segments, unescape},
    facts::Facts,
};

/// A longer query is only dropped, reordered and re-encoded as a whole.
const MAX_DETAILED: usize = 4096;
/// Up to this many names every order is tried: 720 of them.
const MAX_PERMUTED: usize = 6;
/// Up to this many names every order is tried in every spelling.
const MAX_PERMUTED_RESPELLED: usize = 4;

/// An encoder: the characters that it leaves alone, and what it makes of a blank.
type Style = (&'static [u8], &'static [u8]);

/// The usual encoders. Python and Go, PHP, forms in browsers, JavaScript, .NET, yarl, curl.
const STYLES: [Style; 9] = [
    (b"-_.~", b"+"),
    (b"-_.~", b"%20"),
    (b"-_.", b"+"),
    (b"-_.*", b"+"),
    (b"-_.!~*'()", b"%20"),
    (b"/-_.~", b"%20"),
    (b"-._~!$'()*,;:@/?", b"+"),
    (b"-._~!$'()*,;:@/?[]", b"%20"),
    (b"-._~!$'()*,;:@/?[]{}|\\^`\"<>", b"%20"),
];

/// Calls `each` with every other query, the likeliest first, until it returns `true`.
pub(super) fn all(facts: &Facts<'_>, each: &mut dyn FnMut(Option<Vec<u8>>) -> bool) -> bool {
    let query = facts.expected.query.as_deref();
    if likely(facts).into_iter().any(&mut *each) {
        return true;
    }
    let Some(query) = query.filter(|query| !query.is_empty()) else {
        return each(with_hash(facts, query)) || (query.is_none() && each(Some(Vec::new())));
    };
    let mut some = |query: Vec<u8>| each(Some(query));
    with_or_without_parts(query, &mut some)
        || (query.len() <= MAX_DETAILED && one_character(query, &mut some))
        || orders(query, &mut some)
        || each(with_hash(facts, Some(query)))
}

/// The changes that are worth a combination with another one.
pub(super) fn likely(facts: &Facts<'_>) -> Vec<Option<Vec<u8>>> {
    let Some(query) = facts.expected.query.as_deref() else {
        return vec![with_hash(facts, None)];
    };
    let mut queries = vec![None];
    queries.extend(respelled(query).into_iter().map(Some));
    let mut parts = segments(query);
    parts.sort_unstable();
    queries.push(Some(parts.join(&b'&')));
    parts.reverse();
    queries.push(Some(parts.join(&b'&')));
    queries.push(without(query, |name| name == b"bodySHA256"));
    let mut distinct: Vec<Option<Vec<u8>>> = Vec::new();
    for other in queries {
        if other.as_deref() != Some(query) && !distinct.contains(&other) {
            distinct.push(other);
        }
    }
    distinct
}

/// The query with the hash that this body has.
fn with_hash(facts: &Facts<'_>, query: Option<&[u8]>) -> Option<Vec<u8>> {
    let hash: String = Sha256::digest(facts.case.body).iter().map(|b| format!("{b:02x}")).collect();
    let own = format!("bodySHA256={hash}").into_bytes();
    Some(match query {
        Some(query) if !query.is_empty() => [query, b"&", &own].concat(),
        _ => own,
    })
}

fn without(query: &[u8], drop: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    let kept: Vec<&[u8]> =
        segments(query).into_iter().filter(|segment| !drop(halves(segment).0)).collect();
    (!kept.is_empty()).then(|| kept.join(&b'&'))
}

/// The whole query in another spelling.
fn respelled(query: &[u8]) -> Vec<Vec<u8>> {
    let mut queries = vec![
        replace(query, b"%25", b"%"),
        replace(query, b"%", b"%25"),
        replace(query, b"+", b"%20"),
        replace(query, b"%20", b"+"),
        hex_case(query, true),
        hex_case(query, false),
        after_first(query, b"&", b";"),
        replace(query, b"&", b";"),
        replace(query, b"&amp;", b"&"),
        replace(query, b"&", b"&amp;"),
        replace(query, b";", b"&"),
        unescape(query, |byte| byte.is_ascii_graphic() && !b"&=+%#".contains(&byte)),
        unescape(query, |byte| byte.is_ascii_graphic()),
        unescape(query, |_| true),
        without_bare_equals(query, true),
        without_bare_equals(query, false),
        segments(query).join(&b'&'),
    ];
    for style in STYLES {
        let other = restyled(query, style);
        queries.push(hex_case(&other, false));
        queries.push(other);
    }
    queries
}

/// Decodes and encodes again.
pub(super) fn restyled(query: &[u8], (kept, blank): Style) -> Vec<u8> {
    let encode = |raw: &[u8]| {
        let plain = unescape(&replace(raw, b"+", b" "), |_| true);
        let safe = |byte: u8| byte.is_ascii_alphanumeric() || kept.contains(&byte) || byte == b' ';
        replace(&escape(&plain, |byte| !safe(byte)), b" ", blank)
    };
    let parts = segments(query).into_iter().map(|segment| {
        let (name, value, has_value) = halves(segment);
        let equals = if has_value { &b"="[..] } else { b"" };
        [&encode(name), equals, &encode(value)].concat()
    });
    parts.collect::<Vec<_>>().join(&b'&')
}

fn after_first(query: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = query.iter().position(|byte| from.first() == Some(byte)).unwrap_or(query.len());
    let (before, after) = query.split_at_checked(at).unwrap_or_default();
    [before, &replace(after, from, to)].concat()
}

/// `a=&b` as `a&b`, or as `a=&b=`.
fn without_bare_equals(query: &[u8], drop: bool) -> Vec<u8> {
    let parts = segments(query).into_iter().map(|segment| {
        let (name, value, _) = halves(segment);
        match (value.is_empty(), drop) {
            (true, true) => name.to_vec(),
            (true, false) => [name, b"="].concat(),
            (false, _) => segment.to_vec(),
        }
    });
    parts.collect::<Vec<_>>().join(&b'&')
}

/// Parameters left out one by one, and from the beginning or the end.
fn with_or_without_parts(query: &[u8], each: &mut dyn FnMut(Vec<u8>) -> bool) -> bool {
    let parts = segments(query);
    if parts.len() > MAX_NAMES {
        return false;
    }
    for index in 0..parts.len() {
        let mut others = parts.clone();
        others.remove(index);
        let (first, last) = parts.split_at_checked(index).unwrap_or_default();
        if each(others.join(&b'&')) || each(first.join(&b'&')) || each(last.join(&b'&')) {
            return true;
        }
    }
    false
}

/// One character escaped, or unescaped, wherever it stands: which ones a proxy touches differs.
fn one_character(query: &[u8], each: &mut dyn FnMut(Vec<u8>) -> bool) -> bool {
    let mut changed = Vec::new();
    for byte in *b"$,:@!~*'()/?;[]{}|\"<>^`\\-_.+% " {
        let (upper, lower) = (format!("%{byte:02X}"), format!("%{byte:02x}"));
        // `%` and a blank stand in no query as they are.
        if !b"% ".contains(&byte) {
            changed.push(replace(query, &[byte], upper.as_bytes()));
            changed.push(replace(query, &[byte], lower.as_bytes()));
        }
        changed.push(replace(
            &replace(query, upper.as_bytes(), &[byte]),
            lower.as_bytes(),
            &[byte],
        ));
    }
    for segment in segments(query).into_iter().take(MAX_NAMES) {
        let (name, value, _) = halves(segment);
        for value in [
            replace(value, b"%", b"%25"),
            unescape(value, |_| true),
            restyled(value, (b"-_.~", b"%20")),
        ] {
            changed.push(replace(query, segment, &[name, b"=", &value].concat()));
        }
    }
    changed.extend(one_separator(query));
    changed.into_iter().filter(|other| other != query).any(each)
}

/// One `&` or later `=` escaped: a decoder makes data into structure.
fn one_separator(query: &[u8]) -> Vec<Vec<u8>> {
    let separators = query.iter().enumerate().filter(|(_, byte)| b"&=".contains(byte));
    let escaped = separators.take(MAX_NAMES).map(|(at, byte)| {
        let (before, after) = query.split_at_checked(at).unwrap_or_default();
        let escape = format!("%{byte:02X}");
        [before, escape.as_bytes(), after.get(1..).unwrap_or_default()].concat()
    });
    escaped.collect()
}

/// Other orders of the names.
fn orders(query: &[u8], each: &mut dyn FnMut(Vec<u8>) -> bool) -> bool {
    let parts = segments(query);
    if !(2..=MAX_PERMUTED).contains(&parts.len()) {
        return false;
    }
    let spelled = parts.len() <= MAX_PERMUTED_RESPELLED;
    permutations(&parts, &mut |order| {
        let joined = order.join(&b'&');
        if each(joined.clone()) {
            return true;
        }
        let mut respell = STYLES.into_iter().map(|style| restyled(&joined, style));
        let plus = [replace(&joined, b"+", b"%20"), replace(&joined, b"%20", b"+")];
        spelled && (plus.into_iter().any(&mut *each) || respell.any(&mut *each))
    })
}

/// Heap's algorithm.
fn permutations<'p>(parts: &[&'p [u8]], each: &mut dyn FnMut(&[&'p [u8]]) -> bool) -> bool {
    let mut order = parts.to_vec();
    let mut counts = vec![0_usize; order.len()];
    let mut at = 1;
    while at < order.len() {
        let Some(count) = counts.get_mut(at) else { return false };
        if *count >= at {
            *count = 0;
            at = at.saturating_add(1);
            continue;
        }
        order.swap(if at % 2 == 0 { 0 } else { *count }, at);
        *count = count.saturating_add(1);
        at = 1;
        if each(&order) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_is_tried_once() {
        let mut seen = std::collections::BTreeSet::new();
        permutations(&[b"a", b"b", b"c", b"d"], &mut |order| {
            assert!(seen.insert(order.concat()));
            false
        });
        assert_eq!(seen.len(), 23);
    }

    #[test]
    fn a_query_is_encoded_in_the_usual_styles() {
        assert_eq!(restyled(b"a=x+y/z&b", (b"/-_.~", b"%20")), b"a=x%20y/z&b");
        assert_eq!(restyled(b"a=%2c", (b"-_.~", b"+")), b"a=%2C");
    }
}
