//! The `Date` of the gate's own responses (RFC 9110 §6.6.1).

use std::{
    cell::Cell,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// An IMF-fixdate: `Sun, 06 Nov 1994 08:49:37 GMT`.
type ImfFixdate = [u8; 29];

thread_local! {
    /// The last second and its text. Most responses fall into the same second as the one before;
    /// formatting costs more than anything else in a refusal's head.
    static LATEST: Cell<(u64, ImfFixdate)> = const { Cell::new((u64::MAX, [0; 29])) };
}

/// Returns the current time.
pub(super) fn date() -> ImfFixdate {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (mut second, mut text) = LATEST.get();
    if second != now {
        (second, text) = (now, format(now));
        LATEST.set((second, text));
    }
    text
}

fn format(second: u64) -> ImfFixdate {
    /// The last second that the format can show, and httpdate too.
    const MAX: u64 = 253_402_300_799;
    let time = UNIX_EPOCH.checked_add(Duration::from_secs(second.min(MAX)));
    let text = httpdate::fmt_http_date(time.unwrap_or(UNIX_EPOCH));
    text.as_bytes().first_chunk().copied().unwrap_or([b' '; 29])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_formatted_as_imf_fixdate() {
        assert_eq!(&format(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(&format(u64::MAX), b"Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn the_date_is_now() {
        let parse = |text: &[u8]| httpdate::parse_http_date(std::str::from_utf8(text).unwrap());
        let age = SystemTime::now().duration_since(parse(&date()).unwrap()).unwrap();
        assert!(age < Duration::from_secs(5), "{age:?}");
        assert_eq!(date().len(), 29);
    }
}
