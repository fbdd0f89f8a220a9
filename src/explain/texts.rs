//! Texts that hand-written signers sign in place of Twilio's.

use sha2::{Digest, Sha256};

use super::{
    case::Facts,
    codec::{pairs, replace, tail, unescape},
    search::Attempt,
};

/// Every such text for this URL, the likeliest first.
pub(super) fn all(facts: &Facts<'_>, base: &Attempt) -> Vec<Attempt> {
    let url = &base.url;
    let body = facts.case.body;
    let bare = url.with_query(None);
    let target = url.target();
    let host_first = [url.authority().into_bytes(), target.clone()].concat();
    let decoded = unescape(&replace(&url.bytes(), b"+", b" "), |_| true);
    let form = || tail(&pairs(body));
    let wrongly = |text: Vec<u8>, tail, detail| base.wrongly(text, tail, detail);
    let own = || base.tail.clone();
    let mut attempts = vec![
        wrongly(target.clone(), own(), "the path without scheme and host"),
        wrongly(host_first, own(), "the URL without its scheme"),
        wrongly(decoded, own(), "the URL decoded"),
        wrongly(unescape(&url.bytes(), |_| true), own(), "the URL decoded"),
        wrongly(bare.bytes(), own(), "the URL without its query"),
        wrongly(url.bytes().to_ascii_lowercase(), own(), "the URL in small letters"),
        wrongly([url.bytes(), b"#".to_vec()].concat(), own(), "the URL with a fragment"),
        wrongly(facts.case.head.path().to_vec(), own(), "the path alone"),
    ];
    if let Some(query) = url.query.as_deref() {
        attempts.push(wrongly(bare.bytes(), tail(&pairs(query)), "the query as parameters"));
        let hash_first = replace(query, b"bodySHA256=", b"");
        attempts.push(wrongly(hash_first, Vec::new(), "the query alone"));
    }
    if !body.is_empty() {
        let hash =
            Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        attempts.extend([
            wrongly(url.bytes(), body.to_vec(), "the URL and the body as it is"),
            wrongly(body.to_vec(), Vec::new(), "the body alone"),
            wrongly(target, body.to_vec(), "the path and the body as it is"),
            wrongly(url.bytes(), hash.into_bytes(), "the URL and the hash of the body"),
            wrongly(form(), Vec::new(), "the parameters without the URL"),
            wrongly(
                url.bytes(),
                separated(body, "=", "&"),
                "the parameters with = and & between them",
            ),
            wrongly(url.bytes(), separated(body, "=", ""), "the parameters with = between them"),
            wrongly([url.bytes(), b"?".to_vec()].concat(), body.to_vec(), "the body as a query"),
            wrongly(url.bytes(), form(), "the parameters in place of the hash"),
        ]);
    }
    attempts.retain(|attempt| {
        attempt.text.as_deref() != Some(&url.bytes()) || attempt.tail != base.tail
    });
    attempts
}

/// Sorted parameters with separators.
fn separated(body: &[u8], equals: &str, and: &str) -> Vec<u8> {
    let mut pairs = pairs(body);
    pairs.sort_unstable();
    let parts = pairs.into_iter().map(|(name, value)| [&name, equals.as_bytes(), &value].concat());
    parts.collect::<Vec<_>>().join(and.as_bytes())
}
