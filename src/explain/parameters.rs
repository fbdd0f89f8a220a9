//! Hypotheses about the form parameters that follow the URL.

use super::{
    codec::{MAX_NAMES, Pair, pairs, pairs_by, replace, tail, unescape, unsorted_tail},
    facts::Facts,
    label::Label,
    search::Attempt,
};
use crate::http1::FieldName;
use crate::signature::{BodyKind, Order, Parameters};

/// A larger body is read as a form only, and not altered value by value.
const MAX_DETAILED: usize = 16 * 1024;

/// Names that Twilio sends with an empty value, which some frameworks drop.
const OFTEN_EMPTY: [&str; 14] = [
    "ToCity",
    "ToState",
    "ToZip",
    "ToCountry",
    "FromCity",
    "FromState",
    "FromZip",
    "FromCountry",
    "Body",
    "CallerName",
    "CallerCity",
    "CallerState",
    "CallerZip",
    "MediaUrl0",
];

/// Other readings of the body that cost few MACs; they are combined with changes of the URL.
pub(super) fn quick(facts: &Facts<'_>, base: &Attempt) -> Vec<Attempt> {
    let body = facts.case.body;
    let mut attempts = Vec::new();
    if facts.kind != BodyKind::Form && !body.is_empty() {
        attempts.push(base.with_tail(tail(&pairs(body)), form_label(facts)));
        attempts.extend(other_formats(facts, base));
    }
    if !base.tail.is_empty() {
        attempts.push(Attempt::new(base.url.clone(), Vec::new()));
        if body.contains(&b'+') {
            attempts.push(base.with_tail(tail(&plus_kept(body)), Label::PlusNotEscaped));
            attempts.push(base.with_tail(tail(&first_plus_kept(body)), Label::PlusNotEscaped));
        }
    }
    attempts
}

/// The mistake of a form that arrived under another type, method or coding.
fn form_label(facts: &Facts<'_>) -> Label {
    if facts.kind == BodyKind::Get {
        Label::Method
    } else if facts.case.head.fields.contains(FieldName::ContentEncoding) {
        Label::BodyReencoded
    } else {
        Label::ContentTypeChanged
    }
}

/// A form that was turned into JSON or multipart on the way.
fn other_formats(facts: &Facts<'_>, base: &Attempt) -> Vec<Attempt> {
    let body = facts.case.body;
    let found = [json_pairs(body), multipart_pairs(body)].into_iter().flatten();
    found.map(|pairs| base.with_tail(tail(&pairs), Label::BodyReencoded)).collect()
}

fn json_pairs(body: &[u8]) -> Option<Vec<Pair>> {
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(body).ok()?;
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Null => String::new(),
        other => other.to_string(),
    };
    Some(object.iter().map(|(name, value)| (name.clone().into(), text(value).into())).collect())
}

/// RFC 7578: the parts between the boundaries, each with its name.
fn multipart_pairs(body: &[u8]) -> Option<Vec<Pair>> {
    let text = std::str::from_utf8(body).ok().filter(|text| text.starts_with("--"))?;
    let boundary = text.lines().next()?;
    let parts = text.split(boundary).filter_map(|part| {
        let (head, value) = part.split_once("\r\n\r\n")?;
        let name = head.split("name=\"").nth(1)?.split('"').next()?;
        Some((name.into(), value.strip_suffix("\r\n").unwrap_or(value).into()))
    });
    Some(parts.take(MAX_NAMES).collect())
}

/// Reads a `+` as a plus.
pub(super) fn plus_kept(body: &[u8]) -> Vec<Pair> {
    pairs_by(body, |raw| unescape(raw, |_| true))
}

/// Reads a `+` as a plus where a number may begin with it, and as a blank elsewhere.
fn first_plus_kept(body: &[u8]) -> Vec<Pair> {
    let mut form = pairs(body);
    for (_, value) in &mut form {
        if let Some(rest) = value.strip_prefix(b" ") {
            *value = [b"+", rest].concat();
        }
    }
    form
}

/// Calls `each` with every other reading, the likeliest first, until it returns `true`.
pub(super) fn all(
    facts: &Facts<'_>,
    base: &Attempt,
    each: &mut dyn FnMut(Attempt) -> bool,
) -> bool {
    if merged_query(facts, base).into_iter().any(&mut *each) {
        return true;
    }
    let body = facts.case.body;
    if facts.kind != BodyKind::Form || body.is_empty() {
        return false;
    }
    whole(body, base).into_iter().any(&mut *each)
        || (body.len() <= MAX_DETAILED && one_by_one(&pairs(body), base, each))
}

