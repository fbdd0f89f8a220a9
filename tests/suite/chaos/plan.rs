//! What the app does for one request.

use super::random::Random;

/// One step of the app.
#[derive(Debug)]
pub(super) enum Step {
    Send(Vec<u8>),
    /// Milliseconds.
    Pause(usize),
    /// Reads the body of the request, which must be whole.
    ReadBody,
    Close,
}

/// What the app does. Behaviours after [`Behaviour::EarlyClose`] break HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behaviour {
    Length,
    Chunked,
    Pieces,
    Early,
    Late,
    UntilClose,
    Interim,
    OddChunks,
    /// Answers, then closes without reading the body.
    EarlyClose,
    Twice,
    TooLong,
    TooShort,
    StalledBody,
    CutChunk,
    BrokenChunk,
    BodyAfterHead,
    BodyAfter204,
    ChunksAfter204,
    BodyAfter304,
    LengthAndChunked,
    TwoLengths,
    Nonsense,
    NoAnswer,
    Silence,
    BareFeed,
    InterimWithBody,
    Switching,
    UnknownCoding,
    OldChunked,
    /// A head and a body put together at random.
    Random,
}

use Behaviour::*;

const CORRECT: [Behaviour; 8] =
    [Length, Chunked, Pieces, Early, Late, UntilClose, Interim, OddChunks];
const WRONG: [Behaviour; 21] = [
    EarlyClose,
    Twice,
    TooLong,
    TooShort,
    CutChunk,
    BrokenChunk,
    BodyAfterHead,
    BodyAfter204,
    ChunksAfter204,
    BodyAfter304,
    LengthAndChunked,
    TwoLengths,
    Nonsense,
    NoAnswer,
    BareFeed,
    InterimWithBody,
    Switching,
    UnknownCoding,
    OldChunked,
    Random,
    Random,
];

impl Behaviour {
    /// Three in five are correct; those that cost a timeout are rare.
    pub(super) fn choose(random: &mut Random) -> Self {
        match random.below(100) {
            0..60 => *random.pick(&CORRECT),
            99 => *random.pick(&[Silence, StalledBody]),
            _ => *random.pick(&WRONG),
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        let all = CORRECT.iter().chain(&WRONG).chain(&[Silence, StalledBody]);
        all.copied().find(|behaviour| format!("{behaviour:?}") == name)
    }

    /// Whether the response is correct. It may still fail: stray bytes can arrive over a connection
    /// between its choice for a request and the response.
    pub(super) fn is_correct(self) -> bool {
        CORRECT.contains(&self)
    }
}

/// `token=...;` again and again: every part of a body says whose it is.
pub(super) fn pattern(token: &str, length: usize) -> Vec<u8> {
    format!("token={token};").bytes().cycle().take(length).collect()
}

/// The length of the response's body.
pub(super) fn length(token: &str) -> usize {
    let mut random = Random::new(u64::from_str_radix(token, 16).unwrap());
    let limit = *random.pick(&[1, 100, 1000, 10_000, 10_000, 100_000]);
    random.below(limit)
}

/// The steps for one request. `token` determines every choice.
pub(super) fn steps(behaviour: Behaviour, token: &str, is_head: bool) -> Vec<Step> {
    let mut random = Random::new(u64::from_str_radix(token, 16).unwrap() ^ 0x5eed);
    let body = pattern(token, length(token));
    let chunks = chunks(&body, 1 + random.below(5000));
    let pause = random.below(8);
    let mut planner = Planner { token, is_head, random, body, chunks, pause };
    let mut steps = match behaviour {
        Twice | TooLong | TooShort | StalledBody | CutChunk | BrokenChunk => {
            planner.body(behaviour)
        }
        BodyAfterHead | BodyAfter204 | ChunksAfter204 | BodyAfter304 | InterimWithBody => {
            planner.body_where_none_is_allowed(behaviour)
        }
        Random => planner.random(),
        EarlyClose => vec![Step::Send(planner.whole()), Step::Pause(pause), Step::Close],
        _ if behaviour.is_correct() => planner.correct(behaviour),
        _ => planner.head(behaviour),
    };
    match behaviour {
        Early => steps.extend([Step::Pause(5), Step::ReadBody]),
        EarlyClose => {}
        _ => steps.insert(0, Step::ReadBody),
    }
    steps
}

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

struct Planner<'t> {
    token: &'t str,
    is_head: bool,
    random: Random,
    body: Vec<u8>,
    /// The same in chunks.
    chunks: Vec<u8>,
    /// Milliseconds.
    pause: usize,
}

