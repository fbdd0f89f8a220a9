//! Constants and parsing of heads.

use std::time::Duration;

/// The auth token that tests sign with.
pub(crate) const TOKEN: &str = "7d3c9f1e5a2b48060c1d9e8f7a6b5c40";
/// The origin of the URL that is configured at Twilio.
pub(crate) const ORIGIN: &str = "https://hooks.example.com";
/// The host of [`ORIGIN`].
pub(crate) const HOST: &str = "hooks.example.com";
/// Limit for every wait in a test.
pub(crate) const TEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Where `needle` begins in `hay`.
pub(crate) fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len()).position(|window| window == needle)
}

/// Decodes ISO 8859-1: one character for each byte, so that comparisons lose nothing.
pub(crate) fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// The fields of a message head, with the case of their names kept.
pub(crate) fn fields_of(head: &[u8]) -> Vec<(String, String)> {
    let lines = latin1(head);
    let fields = lines.trim_end_matches("\r\n").split("\r\n").skip(1);
    fields
        .map(|line| {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            (name.to_owned(), value.trim_matches([' ', '\t']).to_owned())
        })
        .collect()
}

/// The values of one field; the case of its name is ignored.
pub(crate) fn values<'f>(fields: &'f [(String, String)], name: &str) -> Vec<&'f str> {
    let same = fields.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
    same.map(|(_, value)| value.as_str()).collect()
}
