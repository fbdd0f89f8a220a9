//! Names the differences between the URL that was signed and the one that the gate expects.

use super::{
    codec::{hex_case, is_unreserved, pairs, replace, segments, unescape},
    facts::Facts,
    label::Label,
    path::{merged_slashes, toggled, without_dot_segments},
    url::Url,
};

/// The mistakes in a URL, in the order in which they are to be cured.
pub(super) fn labels(facts: &Facts<'_>, signed: &Url) -> Vec<Label> {
    let expected = &facts.expected;
    let mut labels = Vec::new();
    labels.extend(scheme(facts, signed));
    if !signed.host.eq_ignore_ascii_case(&expected.host) || signed.host != expected.host {
        labels.push(Label::WrongHost);
    }
    if !is_same_port(signed, expected) {
        labels.push(Label::WrongPort);
    }
    labels.extend(path(facts, &signed.path));
    labels.extend(query(signed.query.as_deref(), expected.query.as_deref()));
    labels
}

fn scheme(facts: &Facts<'_>, signed: &Url) -> Option<Label> {
    if signed.scheme == facts.expected.scheme {
        return None;
    }
    let websocket = matches!(signed.scheme.as_str(), "ws" | "wss");
    Some(if websocket && !facts.handshake { Label::UpgradeLost } else { Label::WrongScheme })
}

/// The gate itself tries the URL with and without its port.
fn is_same_port(signed: &Url, expected: &Url) -> bool {
    let default = |url: &Url| if matches!(url.scheme.as_str(), "http" | "ws") { 80 } else { 443 };
    match (signed.port, expected.port) {
        (None, _) => true,
        (Some(port), None) => port == default(signed) || port == default(expected),
        (Some(port), Some(own)) => port == own,
    }
}

fn path(facts: &Facts<'_>, signed: &[u8]) -> Vec<Label> {
    let expected = &facts.expected.path;
    let is_root = |path: &[u8]| matches!(path, b"" | b"/");
    if signed == expected || (is_root(signed) && is_root(expected)) {
        return Vec::new();
    }
    if let Some(label) = one_path(facts, signed, expected) {
        return vec![label];
    }
    match one_path(facts, &toggled(signed), expected) {
        Some(label) => vec![label, Label::TrailingSlash],
        None => vec![Label::WrongPath],
    }
}

fn one_path(facts: &Facts<'_>, signed: &[u8], expected: &[u8]) -> Option<Label> {
    let received = facts.case.head.path();
    let prefix = facts.prefix();
    if !prefix.is_empty() && signed == received {
        return Some(Label::PathInPublicUrl);
    }
    if toggled(signed) == expected {
        return Some(Label::TrailingSlash);
    }
    if replace(signed, b"%", b"%25") == expected || replace(expected, b"%25", b"%") == signed {
        return Some(Label::DoubleEncoded);
    }
    if normal(signed) == normal(expected)
        || unescape(signed, |_| true) == unescape(expected, |_| true)
    {
        return Some(Label::PathNormalised);
    }
    if !prefix.is_empty() && expected.ends_with(signed) && signed.ends_with(received) {
        return Some(Label::PathInPublicUrl);
    }
    if signed.len() > received.len() && signed.ends_with(received) {
        return Some(Label::PrefixStripped);
    }
    let shorter = signed.len() < expected.len();
    if shorter && (expected.ends_with(signed) || matches!(signed, b"" | b"/")) {
        return Some(Label::PrefixAdded);
    }
    signed.eq_ignore_ascii_case(expected).then_some(Label::PathNormalised)
}

/// RFC 3986 §6.2.2, slashes merged as well.
fn normal(path: &[u8]) -> Vec<u8> {
    let plain = hex_case(&unescape(path, is_unreserved), true);
    without_dot_segments(&merged_slashes(&plain))
}

fn query(signed: Option<&[u8]>, received: Option<&[u8]>) -> Option<Label> {
    let (signed, received) = (signed.unwrap_or_default(), received.unwrap_or_default());
    if signed == received {
        return None;
    }
    if signed.is_empty() {
        return Some(Label::QueryAdded);
    }
    if received.is_empty() {
        return Some(Label::QueryDropped);
    }
    if replace(signed, b"%", b"%25") == received || replace(received, b"%25", b"%") == signed {
        return Some(Label::DoubleEncoded);
    }
    if replace(received, b"%", b"%25") == signed || decodes_to(signed, received) {
        return Some(Label::QueryDecoded);
    }
    Some(same_meaning(signed, received).unwrap_or_else(|| by_names(signed, received)))
}

