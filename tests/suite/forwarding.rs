//! What passes arrives as it was sent, once, and the answer goes back as it was given.

use std::{thread, time::Duration};

use crate::support::{
    TOKEN,
    client::Response,
    gate::Gate,
    latin1,
    message::{FORM, Message},
    upstream::{Answer, Recorded, TWIML, Then, Upstream},
    values,
};

/// Sends one request that has to pass; gives the answer and what the app got.
fn pass(message: &Message) -> (Response, Recorded) {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let response = gate.answer(message);
    assert_eq!(response.status, 200, "{message:?}: {response:?} {:?}", gate.outcome());
    (response, upstream.only())
}

/// The same, with an app that answers so.
fn answered(answer: Answer) -> Response {
    let upstream = Upstream::answering(answer);
    let gate = Gate::before(&upstream);
    gate.answer(&Message::form("/voice", "a=1").signed())
}

fn named<'f>(fields: &'f [(String, String)], name: &str) -> Vec<(&'f str, &'f str)> {
    let same = fields.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
    same.map(|(own, value)| (own.as_str(), value.as_str())).collect()
}

/// Everything that a request line may have in its middle.
const TARGETS: [&str; 26] = [
    "/",
    "/?",
    "/??",
    "/voice?",
    "/voice?a",
    "/voice?a=",
    "/voice?&&",
    "/voice?b=2&a=1&b=2",
    "/a%20b%2Fc",
    "/a%2fB",
    "/%zz%",
    "/a//b",
    "/a/./b/../c",
    "/a;x=1/b",
    "/voice/",
    "/voice?u=http://x.example/?y=z",
    "/voice?n=O'Neil+x%20y",
    "/voice?a[0]=1&b.c=2",
    "/@:!$&()*,=~",
    "/a\\b",
    "/a|b^c",
    "/{\"a\":1}",
    "/voice?plus=%2B+%2b|^`{}",
    "/M\u{fc}nchen?stra\u{df}e",
    "/voice?q={\"a\":1}",
    "/voice?a=<b>",
];

#[test]
fn targets_arrive_byte_for_byte() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    for target in TARGETS {
        let response = gate.answer(&Message::get(target).signed());
        assert_eq!(response.status, 200, "{target}: {response:?}");
        let line = format!("GET {target} HTTP/1.1");
        let wanted = latin1(line.as_bytes());
        assert_eq!(upstream.requests().last().unwrap().line(), wanted);
    }
    assert_eq!(upstream.requests().len(), TARGETS.len());
}

/// A client that speaks to a proxy names scheme and host in the request line. What was judged and
/// what the app reads would have to be the same; so either it is turned away or nothing changes.
#[test]
fn a_target_in_another_form_is_not_rewritten() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let signature = Message::get("/voice").signature(TOKEN);
    for target in ["http://hooks.example.com/voice", "https://evil.example/voice", "*", "voice"] {
        let message = Message::get(target).field("X-Twilio-Signature", &signature);
        let answered = gate.answer(&message);
        assert!((400..500).contains(&answered.status), "{target}: {answered:?}");
    }
    assert_eq!(upstream.bytes(), 0);
}

#[test]
fn fields_keep_their_spelling_their_order_and_their_number() {
    let message = Message::form("/voice?a=1", "To=%2B1&From=%2B2")
        .field("user-agent", "TwilioProxy/1.1")
        .field("X-Rep", "b")
        .field("I-TWILIO-idempotency-token", "0f0e")
        .field("x-rep", "a")
        .field("X-REP", "")
        .field("X-Rep", "b")
        .field("Cookie", "a=1; b=2")
        .field("Accept", "*/*")
        .field("X-Odd", "\"q\"; \\ , \u{e9}\tx")
        .signed();
    let (_, arrived) = pass(&message);
    let mut sent = message.fields;
    sent.push(("Host".into(), "hooks.example.com".into()));
    sent.push(("Content-Length".into(), "17".into()));
    let sent: Vec<_> =
        sent.into_iter().map(|(name, value)| (name, latin1(value.as_bytes()))).collect();
    let received = arrived.fields();
    assert_eq!(received.len(), sent.len(), "{received:?}");
    for (name, _) in &sent {
        assert_eq!(named(&received, name), named(&sent, name));
    }
    assert_eq!(arrived.body, b"To=%2B1&From=%2B2");
}

