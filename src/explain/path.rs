//! Hypotheses about the path.

use super::{
    codec::{escape, hex_case, is_unreserved, replace, unescape},
    facts::Facts,
};
use crate::routes::Pattern;

/// Prefixes that gateways and load balancers strip or add.
const COMMON_PREFIXES: [&str; 38] = [
    "/api",
    "/prod",
    "/dev",
    "/stage",
    "/staging",
    "/test",
    "/v1",
    "/v2",
    "/webhooks",
    "/webhook",
    "/hooks",
    "/hook",
    "/twilio",
    "/svc",
    "/app",
    "/default",
    "/production",
    "/public",
    "/gateway",
    "/service",
    "/services",
    "/backend",
    "/live",
    "/api/v1",
    "/api/v2",
    "/prod/api",
    "/dev/api",
    "/api/twilio",
    "/api/webhooks",
    "/webhooks/twilio",
    "/callbacks",
    "/sms",
    "/voice",
    "/bot",
    "/server",
    "/proxy",
    "/beta",
    "/qa",
];
/// Fields in which proxies keep a removed prefix.
const PREFIX_FIELDS: [&str; 3] = ["X-Forwarded-Prefix", "X-Script-Name", "X-Forwarded-Path-Prefix"];
/// Fields in which proxies keep the original target.
const TARGET_FIELDS: [&str; 6] = [
    "X-Original-URI",
    "X-Original-URL",
    "X-Rewrite-URL",
    "X-Forwarded-Uri",
    "X-Envoy-Original-Path",
    "X-Forwarded-Path",
];
/// Most segments of a path that are taken away.
const MAX_SEGMENTS: usize = 8;
/// Most paths of other routes that are tried.
const MAX_ROUTES: usize = 64;

/// Every other path, the likeliest first. The origin's prefix is part of `path`.
pub(super) fn all(facts: &Facts<'_>) -> Vec<Vec<u8>> {
    let mut paths = likely(facts);
    let path = &facts.expected.path;
    let received = facts.case.head.path();
    paths.extend(COMMON_PREFIXES.iter().map(|prefix| [prefix.as_bytes(), received].concat()));
    paths.extend(route_paths(facts));
    for route in route_paths(facts) {
        paths.push([trimmed(&route), received].concat());
    }
    paths.extend(spellings(path));
    distinct(paths, path)
}

/// The changes that are worth a combination with another one.
pub(super) fn likely(facts: &Facts<'_>) -> Vec<Vec<u8>> {
    let path = &facts.expected.path;
    let received = facts.case.head.path();
    let mut paths = vec![toggled(path), received.to_vec(), toggled(received)];
    for name in PREFIX_FIELDS {
        if let Some(prefix) = facts.field(name) {
            paths.push([trimmed(prefix.as_bytes()), received].concat());
        }
    }
    for name in TARGET_FIELDS {
        if let Some(target) = facts.field(name) {
            paths.push(target.split('?').next().unwrap_or_default().as_bytes().to_vec());
        }
    }
    paths.extend(without_segments(path));
    paths.push(replace(path, b"%25", b"%"));
    paths.extend(["/api", "/prod", "/twilio"].map(|p| [p.as_bytes(), received].concat()));
    distinct(paths, path)
}

/// The target that a proxy kept in a field of its own, query included.
pub(super) fn original_targets(facts: &Facts<'_>) -> Vec<Vec<u8>> {
    let targets = TARGET_FIELDS.into_iter().filter_map(|name| facts.field(name));
    targets
        .filter(|target| target.starts_with('/'))
        .map(|target| target.as_bytes().to_vec())
        .collect()
}

fn trimmed(path: &[u8]) -> &[u8] {
    path.strip_suffix(b"/").unwrap_or(path)
}

pub(super) fn toggled(path: &[u8]) -> Vec<u8> {
    path.strip_suffix(b"/").map_or_else(|| [path, b"/"].concat(), <[u8]>::to_vec)
}

/// The path without its first segments, and without its last ones, down to the root.
fn without_segments(path: &[u8]) -> Vec<Vec<u8>> {
    let starts: Vec<usize> =
        path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at).collect();
    let mut paths = vec![b"/".to_vec(), Vec::new()];
    for &at in starts.iter().skip(1).take(MAX_SEGMENTS) {
        paths.push(path.get(at..).unwrap_or_default().to_vec());
    }
    for &at in starts.iter().skip(1).rev().take(MAX_SEGMENTS) {
        paths.push(path.get(..at).unwrap_or_default().to_vec());
    }
    paths
}

