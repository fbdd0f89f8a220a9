//! The request target, and its other spellings that Twilio may have signed.

use memchr::memchr;

use super::form::{Decoded, pairs};

/// A target as in the request line, split at the first `?`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    pub(super) whole: &'a [u8],
    pub(super) path: &'a [u8],
    pub(super) query: Option<&'a [u8]>,
}

impl<'a> Target<'a> {
    pub(super) fn split(whole: &'a [u8]) -> Self {
        let (path, query) = match memchr(b'?', whole).and_then(|at| whole.split_at_checked(at)) {
            Some((path, query)) => (path, query.get(1..)),
            None => (whole, None),
        };
        Self { whole, path, query }
    }

    /// The decoded values of one query parameter.
    pub(super) fn query_values(self, name: &[u8]) -> impl Iterator<Item = Decoded<'a>> {
        pairs(self.query.unwrap_or_default())
            .filter(move |&(raw, _)| Decoded(raw).eq(name.iter().copied()))
            .map(|(_, value)| Decoded(value))
    }
}

/// The difference between the signed target and the received one. Both decode to the same query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Spelling {
    /// Byte for byte as received: nearly all traffic.
    Received,
    /// A root path left out: `https://h` for `/`.
    WithoutRoot,
    /// A bare `?` at the end left out (Python's URL parser drops it).
    WithoutEmptyQuery,
    /// Both of these.
    WithoutRootAndEmptyQuery,
    /// A repeated, identical `bodySHA256` only once (twilio-php issue 861).
    BodyHashOnce,
    /// `%27` was signed as `'` (twilio-node issue 1059).
    ApostropheRaw,
    /// `'` was signed as `%27` (twilio-ruby issue 528).
    ApostropheEscaped,
    /// `%40` and `%3A` were signed as `@` and `:` (twilio-node issue 621).
    SipRaw,
    /// `+` was signed as `%20`.
    SpaceAsEscape,
    /// `%20` was signed as `+`.
    SpaceAsPlus,
    /// The query as Node's `querystring` writes it.
    QuerystringStyle,
    /// The query as an HTML form writes it.
    FormStyle,
    /// A handshake whose path was signed with its trailing slash toggled.
    SlashToggled,
    /// A handshake whose query was signed like form parameters.
    QueryAsParameters,
    /// Both of these.
    SlashToggledQueryAsParameters,
    /// The query in another order, on a route with `query_order = "any"`.
    Reordered,
}

impl Spelling {
    /// The name in logs and counters.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::WithoutRoot => "without_root",
            Self::WithoutEmptyQuery => "without_empty_query",
            Self::WithoutRootAndEmptyQuery => "without_root_and_empty_query",
            Self::BodyHashOnce => "body_hash_once",
            Self::ApostropheRaw => "apostrophe_raw",
            Self::ApostropheEscaped => "apostrophe_escaped",
            Self::SipRaw => "sip_raw",
            Self::SpaceAsEscape => "space_as_escape",
            Self::SpaceAsPlus => "space_as_plus",
            Self::QuerystringStyle => "querystring_style",
            Self::FormStyle => "form_style",
            Self::SlashToggled => "slash_toggled",
            Self::QueryAsParameters => "query_as_parameters",
            Self::SlashToggledQueryAsParameters => "slash_toggled_query_as_parameters",
            Self::Reordered => "reordered",
        }
    }
}

/// The longest query that is respelled, in bytes. Twilio sends a few hundred; a longer one is
/// verified as received only.
pub(super) const MAX_RESPELLED: usize = 8192;