#[test]
fn the_body_arrives_as_it_was_sent() {
    let long = format!("Body={}", "x%20\u{e4}+".repeat(30_000));
    let binary = String::from_utf8_lossy(b"a=\0\r\n\t%00%FF&&=;").into_owned();
    for body in ["a=1", "b=2&a=1&a=1&&c", "a=GET / HTTP/1.1\r\n\r\n", &long, &binary] {
        let (_, arrived) = pass(&Message::form("/voice", body).signed());
        assert!(arrived.body == body.as_bytes(), "{:?}", latin1(&arrived.body));
    }
    let json = Message::json("/events", "[{\"a\": \"\u{fc}\"}]\n").signed();
    assert_eq!(Some(pass(&json).1.body), json.body);
}

#[test]
fn a_body_in_many_pieces_arrives_whole() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let message = Message::form("/voice", &"a=1&b=2&".repeat(50)).signed();
    let mut client = gate.connect();
    for piece in message.bytes().chunks(37) {
        client.send(piece);
    }
    assert_eq!(client.response().status, 200);
    assert_eq!(Some(upstream.only().body), message.body);
}

#[test]
fn a_chunked_body_arrives_whole_and_with_its_length() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let message = Message::form("/voice", "a=1&b=22&c=333").signed();
    for size in [1, 5, 100] {
        let mut client = gate.connect();
        client.send(&message.chunked_bytes(size));
        assert_eq!(client.response().status, 200);
    }
    for arrived in upstream.wait_for(3) {
        assert_eq!(latin1(&arrived.body), "a=1&b=22&c=333");
        assert_eq!(arrived.values("Content-Length"), ["14"]);
        assert!(arrived.values("Transfer-Encoding").is_empty());
    }
}

#[test]
fn trailers_are_dropped() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let message = Message::form("/voice", "a=1").signed().field("Trailer", "X-Late");
    let mut bytes = message.chunked_bytes(3);
    bytes.truncate(bytes.len() - 2);
    bytes.extend_from_slice(b"X-Late: 1\r\nX-Twilio-Signature: x\r\n\r\n");
    let mut client = gate.connect();
    client.send(&bytes);
    assert_eq!(client.response().status, 200);
    let arrived = upstream.only();
    assert_eq!(latin1(&arrived.body), "a=1");
    assert!(arrived.values("X-Late").is_empty() && arrived.values("Trailer").is_empty());
}

#[test]
fn what_is_about_one_connection_ends_here() {
    let message = Message::form("/voice", "a=1")
        .field("Connection", "close, X-Hop")
        .field("X-Hop", "1")
        .field("Keep-Alive", "timeout=5")
        .field("Proxy-Connection", "keep-alive")
        .field("Proxy-Authorization", "Basic eA==")
        .field("TE", "trailers")
        .field("Upgrade", "h2c")
        .field("HTTP2-Settings", "AAMAAABkAAQAoAAAAAIAAAAA")
        .field("X-Kept", "1")
        .signed();
    let (_, arrived) = pass(&message);
    let mut left: Vec<_> = arrived.fields().into_iter().map(|(name, _)| name).collect();
    left.sort();
    assert_eq!(left, ["Content-Length", "Content-Type", "Host", "X-Kept", "X-Twilio-Signature"]);
}

#[test]
fn naming_a_field_in_connection_strips_nothing_that_was_judged() {
    let fields = [
        "X-Twilio-Signature",
        "Host",
        "Content-Type",
        "Content-Length",
        "Cookie",
        "I-Twilio-Idempotency-Token",
        "Authorization",
        "X-Forwarded-For",
    ];
    let message = Message::form("/voice", "a=1")
        .field("Connection", &fields.join(", "))
        .field("connection", "x-twilio-signature")
        .field("Cookie", "a=1")
        .field("I-Twilio-Idempotency-Token", "1")
        .field("Authorization", "Basic eA==")
        .field("X-Forwarded-For", "192.0.2.1")
        .signed();
    let (_, arrived) = pass(&message);
    for name in fields {
        assert_eq!(arrived.values(name).len(), 1, "{name}: {:?}", arrived.fields());
    }
    assert!(arrived.values("Connection").is_empty());
}

