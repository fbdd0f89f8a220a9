//! Texts that hand-written signers sign in place of Twilio's.

use sha2::{Digest, Sha256};

use super::{
    codec::{pairs, replace, tail, unescape},
    facts::Facts,
    search::Attempt,
};

/// Every such text for this URL, the likeliest first.
pub(super) fn all(facts: &Facts<'_>, base: &Attempt) -> Vec<Attempt> {
    let plain = base.url.bytes();
    let mut attempts = of_url(facts, base);
    attempts.extend(of_body(facts, base));
    let same = |attempt: &Attempt| {
        attempt.text.as_deref() == Some(&plain[..]) && attempt.tail == base.tail
    };
    attempts.retain(|attempt| !same(attempt));
    attempts
}

/// The URL written in another way.
fn of_url(facts: &Facts<'_>, base: &Attempt) -> Vec<Attempt> {
    let url = &base.url;
    let (whole, bare, target) = (url.bytes(), url.with_query(None).bytes(), url.target());
    let no_scheme = [url.authority().into_bytes(), target.clone()].concat();
    let decoded = unescape(&replace(&whole, b"+", b" "), |_| true);
    let wrongly = |text: Vec<u8>, detail| base.wrongly(text, base.tail.clone(), detail);
    let mut attempts = vec![
        wrongly(target, "the path without scheme and host"),
        wrongly(no_scheme, "the URL without its scheme"),
        wrongly(decoded, "the URL decoded"),
        wrongly(unescape(&whole, |_| true), "the URL decoded"),
        wrongly(whole.to_ascii_lowercase(), "the URL in small letters"),
        wrongly([&whole, &b"#"[..]].concat(), "the URL with a fragment"),
        wrongly(facts.case.head.path().to_vec(), "the path alone"),
    ];
    if let Some(query) = url.query.as_deref() {
        attempts.push(base.wrongly(bare, tail(&pairs(query)), "the query as parameters"));
        attempts.push(wrongly(query.to_vec(), "the query alone"));
    }
    attempts
}

/// The body written in another way, or signed in place of the URL.
fn of_body(facts: &Facts<'_>, base: &Attempt) -> Vec<Attempt> {
    let (url, target, body) = (base.url.bytes(), base.url.target(), facts.case.body);
    if body.is_empty() {
        return Vec::new();
    }
    let form = tail(&pairs(body));
    let hash: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
    let wrongly =
        |text: &[u8], tail: &[u8], detail| base.wrongly(text.to_vec(), tail.to_vec(), detail);
    vec![
        wrongly(&url, body, "the URL and the body as it is"),
        wrongly(body, b"", "the body alone"),
        wrongly(&target, body, "the path and the body as it is"),
        wrongly(&url, hash.as_bytes(), "the URL and the hash of the body"),
        wrongly(&form, b"", "the parameters without the URL"),
        wrongly(&url, &separated(body, "=", "&"), "the parameters with = and & between them"),
        wrongly(&url, &separated(body, "=", ""), "the parameters with = between them"),
        wrongly(&[&url, &b"?"[..]].concat(), body, "the body as a query"),
        wrongly(&url, &form, "the parameters in place of the hash"),
    ]
}

/// Sorted parameters with separators.
fn separated(body: &[u8], equals: &str, and: &str) -> Vec<u8> {
    let mut pairs = pairs(body);
    pairs.sort_unstable();
    let parts = pairs.into_iter().map(|(name, value)| [&name, equals.as_bytes(), &value].concat());
    parts.collect::<Vec<_>>().join(and.as_bytes())
}
