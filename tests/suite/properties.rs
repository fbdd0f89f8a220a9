//! Properties of the signature module: signed requests are accepted and all others refused, compared
//! with an independent signer and an independent list of candidates.

use gatekeeper::signature::{
    Algorithm, BodyKind, Key, Keyring, Message, Order, Origin, Parameters, Selector, Signature,
    verify,
};
use proptest::prelude::*;

use crate::support::{
    ORIGIN, TOKEN,
    signer::{self, Mac, Pair, pairs_of, sha256_hex, sign_text, signed_text},
};

/// A generated form POST.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Post {
    origin: String,
    target: String,
    body: Vec<u8>,
}

impl Post {
    /// The text that Twilio signs.
    fn text(&self) -> Vec<u8> {
        signed_text(format!("{}{}", self.origin, self.target).as_bytes(), &pairs_of(&self.body))
    }

    fn signature(&self) -> String {
        sign_text(Mac::Sha1, TOKEN, &self.text())
    }

    fn is_accepted(&self, signature: &str) -> bool {
        is_accepted(BodyKind::Form, &self.origin, &self.target, &self.body, signature)
    }

    /// Every documented candidate for the signed text.
    fn candidates(&self) -> Vec<Vec<u8>> {
        let pairs = pairs_of(&self.body);
        let hash = format!("bodySHA256={}", sha256_hex(&self.body));
        let hashed = self.target.contains(&hash) && !self.body.is_empty();
        let mut texts = Vec::new();
        for origin in origins(&self.origin) {
            for target in targets(&self.target) {
                let url = format!("{origin}{target}").into_bytes();
                texts.push(signed_text(&url, &pairs));
                texts.extend(hashed.then_some(url));
            }
            let url = format!("{origin}{}", self.target).into_bytes();
            texts.push(in_utf16_order(&url, &pairs));
        }
        texts
    }
}

fn is_accepted(shape: BodyKind, origin: &str, target: &str, body: &[u8], signature: &str) -> bool {
    let Ok(signature) = Signature::parse(signature.as_bytes()) else { return false };
    let Ok(message) = Message::bind(shape, target.as_bytes(), body) else { return false };
    let key = Key::new("test", TOKEN.as_bytes(), Algorithm::HmacSha1).unwrap();
    let keyring = Keyring::new(vec![key], None);
    let origin = Origin::parse(origin).unwrap();
    verify(&message, &[&origin], &keyring, Selector::AuthToken, &signature).is_ok()
}

/// The origin with and without its port.
fn origins(origin: &str) -> [String; 2] {
    let authority = origin.split_once("://").map_or("", |(_, authority)| authority);
    let other = match authority.rsplit_once(':') {
        Some((host, _)) => origin.replace(authority, host),
        None if origin.starts_with("https") => format!("{origin}:443"),
        None => format!("{origin}:80"),
    };
    [origin.to_owned(), other]
}

/// The target and its documented spellings, without those that decode differently.
fn targets(target: &str) -> Vec<String> {
    let (path, query) = target.split_once('?').map_or((target, None), |(p, q)| (p, Some(q)));
    let mut all = vec![target.to_owned()];
    if path == "/" {
        all.push(target[1..].to_owned());
    }
    let Some(query) = query else { return all };
    if query.is_empty() {
        all.push(path.to_owned());
        all.extend((path == "/").then(String::new));
    }
    let sip = query.replace("%40", "@").replace("%3A", ":").replace("%3a", ":");
    let respelled = [
        query.replace("%27", "'"),
        query.replace('\'', "%27"),
        sip,
        query.replace('+', "%20"),
        query.replace("%20", "+"),
        encoded(query, "%20", "-_.!~*'()"),
        encoded(query, "+", "-_.*"),
    ];
    let same = respelled
        .into_iter()
        .filter(|other| pairs_of(other.as_bytes()) == pairs_of(query.as_bytes()));
    all.extend(same.map(|query| format!("{path}?{query}")));
    all
}

fn encoded(query: &str, space: &str, kept: &str) -> String {
    let word = |bytes: &[u8]| -> String {
        let one = |byte: &u8| match char::from(*byte) {
            ' ' => space.to_owned(),
            c if c.is_ascii_alphanumeric() || kept.contains(c) => c.to_string(),
            _ => format!("%{byte:02X}"),
        };
        bytes.iter().map(one).collect()
    };
    let pairs = pairs_of(query.as_bytes()).into_iter();
    let words: Vec<_> =
        pairs.map(|(name, value)| format!("{}={}", word(&name), word(&value))).collect();
    words.join("&")
}