#[test]
fn look_alikes_with_underscores_are_dropped() {
    let message = Message::form("/voice", "a=1")
        .field("X_Twilio_Signature", "forged")
        .field("Content_Length", "0")
        .field("X-Twilio_Signature", "forged")
        .signed();
    let (_, arrived) = pass(&message);
    let names: Vec<_> = arrived.fields().into_iter().map(|(name, _)| name).collect();
    assert!(!names.iter().any(|name| name.contains('_')), "{names:?}");
    assert_eq!(arrived.values("X-Twilio-Signature").len(), 1);
}

#[test]
fn forwarded_fields_are_added_only_where_that_is_wanted() {
    let message = Message::form("/voice", "a=1").field("X-Forwarded-For", "192.0.2.1").signed();
    assert_eq!(pass(&message).1.values("X-Forwarded-For"), ["192.0.2.1"]);
    let upstream = Upstream::start();
    let gate = Gate::with(&upstream, "forwarded_headers = \"append\"");
    assert_eq!(gate.answer(&message).status, 200);
    let arrived = upstream.only();
    assert_eq!(arrived.values("X-Forwarded-For").join(", "), "192.0.2.1, 127.0.0.1");
    assert_eq!(arrived.values("X-Forwarded-Proto"), ["https"]);
    assert_eq!(arrived.values("X-Forwarded-Host"), ["hooks.example.com"]);
}

#[test]
fn a_sender_that_waits_for_100_gets_it_if_it_signed() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let message = Message::form("/voice", "a=1").field("Expect", "100-continue").signed();
    let mut client = gate.connect();
    client.send(&message.head());
    assert_eq!(client.response().status, 100);
    client.send(b"a=1");
    assert_eq!(client.response().status, 200);
    assert!(upstream.only().values("Expect").is_empty(), "its answer was ours to give");
}

#[test]
fn requests_in_one_packet_are_each_judged() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let signed = |body| Message::form("/voice", body).signed().bytes();
    let unsigned = Message::get("/voice").bytes();
    let forged = Message::get("/other")
        .field("X-Twilio-Signature", &Message::get("/voice").signature(TOKEN));
    let all = [signed("n=1"), unsigned, signed("n=2"), forged.bytes(), signed("n=3")].concat();
    let mut client = gate.connect();
    client.send(&all);
    let statuses: Vec<_> = (0..5).map(|_| client.response().status).collect();
    assert_eq!(statuses, [200, 418, 200, 403, 200]);
    let bodies: Vec<_> = upstream.requests().iter().map(|request| latin1(&request.body)).collect();
    assert_eq!(bodies, ["n=1", "n=2", "n=3"]);
}

#[test]
fn a_request_inside_a_body_stays_there() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let inner = latin1(&Message::form("/inner", "a=1").signed().bytes());
    let outer = Message::form("/outer", &format!("Body={inner}"));
    let mut client = gate.connect();
    client.send(&outer.clone().signed().bytes());
    assert_eq!(client.response().status, 200);
    assert_eq!(Some(upstream.only().body), outer.body);
    let mut client = gate.connect();
    client.send(&outer.bytes()); // refused: its body is no request either
    assert_eq!(client.response().status, 418);
    client.half_close();
    let _nothing_or_a_refusal = client.rest();
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn bytes_behind_a_get_are_the_next_request() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let mut client = gate.connect();
    let message = Message::get("/voice").signed();
    client.send(&[message.bytes(), b"a=1".to_vec()].concat());
    assert_eq!(client.response().status, 200);
    client.half_close();
    let _refused_or_closed = client.rest();
    assert_eq!(upstream.only().body, b"");
}