fn route_paths(facts: &Facts<'_>) -> Vec<Vec<u8>> {
    let routes = facts.case.table.routes().iter().take(MAX_ROUTES);
    routes
        .map(|route| match &route.path {
            Pattern::Exact(path) | Pattern::Subtree(path) => path.as_bytes().to_vec(),
        })
        .filter(|path| path != b"/")
        .collect()
}

/// The path escaped, unescaped and normalised in the usual ways, and back.
fn spellings(path: &[u8]) -> Vec<Vec<u8>> {
    let reserved = |byte: u8| !is_unreserved(byte) && byte != b'/' && byte != b'%';
    let mut paths = vec![
        hex_case(path, true),
        hex_case(path, false),
        replace(path, b"%", b"%25"),
        unescape(path, |_| true),
        unescape(path, is_unreserved),
        escape(path, reserved),
        hex_case(&escape(path, reserved), false),
        merged_slashes(path),
        replace(path, b"+", b"%20"),
        replace(path, b"%20", b"+"),
        path.to_ascii_lowercase(),
        replace(path, b"%2F", b"/"),
        replace(path, b"//", b"/"),
    ];
    paths.extend(one_escaped(path));
    paths.extend(doubled_slashes(path));
    paths
}

/// Each character of these escaped or unescaped on its own: which ones a proxy touches differs.
fn one_escaped(path: &[u8]) -> Vec<Vec<u8>> {
    let mut paths = Vec::new();
    for byte in *b"~-._!$&'()*+,;=:@|[]{}^\"<>\\` /" {
        let (upper, lower) = (format!("%{byte:02X}"), format!("%{byte:02x}"));
        paths.push(replace(path, &[byte], upper.as_bytes()));
        paths.push(replace(path, &[byte], lower.as_bytes()));
        paths.push(replace(&replace(path, upper.as_bytes(), &[byte]), lower.as_bytes(), &[byte]));
    }
    paths
}

/// A slash doubled or escaped, or a `.` segment put in, at each place.
fn doubled_slashes(path: &[u8]) -> Vec<Vec<u8>> {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    let mut paths = Vec::new();
    for at in slashes.take(MAX_SEGMENTS) {
        let Some((before, after)) = path.split_at_checked(at) else { continue };
        paths.push([before, b"/", after].concat());
        paths.push([before, b"/.", after].concat());
        if at > 0 {
            paths.push([before, b"%2F", after.get(1..).unwrap_or_default()].concat());
        }
    }
    paths
}

pub(super) fn merged_slashes(path: &[u8]) -> Vec<u8> {
    let mut merged = Vec::with_capacity(path.len());
    for &byte in path {
        if byte != b'/' || merged.last() != Some(&b'/') {
            merged.push(byte);
        }
    }
    merged
}

/// RFC 3986 §5.2.4.
pub(super) fn without_dot_segments(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut segments = path.split(|&byte| byte == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            b"." => {}
            b".." => {
                kept.pop();
            }
            other => kept.push(other),
        }
        if last && matches!(segment, b"." | b"..") {
            kept.push(b"");
        }
    }
    [b"/", &kept.join(&b'/')[..]].concat()
}

fn distinct(paths: Vec<Vec<u8>>, known: &[u8]) -> Vec<Vec<u8>> {
    let mut distinct: Vec<Vec<u8>> = Vec::with_capacity(paths.len());
    for path in paths {
        if path != known && !distinct.contains(&path) {
            distinct.push(path);
        }
    }
    distinct
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_taken_away_and_dots_removed() {
        let paths = without_segments(b"/a/b/c");
        for path in [&b"/"[..], b"", b"/b/c", b"/c", b"/a/b", b"/a"] {
            assert!(paths.contains(&path.to_vec()), "{path:?}");
        }
        assert_eq!(without_dot_segments(b"/foo/./../baz"), b"/baz");
        assert_eq!(without_dot_segments(b"/a/b/.."), b"/a/");
    }
}
