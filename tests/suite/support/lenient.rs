//! Resolves a path as the most lenient app would.

/// Decodes, lowercases, cuts segments at `;`, at path delimiters and at control characters, and
/// removes dot segments and empty ones.
pub(crate) fn read(path: &[u8]) -> Vec<u8> {
    let decoded = decoded(path);
    let ended = |byte: &u8| byte.is_ascii_control() || matches!(byte, b'?' | b'#');
    let until_end = decoded.split(ended).next().unwrap_or_default();
    let mut segments: Vec<Vec<u8>> = Vec::new();
    for segment in until_end.split(|&byte| byte == b'/' || byte == b'\\') {
        match segment.split(|&byte| byte == b';').next().unwrap_or_default() {
            b"" | b"." => {}
            b".." => {
                segments.pop();
            }
            segment => segments.push(segment.to_ascii_lowercase()),
        }
    }
    let mut read = Vec::new();
    for segment in segments {
        read.push(b'/');
        read.extend(segment);
    }
    read
}

fn decoded(path: &[u8]) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|&byte| char::from(byte).to_digit(16));
    let mut bytes = Vec::new();
    let mut at = 0;
    while at < path.len() {
        match (path[at], digit(path.get(at + 1)), digit(path.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
                at += 3;
            }
            (byte, ..) => {
                bytes.push(byte);
                at += 1;
            }
        }
    }
    bytes
}