#[test]
fn answers_go_back_as_they_were_given() {
    let head = "HTTP/1.1 202 Taken Note Of\r\ncontent-type: application/xml\r\nX-oDD-Case: 1\r\n\
        Set-Cookie: a=1\r\nset-cookie: b=2\r\nServer: app/1\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
        WWW-Authenticate: Basic\r\nVia: 1.0 app\r\nX_Under: 1\r\nContent-Length: 5\r\n\r\nhel\0o";
    let response = answered(Answer::raw(head));
    assert_eq!(response.line, "HTTP/1.1 202 Taken Note Of");
    assert_eq!(response.body, b"hel\0o");
    let mut fields = response.fields;
    fields.retain(|(name, _)| !name.eq_ignore_ascii_case("connection"));
    let given = crate::support::fields_of(&head.as_bytes()[..head.len() - 7]);
    assert_eq!(fields.len(), given.len(), "{fields:?}");
    for (name, _) in &given {
        assert_eq!(named(&fields, name), named(&given, name));
    }
}

#[test]
fn nothing_is_added_to_an_answer() {
    let response = answered(Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    let names: Vec<_> = response.fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Content-Length"]);
}

#[test]
fn answers_of_every_framing_go_back_whole() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n";
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
    let by_close = format!("{head}\r\nsunny").replace("HTTP/1.1", "HTTP/1.0");
    let answers = [
        Answer::raw(&format!("{head}Content-Length: 5\r\n\r\nsunny")),
        Answer::pieces(&[&chunked, "3\r\nsun\r\n", "2;x=y\r\nny\r\n", "0\r\n\r\n"]),
        Answer::raw(&format!("{chunked}5\r\nsunny\r\n0\r\nX-Late: 1\r\n\r\n")),
        Answer::raw(&format!("{head}\r\nsunny")).then(Then::Close),
        Answer::raw(&by_close).then(Then::Close),
        Answer::raw(&format!("{head}Connection: close\r\nContent-Length: 5\r\n\r\nsunny"))
            .then(Then::Close),
    ];
    for answer in answers {
        let shown = format!("{answer:?}");
        let response = answered(answer);
        assert_eq!((response.status, response.text().as_str()), (200, "sunny"), "{shown}");
        assert!(response.values("Keep-Alive").is_empty());
    }
}

#[test]
fn statuses_pass_through() {
    let lines = [
        ("204 No Content", ""),
        ("304 Not Modified", ""),
        ("302 Found", "Location: /elsewhere\r\n"),
        ("401 Unauthorized", "WWW-Authenticate: Digest realm=\"a\", nonce=\"b\"\r\n"),
        ("407 Proxy Says So", ""),
        ("418 I'm a teapot", ""),
        ("500 Internal Server Error", ""),
        ("599 Whatever", ""),
    ];
    for (line, field) in lines {
        let length = if line.starts_with("204") || line.starts_with("304") {
            ""
        } else {
            "Content-Length: 0\r\n"
        };
        let response = answered(Answer::raw(&format!("HTTP/1.1 {line}\r\n{field}{length}\r\n")));
        assert_eq!(response.line, format!("HTTP/1.1 {line}"));
        let name = field.split(':').next().unwrap_or_default();
        assert_eq!(response.values(name).len(), usize::from(!field.is_empty()), "{response:?}");
    }
}

#[test]
fn an_interim_answer_of_the_app_is_not_taken_for_its_answer() {
    let answer = Answer::pieces(&[
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsunny",
    ]);
    let upstream = Upstream::answering(answer);
    let gate = Gate::before(&upstream);
    let mut client = gate.connect();
    client.send(&Message::form("/voice", "a=1").signed().bytes());
    let mut response = client.response();
    if response.status == 103 {
        response = client.response();
    }
    assert_eq!((response.status, response.text().as_str()), (200, "sunny"));
}

/// The app sends a part and then nothing: the part has to be with the sender all the same.
#[test]
fn answers_stream() {
    let part = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nsunny\r\n";
    let upstream = Upstream::answering(Answer::raw(part).then(Then::Hold));
    let gate = Gate::before(&upstream);
    let mut client = gate.connect();
    client.send(&Message::form("/voice", "a=1").signed().bytes());
    assert!(client.until(b"\r\n\r\n").unwrap().starts_with(b"HTTP/1.1 200 OK"));
    assert_eq!(client.until(b"sunny").unwrap(), b"5\r\nsunny");
}

