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
    let random = Random::new(u64::from_str_radix(token, 16).unwrap() ^ 0x5eed);
    Planner { token, is_head, random }.plan(behaviour)
}

struct Planner<'t> {
    token: &'t str,
    is_head: bool,
    random: Random,
}

impl Planner<'_> {
    fn plan(&mut self, behaviour: Behaviour) -> Vec<Step> {
        let body = pattern(self.token, length(self.token));
        let own = format!("Content-Length: {}\r\n", body.len());
        let stray = self.message("200 OK", "Content-Length: 25\r\n", &pattern(self.token, 25));
        let pause = Step::Pause(self.random.below(8));
        let whole = self.answer("200 OK", &own, &body);
        let chunks = self.chunks(&body);
        let chunked = "Transfer-Encoding: chunked\r\n";
        let mut steps = vec![Step::ReadBody];
        match behaviour {
            Length => steps.push(Step::Send(whole)),
            Chunked => steps.push(Step::Send(self.answer("200 OK", chunked, &chunks))),
            OddChunks => {
                let odd = odd_chunks(&body);
                steps.push(Step::Send(self.answer("200 OK", chunked, &odd)));
            }
            Pieces => {
                let size = whole.len() / 12 + 1;
                for piece in whole.chunks(size) {
                    steps.extend([Step::Send(piece.to_vec()), Step::Pause(self.random.below(2))]);
                }
            }
            Early => steps = vec![Step::Send(whole), Step::Pause(5), Step::ReadBody],
            EarlyClose => steps = vec![Step::Send(whole), pause, Step::Close],
            Late => {
                steps.extend([Step::Pause(10 + self.random.below(20)), Step::Send(whole)]);
            }
            UntilClose => {
                let answer = self.answer("200 OK", "Connection: close\r\n", &body);
                steps.extend([Step::Send(answer), Step::Close]);
            }
            Interim => {
                let interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(3);
                steps.extend([Step::Send(interim), pause, Step::Send(whole)]);
            }
            Twice => steps.push(Step::Send([whole, stray].concat())),
            TooLong => {
                let short = format!("Content-Length: {}\r\n", body.len() / 2);
                steps.push(Step::Send(self.message("200 OK", &short, &[body, stray].concat())));
            }
            TooShort | StalledBody => {
                let long = format!("Content-Length: {}\r\n", body.len() + 10);
                steps.push(Step::Send(self.answer("200 OK", &long, &body)));
                if behaviour == TooShort {
                    steps.extend([pause, Step::Close]);
                }
            }
            CutChunk => {
                let cut = chunks.len() - 1 - self.random.below(chunks.len() - 1);
                let part = self.answer("200 OK", chunked, &chunks[..cut]);
                steps.extend([Step::Send(part), pause, Step::Close]);
            }
            BrokenChunk => {
                let broken = [&chunks[..chunks.len() - 5], b"zz\r\n", &stray].concat();
                steps.push(Step::Send(self.message("200 OK", chunked, &broken)));
            }
            BodyAfterHead => {
                let head = self.message("200 OK", "Content-Length: 25\r\n", b"");
                let late = if self.is_head { stray } else { pattern(self.token, 25) };
                steps.extend([Step::Send(head), pause, Step::Send(late)]);
            }
            BodyAfter204 | BodyAfter304 | ChunksAfter204 => {
                let status =
                    if behaviour == BodyAfter304 { "304 Not Modified" } else { "204 No Content" };
                let length = format!("Content-Length: {}\r\n", stray.len());
                let fields = if behaviour == ChunksAfter204 { chunked } else { &length };
                let head = self.message(status, fields, b"");
                steps.extend([Step::Send(head), pause, Step::Send(stray)]);
            }
            LengthAndChunked => {
                let fields = format!("{chunked}Content-Length: 3\r\n");
                let answer = self.answer("200 OK", &fields, &chunks);
                steps.push(Step::Send([answer, stray].concat()));
            }
            TwoLengths => {
                let fields = format!("{own}Content-Length: {}\r\n", body.len() + 1);
                steps.push(Step::Send(self.message("200 OK", &fields, &body)));
            }
            Nonsense => steps.push(Step::Send(b"nonsense\r\n".to_vec())),
            NoAnswer => steps.push(Step::Close),
            Silence => {}
            BareFeed => {
                let answer = self.message("200 OK\nX-A: b", &own, &body);
                steps.push(Step::Send(answer));
            }
            InterimWithBody => {
                let length = format!("Content-Length: {}\r\n", stray.len());
                let interim = self.message("103 Early Hints", &length, &stray);
                steps.push(Step::Send([interim, whole].concat()));
            }
            Switching => {
                let fields = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
                let answer = self.message("101 Switching Protocols", fields, &whole);
                steps.push(Step::Send(answer));
            }
            UnknownCoding => {
                let fields = "Transfer-Encoding: gzip, chunked\r\n";
                steps.push(Step::Send(self.message("200 OK", fields, &chunks)));
            }
            OldChunked => {
                let text = self.message("200 OK", chunked, &chunks);
                let old = [b"HTTP/1.0", &text[8..]].concat();
                steps.push(Step::Send(old));
            }
            Random => self.random(&body, &chunks, &mut steps),
        }
        steps
    }

    /// A head and a body put together at random, in pieces; stray bytes only with the last one.
    fn random(&mut self, body: &[u8], chunks: &[u8], steps: &mut Vec<Step>) {
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
        let some: String =
            (0..self.random.below(4)).map(|_| self.random.pick(&fields).as_str()).collect();
        let statuses =
            ["200 OK", "200 OK", "200 ", "204 No Content", "304 Not Modified", "404 Gone", "999 X"];
        let status = *self.random.pick(&statuses);
        let sent = if self.random.below(2) == 0 { body } else { chunks };
        let mut text = self.message(status, &some, sent);
        if self.random.below(4) == 0 {
            text.truncate(text.len() - self.random.below(text.len().min(40)));
        }
        let size = text.len() / (1 + self.random.below(3)) + 1;
        // A late piece may be stray. No check finds it while it is under way; all at once it is seen.
        let closes = self.random.below(2) == 0;
        let size = if closes { size } else { text.len() };
        for piece in text.chunks(size) {
            steps.extend([Step::Send(piece.to_vec()), Step::Pause(self.random.below(3))]);
        }
        if closes {
            steps.push(Step::Close);
        }
    }

    /// A response without its body where the request is `HEAD`.
    fn answer(&self, status: &str, fields: &str, body: &[u8]) -> Vec<u8> {
        self.message(status, fields, if self.is_head { b"" } else { body })
    }

    fn message(&self, status: &str, fields: &str, body: &[u8]) -> Vec<u8> {
        let head = format!("HTTP/1.1 {status}\r\nX-Token: {}\r\n{fields}\r\n", self.token);
        [head.as_bytes(), body].concat()
    }

    fn chunks(&mut self, body: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        for chunk in body.chunks(1 + self.random.below(5000)) {
            text.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
            text.extend_from_slice(chunk);
            text.extend_from_slice(b"\r\n");
        }
        text.extend_from_slice(b"0\r\n\r\n");
        text
    }
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