impl Planner<'_> {
    fn correct(&mut self, behaviour: Behaviour) -> Vec<Step> {
        let whole = self.whole();
        match behaviour {
            Chunked => vec![Step::Send(self.answer(CHUNKED, &self.chunks))],
            OddChunks => vec![Step::Send(self.answer(CHUNKED, &odd_chunks(&self.body)))],
            Late => vec![Step::Pause(10 + self.random.below(20)), Step::Send(whole)],
            UntilClose => {
                vec![Step::Send(self.answer("Connection: close\r\n", &self.body)), Step::Close]
            }
            Interim => {
                let interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(3);
                vec![Step::Send(interim), Step::Pause(self.pause), Step::Send(whole)]
            }
            Pieces => {
                let pieces = whole.chunks(whole.len() / 12 + 1).map(<[u8]>::to_vec);
                pieces.flat_map(|piece| [Step::Send(piece), Step::Pause(self.pause / 4)]).collect()
            }
            _ => vec![Step::Send(whole)],
        }
    }

    /// Bodies that are longer or shorter than declared, or break off.
    fn body(&mut self, behaviour: Behaviour) -> Vec<Step> {
        let (body, chunks, stray) = (&self.body, &self.chunks, self.stray());
        match behaviour {
            Twice => vec![Step::Send([self.whole(), stray].concat())],
            TooLong => {
                let less = format!("Content-Length: {}\r\n", body.len() / 2);
                vec![Step::Send(self.message("200 OK", &less, &[&body[..], &stray].concat()))]
            }
            BrokenChunk => {
                let broken = [&chunks[..chunks.len() - 5], b"zz\r\n", &stray].concat();
                vec![Step::Send(self.message("200 OK", CHUNKED, &broken))]
            }
            CutChunk => {
                let cut = chunks.len() - 1 - self.random.below(chunks.len() - 1);
                let part = self.answer(CHUNKED, &self.chunks[..cut]);
                vec![Step::Send(part), Step::Pause(self.pause), Step::Close]
            }
            _ => {
                let more = format!("Content-Length: {}\r\n", body.len() + 10);
                let mut steps = vec![Step::Send(self.answer(&more, body))];
                if behaviour == TooShort {
                    steps.extend([Step::Pause(self.pause), Step::Close]);
                }
                steps
            }
        }
    }

    fn body_where_none_is_allowed(&self, behaviour: Behaviour) -> Vec<Step> {
        let stray = self.stray();
        let length = format!("Content-Length: {}\r\n", stray.len());
        let head = match behaviour {
            InterimWithBody => {
                let interim = self.message("103 Early Hints", &length, &stray);
                return vec![Step::Send([interim, self.whole()].concat())];
            }
            BodyAfterHead => self.message("200 OK", &length, b""),
            BodyAfter304 => self.message("304 Not Modified", &length, b""),
            ChunksAfter204 => self.message("204 No Content", CHUNKED, b""),
            _ => self.message("204 No Content", &length, b""),
        };
        vec![Step::Send(head), Step::Pause(self.pause), Step::Send(stray)]
    }

    /// Heads that are invalid or contradict themselves, or none.
    fn head(&self, behaviour: Behaviour) -> Vec<Step> {
        let own = self.own_length();
        let text = match behaviour {
            LengthAndChunked => {
                let answer = self.answer(&format!("{CHUNKED}Content-Length: 3\r\n"), &self.chunks);
                [answer, self.stray()].concat()
            }
            TwoLengths => {
                let fields = format!("{own}Content-Length: {}\r\n", self.body.len() + 1);
                self.message("200 OK", &fields, &self.body)
            }
            BareFeed => self.message("200 OK\nX-A: b", &own, &self.body),
            Switching => {
                let fields = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
                self.message("101 Switching Protocols", fields, &self.whole())
            }
            UnknownCoding => {
                self.message("200 OK", "Transfer-Encoding: gzip, chunked\r\n", &self.chunks)
            }
            OldChunked => {
                let text = self.message("200 OK", CHUNKED, &self.chunks);
                [b"HTTP/1.0", &text[8..]].concat()
            }
            Nonsense => b"nonsense\r\n".to_vec(),
            NoAnswer => return vec![Step::Close],
            _ => return Vec::new(),
        };
        vec![Step::Send(text)]
    }

    /// A head and a body put together at random, in pieces; stray bytes only with the last one.
    fn random(&mut self) -> Vec<Step> {
        let fields = self.random_fields();
        let statuses =
            ["200 OK", "200 OK", "200 ", "204 No Content", "304 Not Modified", "404 Gone", "999 X"];
        let status = *self.random.pick(&statuses);
        let sent = if self.random.below(2) == 0 { &self.body } else { &self.chunks };
        let mut text = self.message(status, &fields, sent);
        if self.random.below(4) == 0 {
            text.truncate(text.len() - self.random.below(text.len().min(40)));
        }
        // A late piece may be stray. No check finds it while it is under way, so that there are
        // pieces only where the connection is closed after them.
        let closes = self.random.below(2) == 0;
        let parts = if closes { 1 + self.random.below(3) } else { 1 };
        let pieces = text.chunks(text.len().div_ceil(parts)).map(<[u8]>::to_vec);
        let steps = pieces.flat_map(|piece| [Step::Send(piece), Step::Pause(self.pause / 3)]);
        steps.chain(closes.then_some(Step::Close)).collect()
    }

    fn random_fields(&mut self) -> String {
        let body = &self.body;
        let (less, more) = (body.len() / 2, body.len() + 7);
        let fields = [
            format!("Content-Length: {}\r\n", body.len()),
            format!("Content-Length: {}\r\n", body.len()),
            format!("content-length: {less}\r\n"),
            format!("Content-Length: {more}\r\n"),
            format!("Content-Length: 0{}\r\n", body.len()),
            format!("Content-Length: {0}, {0}\r\n", body.len()),
            "Content-Length: \r\n".to_owned(),
            "Content-Length: -1\r\n".to_owned(),
            "Transfer-Encoding: chunked\r\n".to_owned(),
            "transfer-encoding: Chunked\r\n".to_owned(),
            "Transfer-Encoding: identity\r\n".to_owned(),
            "Transfer-Encoding : chunked\r\n".to_owned(),
            "Connection: close\r\n".to_owned(),
            "Connection: keep-alive, X-Secret\r\nX-Secret: 1\r\n".to_owned(),
            "Connection: Content-Length, Transfer-Encoding\r\n".to_owned(),
            "Keep-Alive: timeout=5\r\n".to_owned(),
            "Trailer: X-T\r\n".to_owned(),
        ];
        (0..self.random.below(4)).map(|_| self.random.pick(&fields).as_str()).collect()
    }

    fn own_length(&self) -> String {
        format!("Content-Length: {}\r\n", self.body.len())
    }

    /// The correct response.
    fn whole(&self) -> Vec<u8> {
        self.answer(&self.own_length(), &self.body)
    }

    /// A whole response that nobody asked for.
    fn stray(&self) -> Vec<u8> {
        self.message("200 OK", "Content-Length: 25\r\n", &pattern(self.token, 25))
    }

    /// A response without its body where the request is `HEAD`.
    fn answer(&self, fields: &str, body: &[u8]) -> Vec<u8> {
        self.message("200 OK", fields, if self.is_head { b"" } else { body })
    }

    fn message(&self, status: &str, fields: &str, body: &[u8]) -> Vec<u8> {
        let head = format!("HTTP/1.1 {status}\r\nX-Token: {}\r\n{fields}\r\n", self.token);
        [head.as_bytes(), body].concat()
    }
}

fn chunks(body: &[u8], size: usize) -> Vec<u8> {
    let mut text = Vec::new();
    for chunk in body.chunks(size) {
        text.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
        text.extend_from_slice(chunk);
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"0\r\n\r\n");
    text
}

/// Padded sizes, extensions, and trailers that say nothing.
fn odd_chunks(body: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for chunk in body.chunks(1 + body.len() / 40) {
        text.extend_from_slice(format!("{:08x};ext=\"a\"\r\n", chunk.len()).as_bytes());
        text.extend_from_slice(chunk);
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"000\r\nX-Trailer: t\r\n\r\n");
    text
}