#[test]
fn a_long_answer_arrives_whole() {
    let long = "0123456789abcdef".repeat(1 << 16);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", long.len());
    let response = answered(Answer::pieces(&[&head, &long]));
    assert!(response.text() == long, "{} bytes of {}", response.body.len(), long.len());
}

#[test]
fn head_is_answered_without_a_body() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    let upstream = Upstream::answering(Answer::raw(answer));
    let gate = Gate::with(&upstream, "methods = [\"GET\", \"HEAD\"]");
    let mut client = gate.connect();
    client.send(&Message::new("HEAD", "/voice").signed().bytes());
    let head = latin1(&client.until(b"\r\n\r\n").unwrap());
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("Content-Length: 5\r\n"));
    client.send(&Message::new("HEAD", "/voice").signed().bytes());
    assert!(client.until(b"\r\n\r\n").unwrap().starts_with(b"HTTP/1.1 200 OK"));
}

#[test]
fn connections_to_the_app_are_used_again() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let mut client = gate.connect();
    for number in 0..10 {
        client.send(&Message::form("/voice", &format!("n={number}")).signed().bytes());
        assert_eq!(client.response().text(), TWIML);
    }
    assert_eq!((upstream.requests().len(), upstream.connections()), (10, 1));
}

/// The app reads the whole request and closes. It may have acted on it: nobody sends it again.
#[test]
fn nothing_is_sent_twice() {
    for first in ["first", "none"] {
        let upstream = Upstream::playing(move |request| {
            let is_first = latin1(&request.body) == format!("n={first}");
            if is_first { Answer::twiml() } else { Answer::nothing().then(Then::Close) }
        });
        let gate = Gate::before(&upstream);
        let mut client = gate.connect();
        let bodies = ["n=first", "n=second", "n=third"];
        let statuses: Vec<_> = bodies
            .iter()
            .map(|body| {
                client.send(&Message::form("/voice", body).signed().bytes());
                client.response().status
            })
            .collect();
        assert_eq!(statuses, [if first == "first" { 200 } else { 502 }, 502, 502]);
        let arrived: Vec<_> =
            upstream.requests().iter().map(|request| latin1(&request.body)).collect();
        assert_eq!(arrived, bodies, "each of them once");
    }
}

#[test]
fn not_even_a_get_is_sent_twice() {
    let upstream = Upstream::answering(Answer::nothing().then(Then::Close));
    let gate = Gate::before(&upstream);
    for target in ["/voice", "/sms"] {
        assert_eq!(gate.answer(&Message::get(target).signed()).status, 502);
    }
    assert_eq!(upstream.requests().len(), 2);
}

/// Requests around the moment at which the app closes what idles; each pause has a gate of its own.
fn assert_none_is_lost(answer: &Answer, config: &str, pauses: &[u64]) {
    thread::scope(|scope| {
        for &pause in pauses {
            scope.spawn(move || {
                let upstream = Upstream::answering(answer.clone());
                let gate = Gate::with(&upstream, config);
                let mut client = gate.connect();
                for body in ["n=1", "n=2"] {
                    client.send(&Message::form("/voice", body).signed().bytes());
                    let response = client.response();
                    assert_eq!(response.status, 200, "{body} after {pause} ms: {response:?}");
                    thread::sleep(Duration::from_millis(pause));
                }
                assert_eq!(upstream.requests().len(), 2, "after {pause} ms");
            });
        }
    });
}

#[test]
fn an_app_that_closes_idle_connections_loses_nothing() {
    let answer = Answer::twiml().then(Then::KeepFor(Duration::from_millis(1200)));
    assert_none_is_lost(&answer, "", &[0, 700, 990, 1000, 1010, 1150, 1195, 1200, 1205, 1300]);
}

