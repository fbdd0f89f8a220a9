//! Signs a request that arrives as the call of doctor did, and judges it: as the gate would decide,
//! without sending it to the app.

use super::finding::Finding;
use crate::cli::explain::Sent;
use crate::config::Config;
use crate::downstream::Arrival;
use crate::routes::{Access, Pattern, Route};
use crate::signature::{Key, Origin};

const SIGNED: &str = "signed";

/// Judges a request for the first guarded route with this public URL; `None` without one.
pub(super) fn finding(config: &Config, origin: &Origin, arrival: &Arrival) -> Option<Finding> {
    let (route, key) = of(config, origin).find_map(|route| Some((route, key(route)?)))?;
    let (url, bytes) = request(route, key, origin, arrival);
    let sent = Sent { bytes: &bytes, url: &url, token: None, peer: arrival.peer };
    let shown = url.split('?').next().unwrap_or_default();
    Some(match sent.cause(config) {
        Ok(None) => {
            Finding::ok(SIGNED, format!("a request that Twilio signs for {shown} would pass"))
        }
        Ok(Some(cause)) => {
            let says = format!(
                "a request signed for {shown} would be refused: {}: {}",
                cause.reason, cause.says
            );
            Finding::fail(SIGNED, says, cause.cure)
        }
        Err(error) => Finding::fail(SIGNED, error.to_string(), "see the lines above"),
    })
}

/// The routes with this public URL.
pub(super) fn of<'c>(config: &'c Config, origin: &Origin) -> impl Iterator<Item = &'c Route> {
    let origin = origin.to_string();
    let routes = config.table.routes().iter().map(|route| &**route);
    routes.filter(move |route| route.origins.iter().any(|own| own.to_string() == origin))
}

/// Returns an auth token of the route itself. The tokens of `accounts_file` are not tried.
fn key(route: &Route) -> Option<&Key> {
    let Access::Twilio(keyring) = &route.access else { return None };
    keyring.keys().iter().find(|key| key.id().is_none())
}

fn request(route: &Route, key: &Key, origin: &Origin, arrival: &Arrival) -> (String, Vec<u8>) {
    let path = match &route.path {
        Pattern::Exact(path) => path.to_string(),
        Pattern::Subtree(prefix) => format!("{prefix}doctor"),
    };
    let name = key.account().map_or(("Doctor", "1"), |account| ("AccountSid", account));
    let pair = format!("{}={}", name.0, name.1);
    let (method, target, tail, body) = if route.accepts("GET") {
        ("GET", format!("{path}?{pair}"), String::new(), String::new())
    } else {
        ("POST", path, format!("{}{}", name.0, name.1), pair)
    };
    let url = format!("{origin}{target}");
    let signature = key.sign(url.as_bytes(), tail.as_bytes());
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n", arrival.host);
    for (name, value) in &arrival.forwarded {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if method == "POST" {
        let length = body.len();
        text.push_str(&format!(
            "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n"
        ));
    }
    text.push_str(&format!("X-Twilio-Signature: {signature}\r\n\r\n{body}"));
    (url, text.into_bytes())
}