/// The query signed as parameters.
fn merged_query(facts: &Facts<'_>, base: &Attempt) -> Vec<Attempt> {
    let Some(query) = base.url.query.as_deref().filter(|query| !query.is_empty()) else {
        return Vec::new();
    };
    let of_query = pairs(query);
    let mut all = of_query.clone();
    all.extend(if facts.kind == BodyKind::Form { pairs(facts.case.body) } else { Vec::new() });
    let bare = base.url.with_query(None);
    if facts.kind != BodyKind::Get {
        let merged =
            |url| Attempt::new(url, Vec::new()).with_tail(tail(&all), Label::QueryAsParameters);
        return vec![merged(bare), merged(base.url.clone())];
    }
    let detail = "the query once more as parameters";
    vec![
        base.wrongly(base.url.bytes(), tail(&of_query), detail),
        base.wrongly(bare.bytes(), tail(&of_query), "the query as parameters"),
        base.wrongly(bare.bytes(), unsorted_tail(&of_query), "the query as parameters"),
        base.wrongly(base.url.bytes(), unsorted_tail(&of_query), detail),
    ]
}

/// The whole body read in another way.
fn whole(body: &[u8], base: &Attempt) -> Vec<Attempt> {
    let form = pairs(body);
    let mapped = |change: &dyn Fn(&[u8]) -> Vec<u8>| {
        let pairs: Vec<Pair> =
            form.iter().map(|(name, value)| (name.clone(), change(value))).collect();
        tail(&pairs)
    };
    let altered = |tail| base.with_tail(tail, Label::BodyAltered);
    let reencoded = |tail| base.with_tail(tail, Label::BodyReencoded);
    let url = || base.url.bytes();
    let wrongly = |tail, detail| base.wrongly(url(), tail, detail);
    let filled: Vec<Pair> = form.iter().filter(|(_, value)| !value.is_empty()).cloned().collect();
    vec![
        base.with_tail(tail(&plus_kept(body)), Label::PlusNotEscaped),
        wrongly(unsorted_tail(&form), "the parameters unsorted"),
        wrongly(case_blind_tail(&form), "the parameters sorted without regard to case"),
        wrongly(repeats_kept(&form), "repeated parameters more than once"),
        wrongly(last_of_each(&form), "only one of repeated parameters"),
        wrongly(tail(&filled), "the parameters without the empty ones"),
        wrongly(mapped(&|value| value.trim_ascii().to_vec()), "the parameters without blanks"),
        wrongly(mapped(&lossy), "the parameters read as another charset"),
        wrongly(Parameters::parse(body).sorted(Order::Utf16), "the parameters in another order"),
        wrongly(tail(&pairs_by(body, <[u8]>::to_vec)), "the parameters not decoded"),
        altered(mapped(&|value| replace(value, b"\r\n", b"\n"))),
        altered(mapped(&|value| replace(&replace(value, b"\r\n", b"\n"), b"\n", b"\r\n"))),
        altered(mapped(&|value| unescaped_html(value))),
        altered(mapped(&escaped_html)),
        reencoded(tail(&pairs_by(body, twice_decoded))),
        reencoded(mapped(&from_latin1)),
        reencoded(mapped(&to_latin1)),
        reencoded(mapped(&from_windows1252)),
        base.with_tail(with_end(&form, b"\n"), Label::BodyTrimmed),
        base.with_tail(with_end(&form, b"\r\n"), Label::BodyTrimmed),
        base.with_tail(without_end(&form), Label::BodyTrimmed),
        altered(tail(&[form.clone(), often_empty(&form)].concat())),
        altered(with_empty(&form, &["To"])),
        altered(with_empty(&form, &["From"])),
        altered(with_empty(&form, &["To", "From"])),
        altered(with_empty(&form, &["Called", "To", "Caller", "From"])),
        altered(mapped(&|value| [b" ", value].concat())),
    ]
}

/// One parameter changed, added or left out.
fn one_by_one(form: &[Pair], base: &Attempt, each: &mut dyn FnMut(Attempt) -> bool) -> bool {
    if form.len() > MAX_NAMES {
        return false;
    }
    for empty in often_empty(form) {
        let changed = [form, &[empty]].concat();
        if each(base.with_tail(tail(&changed), Label::BodyAltered)) {
            return true;
        }
    }
    for (index, (name, value)) in form.iter().enumerate() {
        let mut without = form.to_vec();
        without.remove(index);
        if each(base.with_tail(tail(&without), Label::BodyAltered)) {
            return true;
        }
        for changed in changed_values(value) {
            let with = [&without[..], &[(name.clone(), changed)]].concat();
            if each(base.with_tail(tail(&with), Label::BodyAltered)) {
                return true;
            }
        }
    }
    false
}