#[test]
fn an_app_that_says_when_it_closes_loses_nothing() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=1\r\n\r\nok";
    let answer = Answer::raw(head).then(Then::KeepFor(Duration::from_secs(1)));
    let config = "[limits]\nupstream_idle_timeout = \"10s\"";
    assert_none_is_lost(&answer, config, &[0, 400, 499, 501, 600, 900, 995, 1000, 1005, 1100]);
}

/// Requests with a pause between them arrive by two connections, if the first is past its time.
fn assert_not_used_again(field: &str, config: &str, pause: u64) {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{field}\r\nok");
    let upstream = Upstream::answering(Answer::raw(&head));
    let gate = Gate::with(&upstream, config);
    let mut client = gate.connect();
    for body in ["n=1", "n=2"] {
        client.send(&Message::form("/voice", body).signed().bytes());
        assert_eq!(client.response().status, 200);
        thread::sleep(Duration::from_millis(pause));
    }
    assert_eq!(upstream.connections(), 2, "{field:?} {config:?}");
}

#[test]
fn a_connection_past_its_time_is_not_used_again() {
    assert_not_used_again("", "", 1010);
    assert_not_used_again("", "[limits]\nupstream_idle_timeout = \"50ms\"", 60);
    assert_not_used_again("", "[limits]\nupstream_idle_timeout = \"0s\"", 0);
    let patient = "[limits]\nupstream_idle_timeout = \"10s\"";
    assert_not_used_again("Keep-Alive: timeout=1\r\n", patient, 1000);
    assert_not_used_again("Connection: close\r\n", patient, 0);
}

#[test]
fn an_app_that_closes_after_each_answer_loses_nothing() {
    let silently = Answer::twiml().then(Then::Close);
    assert_none_is_lost(&silently, "", &[0, 1, 5, 50]);
}

#[test]
fn an_app_that_restarts_costs_nothing() {
    let upstream = Upstream::start();
    let address = upstream.address();
    let gate = Gate::with(&upstream, "[limits]\nconnect_retry = \"5s\"");
    let mut client = gate.connect();
    client.send(&Message::form("/voice", "n=1").signed().bytes());
    assert_eq!(client.response().status, 200);
    drop(upstream);
    client.send(&Message::form("/voice", "n=2").signed().bytes());
    assert!(client.stays_silent(Duration::from_millis(200)), "it is not given up at once");
    let upstream = Upstream::start_at(address);
    assert_eq!(client.response().status, 200);
    assert_eq!(latin1(&upstream.only().body), "n=2");
}

#[test]
fn a_sender_that_has_said_everything_still_gets_its_answer() {
    let upstream = Upstream::answering(Answer::twiml().pausing(Duration::from_millis(100)));
    let gate = Gate::before(&upstream);
    let mut client = gate.connect();
    client.send(&Message::form("/voice", "a=1").signed().bytes());
    client.half_close();
    assert_eq!(client.response().text(), TWIML);
}

#[test]
fn every_sender_gets_its_own_answer() {
    let upstream = Upstream::playing(|request| {
        let body = latin1(&request.body);
        Answer::raw(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
    });
    let gate = Gate::before(&upstream);
    let ask = |sender: usize| {
        let mut client = gate.connect();
        for number in 0..20 {
            let body = format!("s={sender}&n={number}&x={}", "x".repeat(sender * number));
            client.send(&Message::form("/voice", &body).signed().bytes());
            assert_eq!(client.response().text(), body);
        }
    };
    thread::scope(|scope| {
        for sender in 0..8 {
            let ask = &ask;
            scope.spawn(move || ask(sender));
        }
    });
    assert_eq!(upstream.requests().len(), 160);
}

#[test]
fn what_is_in_flight_ends_before_the_gate_does() {
    let upstream = Upstream::answering(Answer::twiml().pausing(Duration::from_millis(300)));
    let mut gate = Gate::before(&upstream);
    let mut client = gate.connect();
    client.send(&Message::form("/voice", "a=1").signed().bytes());
    upstream.wait_for(1);
    gate.terminate();
    assert_eq!(client.response().text(), TWIML);
    assert!(client.is_at_end());
    assert_eq!(gate.exit_code(), Some(0));
}

#[test]
fn a_handshake_becomes_a_tunnel() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let mut client = gate.connect();
    client.send(
        &Message::handshake("/media?x=1").field("sec-websocket-protocol", "a, b").signed().bytes(),
    );
    let response = client.response();
    assert_eq!(response.line, "HTTP/1.1 101 Switching Protocols");
    assert_eq!(values(&response.fields, "Upgrade"), ["websocket"]);
    assert_eq!(values(&response.fields, "Sec-WebSocket-Accept").len(), 1);
    let arrived = upstream.only();
    assert_eq!(arrived.line(), "GET /media?x=1 HTTP/1.1");
    assert_eq!(arrived.values("Upgrade"), ["websocket"]);
    assert_eq!(arrived.values("Connection"), ["Upgrade"]);
    assert_eq!(
        named(&arrived.fields(), "sec-websocket-protocol"),
        [("sec-websocket-protocol", "a, b")]
    );
    for said in ["one", "\0\u{1}\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"] {
        client.send(said.as_bytes());
        assert_eq!(client.exactly(said.len()).unwrap(), said.as_bytes());
    }
    client.half_close();
    assert!(client.is_at_end());
}

