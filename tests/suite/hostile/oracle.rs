//! Decides from recorded bytes whether the app may receive a request. Uses the tests' own signer
//! and no code of the gate.

use crate::support::{
    ORIGIN, TOKEN, lenient,
    message::FORM,
    signer::{self, Mac, Pair},
    upstream::Recorded,
};

/// Fields that the gate must not forward.
const HOP_BY_HOP: [&str; 9] = [
    "Transfer-Encoding",
    "TE",
    "Trailer",
    "Keep-Alive",
    "Proxy-Connection",
    "Proxy-Authorization",
    "Proxy-Authenticate",
    "HTTP2-Settings",
    "Expect",
];

/// The reason why the app must not receive this request; `None` if it may.
pub(super) fn objection(request: &Recorded) -> Option<String> {
    let line = request.line();
    let proven = is_public(request) || is_signed(request);
    let fields = request.fields();
    let smuggled = fields.iter().map(|(name, _)| name.as_str()).find(|name| {
        name.contains('_') || HOP_BY_HOP.iter().any(|own| own.eq_ignore_ascii_case(name))
    });
    let lengths = request.values("Content-Length");
    let handshake = is_handshake(request);
    if !proven {
        Some(format!("{line:?}, which nobody signed"))
    } else if let Some(name) = smuggled {
        Some(format!("{name} with {line:?}"))
    } else if lengths.len() > 1 || request.values("Host").len() != 1 {
        Some(format!("several lengths or hosts with {line:?}"))
    } else if !handshake && !(request.values("Upgrade").is_empty()) {
        Some(format!("an upgrade with {line:?}"))
    } else {
        None
    }
}

fn target(request: &Recorded) -> String {
    request.line().split(' ').nth(1).unwrap_or_default().to_owned()
}

/// Whether the path is below `/status/` in every way that an app may read it.
fn is_public(request: &Recorded) -> bool {
    let target = target(request);
    let path = target.split('?').next().unwrap_or_default();
    let below = |read: &[u8]| read == b"/status" || read.starts_with(b"/status/");
    let once = lenient::read(path.as_bytes());
    path.starts_with("/status/") && below(&once) && below(&lenient::read(&once))
}

fn is_handshake(request: &Recorded) -> bool {
    matches!(&request.values("Upgrade")[..], [only] if only.eq_ignore_ascii_case("websocket"))
}

fn is_signed(request: &Recorded) -> bool {
    let [signature] = &request.values("X-Twilio-Signature")[..] else { return false };
    let target = target(request);
    let handshake = is_handshake(request);
    let origin = if handshake { ORIGIN.replacen("http", "ws", 1) } else { ORIGIN.to_owned() };
    let post = request.line().starts_with("POST ");
    let is_form = post
        && matches!(&request.values("Content-Type")[..], [only] if only.to_ascii_lowercase().starts_with(FORM));
    let hash = format!("bodysha256={}", signer::sha256_hex(&request.body));
    let hashed = target.to_lowercase().contains(&hash);
    let bare = request.body.is_empty();
    let bound = if handshake { bare && is_get(request) } else { is_form || bare || hashed };
    let mut texts = if handshake { of_handshake(&target) } else { Vec::new() };
    let form = if is_form { signer::pairs_of(&request.body) } else { Vec::new() };
    let spelled = spellings(&target);
    if !is_form || !form.is_empty() {
        texts.extend(spelled.iter().map(|url| (url.clone(), form.clone())));
    }
    if hashed {
        texts.extend(spelled.into_iter().map(|url| (url, Vec::new())));
    }
    // Twilio's products sign a URL with or without its port.
    let mut urls = texts.iter().flat_map(|(url, pairs)| {
        ["", ":443"].map(|port| (format!("{origin}{port}{url}"), pairs.as_slice()))
    });
    bound
        && urls
            .any(|(url, pairs)| signer::sign(Mac::Sha1, TOKEN, url.as_bytes(), pairs) == *signature)
}

fn is_get(request: &Recorded) -> bool {
    request.line().starts_with("GET ")
}

/// The targets and parameters that Twilio may have signed for a handshake: the path with its
/// trailing slash added or removed, and the query in the URL or, as Twilio's servers do it, as
/// parameters appended to the URL.
fn of_handshake(target: &str) -> Vec<(String, Vec<Pair>)> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let toggled = path.strip_suffix('/').map_or_else(|| format!("{path}/"), str::to_owned);
    let whole = target.replacen(path, &toggled, 1);
    let pairs = signer::pairs_of(query.as_bytes());
    vec![(whole, Vec::new()), (path.to_owned(), pairs.clone()), (toggled, pairs)]
}

/// The target and its other spellings in Twilio's products and libraries: without a bare `?`,
/// without a root path, with a query that decodes to the same pairs.
fn spellings(target: &str) -> Vec<String> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let same = signer::pairs_of(query.as_bytes());
    let queries = [
        query.to_owned(),
        query.replace("%27", "'"),
        query.replace('\'', "%27"),
        query.replace("%40", "@").replace("%3A", ":").replace("%3a", ":"),
        query.replace('+', "%20"),
        query.replace("%20", "+"),
        encoded(&same, "%20", "-_.!~*'()"),
        encoded(&same, "+", "-_.*"),
    ];
    let reads_alike = |query: &String| signer::pairs_of(query.as_bytes()) == same;
    let bare = target.strip_suffix('?').unwrap_or(target);
    let mut targets = vec![target.to_owned(), bare.to_owned()];
    if target.contains('?') {
        targets.push(format!("{path}?{}", once(query)));
        let alike = queries.iter().filter(|query| reads_alike(query));
        targets.extend(alike.map(|query| format!("{path}?{query}")));
    }
    let rootless =
        targets.clone().into_iter().filter_map(|t| Some(t.strip_prefix('/')?.to_owned()));
    targets.extend(rootless.filter(|rest| rest.is_empty() || rest.starts_with('?')));
    targets
}

/// The query without repeats of its first `bodySHA256` pair.
fn once(query: &str) -> String {
    let mut segments: Vec<&str> = query.split('&').collect();
    if let Some(first) = segments.iter().position(|segment| segment.starts_with("bodySHA256=")) {
        let (before, from) = segments.split_at(first);
        let after = from[1..].iter().filter(|segment| **segment != from[0]);
        segments = before.iter().chain(&from[..1]).chain(after).copied().collect();
    }
    segments.join("&")
}

fn encoded(pairs: &[Pair], space: &str, kept: &str) -> String {
    let escaped = |bytes: &[u8]| -> String {
        let one = |&byte: &u8| match char::from(byte) {
            ' ' => space.to_owned(),
            c if c.is_ascii_alphanumeric() || kept.contains(c) => c.to_string(),
            _ => format!("%{byte:02X}"),
        };
        bytes.iter().map(one).collect()
    };
    let joined = pairs.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value)));
    joined.collect::<Vec<_>>().join("&")
}