type Respell = fn(Target<'_>) -> Option<Vec<u8>>;

/// All respellings in the order in which they are tried. [`Spelling`] names the public issue behind
/// each; the re-encodings of the whole query are those of Node's `querystring` and of HTML forms.
const RESPELLINGS: [(Spelling, Respell); 11] = [
    (Spelling::WithoutRoot, |t| (t.path == b"/").then(|| with_query(b"", t.query))),
    (Spelling::WithoutEmptyQuery, |t| (t.query == Some(b"")).then(|| t.path.to_vec())),
    (Spelling::WithoutRootAndEmptyQuery, |t| (t.whole == b"/?").then(Vec::new)),
    (Spelling::BodyHashOnce, body_hash_once),
    (Spelling::ApostropheRaw, |t| requery(t, |query| replaced(query, b"%27", b"'"))),
    (Spelling::ApostropheEscaped, |t| requery(t, |query| replaced(query, b"'", b"%27"))),
    (Spelling::SipRaw, |t| requery(t, sip_raw)),
    (Spelling::SpaceAsEscape, |t| requery(t, |query| replaced(query, b"+", b"%20"))),
    (Spelling::SpaceAsPlus, |t| requery(t, |query| replaced(query, b"%20", b"+"))),
    (Spelling::QuerystringStyle, |t| requery(t, |query| encoded(query, b"%20", b"-_.!~*'()"))),
    (Spelling::FormStyle, |t| requery(t, |query| encoded(query, b"+", b"-_.*"))),
];

/// The respellings of a target, built lazily.
pub(super) fn respellings(target: Target<'_>) -> impl Iterator<Item = (Spelling, Vec<u8>)> {
    let has_any = target.path == b"/" || !target.query.is_none_or(has_one_spelling);
    let made = move |(spelling, respell): &(Spelling, Respell)| Some((*spelling, respell(target)?));
    RESPELLINGS.iter().filter(move |_| has_any).filter_map(made)
}

/// Whether all styles write this query alike. True of most, which need no respelling.
fn has_one_spelling(query: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.*=".contains(byte);
    query.split(|&byte| byte == b'&').all(|segment| {
        segment.contains(&b'=') && segment.iter().all(plain) && !segment.starts_with(BODY_HASH)
    })
}

/// The beginning of a body hash in the query.
const BODY_HASH: &[u8] = b"bodySHA256=";

/// Adds or removes a trailing slash.
pub(super) fn slash_toggled(path: &[u8]) -> Vec<u8> {
    path.strip_suffix(b"/").map_or_else(|| [path, b"/"].concat(), <[u8]>::to_vec)
}

/// Joins a path and a query.
pub(super) fn with_query(path: &[u8], query: Option<&[u8]>) -> Vec<u8> {
    query.map_or_else(|| path.to_vec(), |query| [path, b"?", query].concat())
}

/// Rewrites the query. Returns it **only if it differs and decodes to exactly the same names and
/// values**: otherwise a replayed signature could change what the app reads.
fn requery(target: Target<'_>, rewrite: impl Fn(&[u8]) -> Vec<u8>) -> Option<Vec<u8>> {
    let query = target.query.filter(|query| query.len() <= MAX_RESPELLED)?;
    let respelled = rewrite(query);
    (respelled != query && decodes_alike(query, &respelled))
        .then(|| with_query(target.path, Some(&respelled)))
}

fn decodes_alike(left: &[u8], right: &[u8]) -> bool {
    let mut right = pairs(right);
    let same = |raw, other| Decoded(raw).eq(Decoded(other));
    pairs(left)
        .all(|(name, value)| right.next().is_some_and(|(n, v)| same(name, n) && same(value, v)))
        && right.next().is_none()
}

fn replaced(query: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut respelled = Vec::with_capacity(query.len());
    let mut rest = query;
    while let [first, tail @ ..] = rest {
        if let Some(after) = rest.strip_prefix(from) {
            respelled.extend_from_slice(to);
            rest = after;
        } else {
            respelled.push(*first);
            rest = tail;
        }
    }
    respelled
}

fn sip_raw(query: &[u8]) -> Vec<u8> {
    let colons = replaced(&replaced(query, b"%40", b"@"), b"%3A", b":");
    replaced(&colons, b"%3a", b":")
}

/// Decodes and encodes a query; letters, digits and `kept` are not escaped.
fn encoded(query: &[u8], space: &[u8], kept: &[u8]) -> Vec<u8> {
    let mut respelled = Vec::with_capacity(query.len());
    for (name, value) in pairs(query) {
        if !respelled.is_empty() {
            respelled.push(b'&');
        }
        encode_into(name, space, kept, &mut respelled);
        respelled.push(b'=');
        encode_into(value, space, kept, &mut respelled);
    }
    respelled
}

fn encode_into(raw: &[u8], space: &[u8], kept: &[u8], respelled: &mut Vec<u8>) {
    const HEX: [u8; 16] = *b"0123456789ABCDEF";
    let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or_default();
    for byte in Decoded(raw) {
        match byte {
            b' ' => respelled.extend_from_slice(space),
            _ if byte.is_ascii_alphanumeric() || kept.contains(&byte) => respelled.push(byte),
            _ => respelled.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]),
        }
    }
}