#[test]
fn a_tunnel_carries_much_both_ways() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    let mut client = gate.connect();
    client.send(&Message::handshake("/media").signed().bytes());
    assert_eq!(client.response().status, 101);
    let piece = b"0123456789abcdef".repeat(2048);
    for _ in 0..32 {
        client.send(&piece);
        assert!(client.exactly(piece.len()).unwrap() == piece, "what comes back is what was sent");
    }
}

#[test]
fn nothing_is_said_to_the_app_before_it_has_agreed() {
    let upstream = Upstream::answering(Answer::switching().pausing(Duration::from_millis(200)));
    let gate = Gate::before(&upstream);
    let mut client = gate.connect();
    let hasty = [Message::handshake("/media").signed().bytes(), b"hasty".to_vec()].concat();
    client.send(&hasty);
    assert_eq!(client.response().status, 101);
    assert_eq!(latin1(&upstream.early()), "");
    assert_eq!(client.exactly(5).unwrap(), b"hasty");
}

#[test]
fn an_app_that_declines_a_handshake_is_heard() {
    let no = "HTTP/1.1 426 Upgrade Required\r\nX-Why: no\r\nContent-Length: 2\r\n\r\nno";
    let upstream = Upstream::answering(Answer::raw(no));
    let gate = Gate::before(&upstream);
    let mut client = gate.connect();
    client.send(&Message::handshake("/media").signed().bytes());
    let response = client.response();
    assert_eq!(
        (response.line.as_str(), response.text().as_str()),
        ("HTTP/1.1 426 Upgrade Required", "no")
    );
    assert_eq!(values(&response.fields, "X-Why"), ["no"]);
    client.send(&Message::get("/voice").bytes());
    let next = client.try_response().map_or(418, |response| response.status);
    assert_eq!(next, 418, "what follows is judged, if it is read");
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn an_upgrade_to_something_else_is_no_tunnel() {
    let upstream = Upstream::start();
    let gate = Gate::before(&upstream);
    for (connection, upgrade) in
        [("Upgrade", "h2c"), ("keep-alive", "websocket"), ("Upgrade", "websocket, h2c")]
    {
        let message =
            Message::get("/voice").field("Connection", connection).field("Upgrade", upgrade);
        let signature = Message::get("/voice").signature(TOKEN);
        let response = gate.answer(&message.field("X-Twilio-Signature", &signature));
        assert_eq!(response.status, 200, "{connection} {upgrade}: {response:?}");
    }
    assert!(upstream.requests().iter().all(|request| request.values("Upgrade").is_empty()));
}

#[test]
fn an_app_that_switches_unasked_is_no_tunnel() {
    let upstream = Upstream::answering(Answer::switching());
    let gate = Gate::before(&upstream);
    let mut client = gate.connect();
    client.send(&Message::post("/voice", FORM, b"a=1").signed().bytes());
    let response = client.try_response();
    let failed = response.as_ref().map_or(true, |response| response.status == 502);
    assert!(failed, "{response:?}");
}