/// Whether `received` is `signed` with escapes of other than unreserved characters removed.
fn decodes_to(signed: &[u8], received: &[u8]) -> bool {
    let removable = |text: &[u8]| unescape(text, |byte| byte.is_ascii_graphic());
    if unescape(signed, is_unreserved) == received {
        return false;
    }
    let shorter = received.len() < signed.len();
    shorter
        && (unescape(signed, |_| true) == received
            || removable(signed) == received
            || (pairs(signed) != pairs(received) && removable(signed) == removable(received))
            || only_unescaped(signed, received))
}

/// Whether each difference is an escape in `signed` and its character in `received`.
fn only_unescaped(signed: &[u8], received: &[u8]) -> bool {
    let (mut signed, mut received) = (signed, received);
    loop {
        match (signed, received) {
            ([], []) => return true,
            ([a, after @ ..], [b, rest @ ..]) if a == b => (signed, received) = (after, rest),
            ([b'%', high, low, after @ ..], [b, rest @ ..])
                if super::codec::hex_pair(*high, *low) == Some(*b) =>
            {
                (signed, received) = (after, rest);
            }
            _ => return false,
        }
    }
}

fn same_meaning(signed: &[u8], received: &[u8]) -> Option<Label> {
    let separators = |text: &[u8]| replace(&replace(text, b"&amp;", b"&"), b";", b"&");
    let trimmed = |text: &[u8]| segments(text).concat();
    let same = pairs(signed) == pairs(received)
        || separators(signed) == separators(received)
        || trimmed(signed) == trimmed(received);
    same.then_some(Label::QueryReencoded)
}

fn by_names(signed: &[u8], received: &[u8]) -> Label {
    let (own, other) = (sorted(pairs(signed)), sorted(pairs(received)));
    if own == other {
        return Label::QueryReordered;
    }
    let names = |pairs: &[super::codec::Pair]| {
        let mut names: Vec<Vec<u8>> = pairs.iter().map(|(name, _)| name.clone()).collect();
        names.dedup();
        names
    };
    let within = |few: &[super::codec::Pair], many: &[super::codec::Pair]| {
        few.iter().all(|pair| many.contains(pair))
    };
    match (within(&other, &own), within(&own, &other)) {
        // A dictionary keeps one value of each name.
        (true, _) if names(&own) == names(&other) => Label::QueryReordered,
        (true, _) => Label::QueryDropped,
        (false, true) => Label::QueryAdded,
        (false, false) => Label::QueryReencoded,
    }
}

fn sorted(mut pairs: Vec<super::codec::Pair>) -> Vec<super::codec::Pair> {
    pairs.sort_unstable();
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_in_the_query_has_one_name() {
        for (signed, received, label) in [
            ("search=%2520test", "search=%20test", Label::QueryDecoded),
            ("u=a%2Fb", "u=a/b", Label::QueryDecoded),
            ("u=a/b", "u=a%2Fb", Label::QueryReencoded),
            ("u=%7Eb", "u=~b", Label::QueryReencoded),
            ("a=1,2", "a=1%2C2", Label::QueryReencoded),
            ("t=?a=1;b=2;c=3", "t=?a=1&b=2&c=3", Label::QueryReencoded),
            ("x=a%20b", "x=a%2520b", Label::DoubleEncoded),
            ("b=2&a=1", "a=1&b=2", Label::QueryReordered),
            ("c[]=blue&c[]=red", "c[]=red", Label::QueryReordered),
            ("a=1&b=2", "a=1", Label::QueryDropped),
            ("a=1", "", Label::QueryDropped),
            ("a=1", "a=1&slug=x", Label::QueryAdded),
        ] {
            let found = query(Some(signed.as_bytes()), Some(received.as_bytes()));
            assert_eq!(found, Some(label), "{signed} {received}");
        }
        assert_eq!(query(None, Some(b"")), None);
    }
}