/// Drops all but the first of identical `bodySHA256=…` (twilio-php issue 861).
fn body_hash_once(target: Target<'_>) -> Option<Vec<u8>> {
    let query = target.query.filter(|query| query.len() <= MAX_RESPELLED)?;
    let mut first: Option<&[u8]> = None;
    let mut dropped = false;
    let kept: Vec<&[u8]> = query
        .split(|&byte| byte == b'&')
        .filter(|segment| match first {
            Some(hash) if hash == *segment => {
                dropped = true;
                false
            }
            None if segment.starts_with(BODY_HASH) => {
                first = Some(segment);
                true
            }
            _ => true,
        })
        .collect();
    dropped.then(|| with_query(target.path, Some(&kept.join(&b'&'))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn respelled(target: &str) -> Vec<(Spelling, String)> {
        respellings(Target::split(target.as_bytes()))
            .map(|(spelling, bytes)| (spelling, String::from_utf8(bytes).unwrap()))
            .collect()
    }

    #[test]
    fn plain_target_has_no_other_spelling() {
        assert!(respelled("/voice?a=b&c=d").is_empty());
        assert!(respelled("/voice").is_empty());
        assert!(respelled("/o'hara%27").is_empty());
    }

    #[test]
    fn each_respelling_changes_one_thing() {
        assert_eq!(respelled("/"), [(Spelling::WithoutRoot, String::new())]);
        let names: Vec<_> = respelled("/?").into_iter().map(|(spelling, _)| spelling).collect();
        assert_eq!(
            names,
            [
                Spelling::WithoutRoot,
                Spelling::WithoutEmptyQuery,
                Spelling::WithoutRootAndEmptyQuery
            ]
        );
        let found = respelled("/v?a=O%27h+x&b=sip%3Ax%40y");
        assert!(found.contains(&(Spelling::ApostropheRaw, "/v?a=O'h+x&b=sip%3Ax%40y".into())));
        assert!(found.contains(&(Spelling::SipRaw, "/v?a=O%27h+x&b=sip:x@y".into())));
        assert!(found.contains(&(Spelling::SpaceAsEscape, "/v?a=O%27h%20x&b=sip%3Ax%40y".into())));
        assert!(found.contains(&(Spelling::QuerystringStyle, "/v?a=O'h%20x&b=sip%3Ax%40y".into())));
    }

    #[test]
    fn respellings_never_change_the_decoded_query() {
        let double = Target::split(b"/?a=%2527");
        assert!(respellings(double).all(|(spelling, _)| spelling != Spelling::ApostropheRaw));
        assert!(decodes_alike(b"a=%41&&b", b"a=A&b="));
        assert!(!decodes_alike(b"a=1&b=2", b"a=1"));
        assert!(!decodes_alike(b"a=1", b"a=1&b=2"));
        assert!(!decodes_alike(b"a=%FF", b"a=%EF%BF%BD"));
    }

    #[test]
    fn repeated_body_hash_collapses() {
        let found = respelled("/?bodySHA256=ab&x=1&bodySHA256=ab");
        assert!(found.contains(&(Spelling::BodyHashOnce, "/?bodySHA256=ab&x=1".into())));
        assert!(respelled("/p?bodySHA256=ab&bodySHA256=cd").is_empty());
    }
}
