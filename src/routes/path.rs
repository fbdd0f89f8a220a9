//! Detection of paths that apps and proxies read differently.

/// Whether some app or proxy may take this path for another one: dot segments, empty segments,
/// `\`, `;`, a bad escape, or an escaped byte with a meaning in paths.
///
/// A subtree refuses these, so that `/status/../voice` is not admitted as part of `/status/*`.
pub(super) fn is_unsafe(path: &[u8]) -> bool {
    let mut segments = path.split(|&byte| byte == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        if (segment.is_empty() && !last) || matches!(segment, b"." | b"..") {
            return true;
        }
    }
    let mut rest = path;
    loop {
        rest = match rest {
            [] => return false,
            [b'%', high, low, rest @ ..] => match escaped(*high, *low) {
                Some(byte) if !is_structural(byte) => rest,
                _ => return true,
            },
            [b'\\' | b';' | b'%', ..] => return true,
            [_, rest @ ..] => rest,
        }
    }
}

/// Whether an unescaped byte can end or leave a path segment in some app: delimiters; controls, since
/// Python's `$` matches before a line feed and C stops at NUL; and the lead bytes of
/// overlong UTF-8, which old decoders read as ASCII.
const fn is_structural(byte: u8) -> bool {
    byte.is_ascii_control()
        || matches!(byte, b'.' | b'/' | b'\\' | b'%' | b';' | b'?' | b'#' | 0xC0 | 0xC1)
}

/// The loosest reading that a web framework gives a path: unescaped, without regard to case
/// (Express), without trailing slashes (Express, Flask's redirects).
pub(super) fn folded(path: &[u8]) -> Vec<u8> {
    let mut folded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [first, tail @ ..] = rest {
        let (byte, tail) = match rest {
            [b'%', high, low, after @ ..] => {
                escaped(*high, *low).map_or((b'%', tail), |b| (b, after))
            }
            _ => (*first, tail),
        };
        folded.push(byte.to_ascii_lowercase());
        rest = tail;
    }
    while folded.last() == Some(&b'/') {
        folded.pop();
    }
    folded
}

/// Whether a folded path is this folded one or lies below it.
pub(super) fn lies_below(path: &[u8], above: &[u8]) -> bool {
    path.strip_prefix(above).is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
}

fn escaped(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ambiguous_paths_are_unsafe() {
        for path in [
            "/a/../b",
            "/..",
            "/.",
            "/a/.",
            "/a/./b",
            "//a",
            "/a//b",
            "/a\\b",
            "/a;x=1",
            "/a%2e%2E/b",
            "/a%2fb",
            "/a%5Cb",
            "/a%00",
            "/a%0A",
            "/a%7f",
            "/a%3Bb",
            "/a%3fb",
            "/a%23",
            "/a/%c0%ae",
            "/a%252e",
            "/a%",
            "/a%4",
            "/a%zz",
            "/%2e",
        ] {
            assert!(is_unsafe(path.as_bytes()), "{path}");
        }
        for path in
            ["/", "/a", "/a/", "/a/b.c", "/...", "/a%20b", "/M%C3%BCnchen", "/.well-known/x"]
        {
            assert!(!is_unsafe(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn folding_unescapes_lowercases_and_drops_trailing_slashes() {
        assert_eq!(folded(b"/%76oIce//"), b"/voice");
        assert_eq!(folded(b"/a%zz"), b"/a%zz");
        assert_eq!(folded(b"/"), b"");
    }
}
