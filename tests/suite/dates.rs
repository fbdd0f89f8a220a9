//! The gate's own responses have one valid `Date` each (RFC 9110 section 6.6.1).

use std::{
    net::TcpListener,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::support::{
    ORIGIN, TOKEN,
    client::Response,
    gate::Gate,
    message::Message,
    upstream::{Answer, Then, Upstream},
};

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Seconds since 1970 of an IMF-fixdate, the weekday checked; independent of the gate's library.
fn seconds(date: &str) -> Option<u64> {
    let parts: Vec<_> = date.split(' ').collect();
    let [weekday, day, month, year, time, "GMT"] = parts[..] else { return None };
    let number = |text: &str, length: usize| {
        let is_number = text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse::<u64>().unwrap())
    };
    let (day, year) = (number(day, 2)?, number(year, 4)?);
    let month = MONTHS.iter().position(|name| *name == month)?;
    let clock: Vec<_> = time.split(':').map(|text| number(text, 2)).collect::<Option<_>>()?;
    let [hours, minutes, secs] = clock[..] else { return None };
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut days: u64 = (1970..year).map(|year| 365 + u64::from(is_leap(year))).sum();
    let lengths = [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    days += lengths[..month].iter().sum::<u64>() + day - 1;
    let is_valid = DAYS[usize::try_from(days % 7).unwrap()] == weekday.strip_suffix(',')?
        && (1..=lengths[month]).contains(&day)
        && hours < 24
        && minutes < 60
        && secs < 60;
    is_valid.then_some(days * 86_400 + hours * 3600 + minutes * 60 + secs)
}

fn assert_dated(response: &Response, status: u16, what: &str) {
    assert_eq!(response.status, status, "{what}: {response:?}");
    let dates = response.values("Date");
    let [date] = dates[..] else { panic!("{what}: dates {dates:?} in {response:?}") };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let age = seconds(date).map(|date| now.abs_diff(date));
    assert!(age.is_some_and(|age| age < 10), "{what}: {date:?}");
}

#[test]
fn parser_of_dates_accepts_imf_fixdate_only() {
    assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
    assert_eq!(seconds("Thu, 29 Feb 2024 00:00:00 GMT"), Some(1_709_164_800));
    for wrong in [
        "Mon, 06 Nov 1994 08:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "",
    ] {
        assert_eq!(seconds(wrong), None, "{wrong}");
    }
}

#[test]
fn refusals_have_one_valid_date() {
    let upstream = Upstream::start();
    let gate = Gate::with(
        &upstream,
        "[limits]\nmax_body_bytes = 10\nbody_timeout = \"300ms\"\n[[route]]\npath = \"/voice\"\n\
         methods = [\"GET\", \"POST\", \"HEAD\"]\n",
    );
    let long = "x".repeat(40_000);
    let slow = Message::form("/voice", "a=1").signed().head();
    let mut forged = Message::form("/voice", "a=1").signed();
    forged.body = Some(b"a=2".to_vec());
    for (bytes, status, what) in [
        (Message::get("/voice").bytes(), 418, "unsigned"),
        (Message::get("/elsewhere").signed().bytes(), 403, "unknown route"),
        (forged.bytes(), 403, "forged"),
        (Message::form("/voice", "a=12345678901").signed().bytes(), 413, "large body"),
        (slow, 408, "slow body"),
        (b"GET /voice HTTP/1.0\r\nHost: hooks.example.com\r\n\r\n".to_vec(), 418, "HTTP/1.0"),
        (b"nonsense\r\n\r\n".to_vec(), 400, "no head"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_vec(), 400, "two hosts"),
        (Message::get(&format!("/{long}")).bytes(), 414, "long target"),
        (Message::get("/voice").field("X-Long", &long).bytes(), 431, "large head"),
    ] {
        let mut client = gate.connect();
        client.send(&bytes);
        assert_dated(&client.response(), status, what);
    }
    let mut client = gate.connect();
    client.send(&Message::new("HEAD", "/voice").bytes());
    assert_dated(&client.try_head().unwrap(), 418, "HEAD");
}

#[test]
fn failures_have_one_valid_date() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gate = Gate::start(&format!(
        "public_url = \"{ORIGIN}\"\nupstream = \"http://{nobody}\"\nauth_tokens = [\"{TOKEN}\"]\n\
         [limits]\nconnect_retry = \"50ms\""
    ));
    assert_dated(&gate.answer(&Message::get("/voice").signed()), 502, "unreachable");
    let upstream = Upstream::answering(Answer::nothing().then(Then::Hold));
    let gate = Gate::with(&upstream, "[limits]\nresponse_timeout = \"1s\"\nmax_in_flight = 1");
    let mut first = gate.connect();
    first.send(&Message::get("/voice").signed().bytes());
    upstream.wait_for(1);
    assert_dated(&gate.answer(&Message::get("/voice").signed()), 503, "overloaded");
    assert_dated(&first.response(), 504, "silent");
}

#[test]
fn connection_beyond_the_limit_gets_a_503_with_one_valid_date() {
    let upstream = Upstream::answering(Answer::nothing().then(Then::Hold));
    let gate = Gate::with(&upstream, "[limits]\nmax_connections = 1");
    let mut busy = gate.connect();
    busy.send(&Message::get("/voice").signed().bytes());
    upstream.wait_for(1);
    for _ in 0..2 {
        let response = gate.connect().response();
        assert_dated(&response, 503, "too many connections");
        assert_eq!(response.values("Retry-After"), ["1"]);
        assert_eq!(response.values("Connection"), ["close"]);
        assert_eq!(response.text(), "Try again later\n");
        thread::sleep(Duration::from_millis(1100)); // the date changes
    }
}

/// The app's response is relayed unchanged.
#[test]
fn date_of_the_app_is_kept() {
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    let upstream = Upstream::answering(Answer::raw(&format!(
        "HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n"
    )));
    let gate = Gate::before(&upstream);
    assert_eq!(gate.answer(&Message::get("/voice").signed()).values("Date"), [date]);
}