/// The other order that libraries sort in. Bytes that are no text are left to the first one.
fn in_utf16_order(url: &[u8], pairs: &[Pair]) -> Vec<u8> {
    let units = |bytes: &[u8]| -> Option<Vec<u16>> {
        std::str::from_utf8(bytes).ok().map(|text| text.encode_utf16().collect())
    };
    let keyed = pairs.iter().map(|pair| Some(((units(&pair.0)?, units(&pair.1)?), pair)));
    let Some(mut keyed) = keyed.collect::<Option<Vec<_>>>() else { return signed_text(url, pairs) };
    keyed.sort();
    keyed.dedup();
    let sorted = keyed.iter().flat_map(|(_, (name, value))| [&name[..], &value[..]]);
    [url].into_iter().chain(sorted).collect::<Vec<_>>().concat()
}

/// Characters and escapes that decoders have handled differently.
fn piece() -> impl Strategy<Value = String> {
    const ODD: &[&str] = &[
        "%27",
        "'",
        "+",
        "%20",
        "%2B",
        "%40",
        "@",
        "%3A",
        "%3a",
        ":",
        "%2527",
        "~",
        "*",
        "/",
        "%",
        "%zz",
        "%C3%BC",
        "%FF",
        "%EF%BD%81",
        "%F0%9F%98%80",
        "%00",
        "(",
        "A",
        "1",
        ".",
        "[",
        "%5B",
    ];
    prop_oneof![3 => "[a-cA-C0-2]", 2 => prop::sample::select(ODD).prop_map(str::to_owned)]
}

fn word() -> impl Strategy<Value = String> {
    prop::collection::vec(piece(), 0..4).prop_map(|pieces| pieces.concat())
}

fn encoded_pairs() -> impl Strategy<Value = String> {
    let pair = prop_oneof![
        6 => (word(), word()).prop_map(|(name, value)| format!("{name}={value}")),
        1 => word(),
    ];
    prop::collection::vec(pair, 0..5).prop_map(|pairs| pairs.join("&"))
}

/// Up to some hundred parameters whose names share a prefix of 0, 8, 16 or more bytes.
fn large_form() -> impl Strategy<Value = Vec<u8>> {
    const BEGINNINGS: &[&str] = &[
        "",
        "",
        "Recordin",
        "ConferenceStatus",
        "%52ecordin",
        "MessagingBinding.AddressMessagingBinding.AddressMessagingBinding.Address",
    ];
    let name = (prop::sample::select(BEGINNINGS), word())
        .prop_map(|(begin, word)| begin.to_owned() + &word)
        .boxed();
    let value = prop_oneof![8 => word(), 1 => "[a-z+]{40,150}", 1 => prop::sample::select(BEGINNINGS).prop_map(str::to_owned)];
    let segment = prop_oneof![
        8 => (name.clone(), value).prop_map(|(name, value)| format!("{name}={value}")),
        1 => name,
    ]
    .boxed();
    let segments = prop_oneof![
        9 => prop::collection::vec(segment.clone(), 0..50),
        1 => prop::collection::vec(segment, 200..400),
    ];
    segments.prop_map(|segments| segments.join("&").into_bytes())
}

fn target() -> impl Strategy<Value = String> {
    let path = prop_oneof!["/", "/[a-c]{1,3}", "/[a-c]{1,2}/", "/[a-c]'%27[a-c]"];
    (path, prop::option::weighted(0.7, encoded_pairs()))
        .prop_map(|(path, query)| query.map_or(path.clone(), |query| format!("{path}?{query}")))
}

fn origin() -> impl Strategy<Value = String> {
    const ALL: &[&str] =
        &[ORIGIN, "http://h.example", "https://h.example:8443", "https://h.example:443"];
    prop::sample::select(ALL).prop_map(str::to_owned)
}

fn post() -> impl Strategy<Value = Post> {
    (origin(), target(), encoded_pairs()).prop_map(|(origin, target, body)| Post {
        origin,
        target,
        body: body.into_bytes(),
    })
}

/// A change to a captured request.
#[derive(Clone, Debug)]
enum Change {
    Body(prop::sample::Index, u8),
    Drop(prop::sample::Index),
    Append(String),
    Swap,
    Target(String),
    Query(String),
    Respell(prop::sample::Index),
    Repeat,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<prop::sample::Index>(), b' '..=b'~').prop_map(|(at, byte)| Change::Body(at, byte)),
        any::<prop::sample::Index>().prop_map(Change::Drop),
        encoded_pairs().prop_map(Change::Append),
        Just(Change::Swap),
        target().prop_map(Change::Target),
        piece().prop_map(Change::Query),
        any::<prop::sample::Index>().prop_map(Change::Respell),
        Just(Change::Repeat),
    ]
}

