//! Whether the app may have been told this: decided from the recorded bytes by the tests' own
//! signer, with no code of the gate.

use crate::support::{
    ORIGIN, TOKEN, lenient,
    message::FORM,
    signer::{self, Mac},
    upstream::Recorded,
};

/// Fields that end at the gate.
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

/// Why the app should never have seen this request.
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

/// Below `/status/`, however an app may read the path.
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
    let hashed = target.contains(&format!("bodySHA256={}", signer::sha256_hex(&request.body)))
        || target
            .to_lowercase()
            .contains(&format!("bodysha256={}", signer::sha256_hex(&request.body)));
    let pairs = if is_form { signer::pairs_of(&request.body) } else { Vec::new() };
    let bound = is_form || request.body.is_empty() || hashed;
    // Twilio's back ends do not agree on the port of https, and its libraries drop a bare `?`.
    let bare = target.strip_suffix('?').unwrap_or(&target);
    let urls =
        ["", ":443"].iter().flat_map(|port| [&target, bare].map(|t| format!("{origin}{port}{t}")));
    let mut texts = urls.flat_map(|url| [(url.clone(), &pairs[..]), (url, &[])]);
    let may_leave_out = |pairs: &[signer::Pair]| !pairs.is_empty() || hashed || !is_form;
    bound
        && texts.any(|(url, pairs)| {
            let signed = signer::sign(Mac::Sha1, TOKEN, url.as_bytes(), pairs);
            may_leave_out(pairs) && signed == *signature
        })
}