/// Returns the values that trimming, a filter or a parser may have turned into this one.
fn changed_values(value: &[u8]) -> Vec<Vec<u8>> {
    let padded = |before: &[u8], after: &[u8]| [before, value, after].concat();
    let mut values = vec![
        padded(b" ", b""),
        padded(b"", b" "),
        padded(b" ", b" "),
        padded(b"", b"\n"),
        padded(b"\n", b""),
        padded(b"", b"\r\n"),
        padded(b"  ", b""),
        padded(b"", b"  "),
        padded(b"  ", b"  "),
        padded(b"\t", b""),
        padded(b"", b"\t"),
        padded(b"", "\u{a0}".as_bytes()),
        padded(b"\xef\xbb\xbf", b""),
        padded(b"+", b""),
        value.to_ascii_lowercase(),
        value.to_ascii_uppercase(),
        capitalised(value),
    ];
    values.retain(|other| other != value);
    values
}

fn capitalised(value: &[u8]) -> Vec<u8> {
    match value.split_first() {
        Some((first, rest)) => [&[first.to_ascii_uppercase()], rest].concat(),
        None => Vec::new(),
    }
}

fn often_empty(form: &[Pair]) -> Vec<Pair> {
    let known = |name: &str| form.iter().any(|(own, _)| own == name.as_bytes());
    let missing = OFTEN_EMPTY.into_iter().filter(|name| !known(name));
    missing.map(|name| (name.into(), Vec::new())).collect()
}

/// The form with the empty places of these parties, as Twilio sends them.
fn with_empty(form: &[Pair], parties: &[&str]) -> Vec<u8> {
    let mut filled = form.to_vec();
    for party in parties {
        for part in ["City", "State", "Zip"] {
            let name = format!("{party}{part}").into_bytes();
            if form.iter().all(|(own, _)| *own != name) {
                filled.push((name, Vec::new()));
            }
        }
    }
    tail(&filled)
}

fn with_end(form: &[Pair], end: &[u8]) -> Vec<u8> {
    let mut changed = form.to_vec();
    if let Some((_, value)) = changed.last_mut() {
        value.extend_from_slice(end);
    }
    tail(&changed)
}

fn without_end(form: &[Pair]) -> Vec<u8> {
    let mut changed = form.to_vec();
    if let Some((_, value)) = changed.last_mut() {
        *value = value.trim_ascii_end().to_vec();
    }
    tail(&changed)
}

fn case_blind_tail(form: &[Pair]) -> Vec<u8> {
    let mut sorted: Vec<&Pair> = form.iter().collect();
    sorted.sort_by_key(|(name, _)| name.to_ascii_lowercase());
    unsorted_tail(sorted)
}

fn repeats_kept(form: &[Pair]) -> Vec<u8> {
    let mut sorted: Vec<&Pair> = form.iter().collect();
    sorted.sort_by_key(|(name, _)| name);
    unsorted_tail(sorted)
}

fn last_of_each(form: &[Pair]) -> Vec<u8> {
    let last: std::collections::BTreeMap<_, _> = form.iter().cloned().collect();
    last.into_iter().flat_map(|(name, value)| [name, value]).flatten().collect()
}

fn twice_decoded(raw: &[u8]) -> Vec<u8> {
    let once = unescape(&replace(raw, b"+", b" "), |_| true);
    unescape(&replace(&once, b"+", b" "), |_| true)
}

fn lossy(value: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(value).into_owned().into_bytes()
}

/// UTF-8 that was read as Latin-1 and written as UTF-8 again, undone.
fn from_latin1(value: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(value);
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect()
}

/// Latin-1 bytes as UTF-8.
fn to_latin1(value: &[u8]) -> Vec<u8> {
    value.iter().map(|&byte| char::from(byte)).collect::<String>().into_bytes()
}

/// The usual typographic characters of Windows-1252, read as UTF-8.
fn from_windows1252(value: &[u8]) -> Vec<u8> {
    let known = [(0x91, '‘'), (0x92, '’'), (0x93, '“'), (0x94, '”'), (0x96, '–'), (0x80, '€')];
    let of =
        |byte: u8| known.iter().find(|(own, _)| *own == byte).map_or(char::from(byte), |k| k.1);
    value.iter().map(|&byte| of(byte)).collect::<String>().into_bytes()
}

const ENTITIES: [(&[u8], &[u8]); 6] = [
    (b"&lt;", b"<"),
    (b"&gt;", b">"),
    (b"&quot;", b"\""),
    (b"&#39;", b"'"),
    (b"&#039;", b"'"),
    (b"&amp;", b"&"),
];

fn unescaped_html(value: &[u8]) -> Vec<u8> {
    ENTITIES.iter().fold(value.to_vec(), |text, (entity, plain)| replace(&text, entity, plain))
}

fn escaped_html(value: &[u8]) -> Vec<u8> {
    let mut text = value.to_vec();
    for (entity, plain) in ENTITIES.iter().rev().filter(|(entity, _)| *entity != b"&#39;") {
        text = replace(&text, plain, entity);
    }
    text
}