impl Change {
    fn apply(&self, post: &Post) -> Post {
        let mut changed = post.clone();
        let body = &mut changed.body;
        match self {
            Self::Body(at, byte) if !body.is_empty() => {
                let at = at.index(body.len());
                body[at] = *byte;
            }
            Self::Drop(at) if !body.is_empty() => {
                body.remove(at.index(body.len()));
            }
            Self::Body(..) | Self::Drop(_) => body.extend_from_slice(b"a=1"),
            Self::Append(more) => body.extend_from_slice(format!("&{more}").as_bytes()),
            Self::Swap => {
                let mut segments: Vec<_> = post.body.split(|&byte| byte == b'&').collect();
                segments.reverse();
                *body = segments.join(&b'&');
            }
            Self::Repeat => *body = [&post.body[..], b"&", &post.body].concat(),
            Self::Target(other) => changed.target.clone_from(other),
            Self::Query(piece) => changed.target.push_str(piece),
            Self::Respell(which) => changed.target = which.get(&targets(&post.target)).clone(),
        }
        if !changed.target.starts_with('/') {
            changed.target.insert(0, '/');
        }
        changed
    }
}

/// The same names and values in another order, with other bytes escaped and one pair repeated.
fn spelled_otherwise(body: &[u8], escaped: &[bool]) -> Vec<u8> {
    let mut escaped = escaped.iter().cycle();
    let mut word = |bytes: &[u8]| -> String {
        let one = |&byte: &u8| match escaped.next() {
            Some(false) if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            Some(false) if byte == b' ' => "+".to_owned(),
            _ => format!("%{byte:02x}"),
        };
        bytes.iter().map(one).collect()
    };
    let pairs = pairs_of(body);
    let twice = pairs.iter().rev().chain(pairs.first());
    let segments: Vec<_> =
        twice.map(|(name, value)| format!("{}={}", word(name), word(value))).collect();
    segments.join("&&").into_bytes()
}

fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn signed_requests_are_accepted(post in post()) {
        prop_assert!(post.is_accepted(&post.signature()));
    }

    /// Accepted if and only if the signed text is one of the documented candidates.
    #[test]
    fn changed_requests_are_accepted_only_if_the_signed_text_is_a_documented_candidate(post in post(), change in change()) {
        let changed = change.apply(&post);
        let listed = changed.candidates().contains(&post.text());
        prop_assert_eq!(changed.is_accepted(&post.signature()), listed, "{:?}", changed);
    }

    /// Every accepted spelling decodes to the same names and values.
    #[test]
    fn documented_spellings_are_accepted_and_decode_alike(
        post in post(), which in any::<prop::sample::Index>(),
    ) {
        let candidates = post.candidates();
        let signed = which.get(&candidates);
        prop_assert!(post.is_accepted(&sign_text(Mac::Sha1, TOKEN, signed)));
    }

    #[test]
    fn bodies_that_decode_alike_are_judged_alike(
        post in post(), escaped in prop::collection::vec(any::<bool>(), 1..20),
    ) {
        let other = Post { body: spelled_otherwise(&post.body, &escaped), ..post.clone() };
        prop_assert_eq!(other.text(), post.text());
        prop_assert!(other.is_accepted(&post.signature()), "{:?}", other);
    }

    #[test]
    fn bodies_judged_alike_decode_alike(
        post in post(), other in encoded_pairs(),
    ) {
        let other = Post { body: other.into_bytes(), ..post.clone() };
        let listed = other.candidates().contains(&post.text());
        prop_assert_eq!(other.is_accepted(&post.signature()), listed, "{:?}", other);
    }

    #[test]
    fn altered_signature_is_refused(post in post(), at in 0_usize..28, byte in b'+'..=b'z') {
        let mut other = post.signature().into_bytes();
        other[at] = byte;
        let other = String::from_utf8(other).unwrap();
        prop_assert_eq!(post.is_accepted(&other), other == post.signature());
    }

    #[test]
    fn signature_by_another_token_is_refused(post in post(), token in "[0-9a-f]{31,33}") {
        let signature = sign_text(Mac::Sha1, &token, &post.text());
        prop_assert_eq!(post.is_accepted(&signature), token == TOKEN);
    }

    #[test]
    fn body_hash_covers_only_its_own_body(
        body in prop::collection::vec(any::<u8>(), 0..20), other in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let target = format!("/events?a=1&bodySHA256={}", sha256_hex(&body));
        let url = format!("{ORIGIN}{target}");
        let signature = signer::sign(Mac::Sha1, TOKEN, url.as_bytes(), &[]);
        prop_assert!(is_accepted(BodyKind::Other, ORIGIN, &target, &body, &signature));
        prop_assert_eq!(is_accepted(BodyKind::Other, ORIGIN, &target, &other, &signature), body == other);
    }

    #[test]
    fn body_other_than_a_form_is_refused_when_only_the_url_is_signed(
        target in target(), body in prop::collection::vec(any::<u8>(), 1..20),
    ) {
        let url = format!("{ORIGIN}{target}");
        let signature = signer::sign(Mac::Sha1, TOKEN, url.as_bytes(), &[]);
        for shape in [BodyKind::Other, BodyKind::Opaque, BodyKind::Get, BodyKind::Handshake] {
            prop_assert!(!is_accepted(shape, ORIGIN, &target, &body, &signature));
        }
        prop_assert_eq!(
            is_accepted(BodyKind::Form, ORIGIN, &target, &body, &signature),
            Post { origin: ORIGIN.into(), target, body }.candidates().contains(&url.into_bytes())
        );
    }

    #[test]
    fn handshake_signature_always_covers_the_query(target in target(), other in target()) {
        let url = format!("wss://hooks.example.com{target}");
        let signature = signer::sign(Mac::Sha1, TOKEN, url.as_bytes(), &[]);
        prop_assert!(is_accepted(BodyKind::Handshake, ORIGIN, &target, b"", &signature));
        let accepted = is_accepted(BodyKind::Handshake, ORIGIN, &other, b"", &signature);
        let (path, query) = other.split_once('?').map_or((&*other, None), |(p, q)| (p, Some(q)));
        let toggled = path.strip_suffix('/').map_or_else(|| format!("{path}/"), str::to_owned);
        let mut listed = false;
        for origin in ["wss://hooks.example.com", "wss://hooks.example.com:443"] {
            for path in [path, &toggled] {
                let plain = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
                let with_pairs = query.map(|query| signed_text(format!("{origin}{path}").as_bytes(), &pairs_of(query.as_bytes())));
                listed |= url == format!("{origin}{plain}") || with_pairs.is_some_and(|text| text == url.as_bytes());
            }
        }
        prop_assert_eq!(accepted, listed);
    }

    /// Compares decoding and sorting with a naive implementation on forms of every size.
    #[test]
    fn sorted_form_equals_the_reference_implementation(form in large_form()) {
        let parameters = Parameters::parse(&form);
        let pairs = pairs_of(&form);
        prop_assert_eq!(parameters.is_empty(), pairs.is_empty());
        prop_assert_eq!(parameters.sorted(Order::Bytes), signed_text(b"", &pairs));
        if pairs.iter().all(|(name, value)| [name, value].iter().all(|b| std::str::from_utf8(b).is_ok())) {
            prop_assert_eq!(parameters.sorted(Order::Utf16), in_utf16_order(b"", &pairs));
        }
    }

    /// No input makes the signature module panic.
    #[test]
    fn arbitrary_bytes_never_panic(
        target in prop::collection::vec(any::<u8>(), 0..40),
        body in prop::collection::vec(any::<u8>(), 0..40),
        header in prop::collection::vec(any::<u8>(), 0..50),
        content_type in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let _parsed = Signature::parse(&header);
        let signature = Signature::parse(b"RSOYDt4T1cUTdK1PDd93/VVr8B8=").unwrap();
        let origin = Origin::parse(ORIGIN).unwrap();
        let key = Key::new("test", TOKEN.as_bytes(), Algorithm::HmacSha1).unwrap();
        let keyring = Keyring::new(vec![key], None);
        let by_type = BodyKind::from_head("POST", std::iter::once(&content_type[..]), false);
        for shape in [by_type, BodyKind::Form, BodyKind::Other, BodyKind::Get, BodyKind::Handshake, BodyKind::Opaque] {
            if let Ok(message) = Message::bind(shape, &target, &body) {
                let judged = verify(&message, &[&origin], &keyring, Selector::AuthToken, &signature);
                prop_assert!(judged.is_err());
            }
        }
    }
}
