//! Message framing: contradictory, malformed or missing.

use super::{Case, Expect, Expect::*, framed, good, replaced, stage, with_line};

/// Lines that replace `Content-Length: 3`; the body is `a=1`.
const LENGTHS: &[(&str, &[u8], Expect)] = &[
    ("as it should be", b"Content-Length: 3\r\n", Admitted),
    ("without a space", b"Content-Length:3\r\n", Admitted),
    ("spaces around it", b"Content-Length:  \t3 \t\r\n", Admitted),
    ("lower case name", b"content-length: 3\r\n", Admitted),
    ("a leading zero", b"Content-Length: 03\r\n", Admitted),
    ("many leading zeros", b"Content-Length: 0000000000000000000000003\r\n", Open(&[200])),
    ("a plus", b"Content-Length: +3\r\n", Malformed),
    ("a minus", b"Content-Length: -3\r\n", Malformed),
    ("minus zero", b"Content-Length: -0\r\n", Malformed),
    ("hexadecimal", b"Content-Length: 0x3\r\n", Malformed),
    ("octal", b"Content-Length: 0o3\r\n", Malformed),
    ("an exponent", b"Content-Length: 3e0\r\n", Malformed),
    ("a fraction", b"Content-Length: 3.0\r\n", Malformed),
    ("a separator", b"Content-Length: 0_3\r\n", Malformed),
    ("a thousand separator", b"Content-Length: 0,003\r\n", Malformed),
    ("a letter", b"Content-Length: three\r\n", Malformed),
    ("a letter behind it", b"Content-Length: 3b\r\n", Malformed),
    ("a space within", b"Content-Length: 0 3\r\n", Malformed),
    ("quoted", b"Content-Length: \"3\"\r\n", Malformed),
    ("empty", b"Content-Length:\r\n", Malformed),
    ("empty but for a space", b"Content-Length: \r\n", Malformed),
    ("a semicolon", b"Content-Length: 3;\r\n", Malformed),
    ("a vertical tab", b"Content-Length: \x0b3\r\n", Malformed),
    ("a form feed", b"Content-Length: 3\x0c\r\n", Malformed),
    ("a no-break space", b"Content-Length: \xa03\r\n", Malformed),
    ("an Arabic digit", "Content-Length: ٣\r\n".as_bytes(), Malformed),
    ("a full-width digit", "Content-Length: \u{ff13}\r\n".as_bytes(), Malformed),
    ("2^64 and 3", b"Content-Length: 18446744073709551619\r\n", Malformed),
    ("2^64", b"Content-Length: 18446744073709551616\r\n", Malformed),
    ("2^64 less 1", b"Content-Length: 18446744073709551615\r\n", Open(&[413])),
    ("2^64 less 2", b"Content-Length: 18446744073709551614\r\n", Open(&[413])),
    ("2^63", b"Content-Length: 9223372036854775808\r\n", Open(&[413])),
    ("2^32 and 3", b"Content-Length: 4294967299\r\n", Refused(413)),
    ("thirty digits", b"Content-Length: 999999999999999999999999999999\r\n", Malformed),
    ("twice the same", b"Content-Length: 3\r\nContent-Length: 3\r\n", Malformed),
    ("twice, in two spellings", b"Content-Length: 3\r\ncontent-length: 03\r\n", Malformed),
    ("two values", b"Content-Length: 3\r\nContent-Length: 0\r\n", Malformed),
    ("two values, turned around", b"Content-Length: 0\r\nContent-Length: 3\r\n", Malformed),
    ("a list of the same", b"Content-Length: 3, 3\r\n", Malformed),
    ("a list of two", b"Content-Length: 3,0\r\n", Malformed),
    ("a list with an empty member", b"Content-Length: 3,\r\n", Malformed),
    ("a good and an empty one", b"Content-Length: 3\r\nContent-Length:\r\n", Malformed),
    ("a good and a bad one", b"Content-Length: 3\r\nContent-Length: x\r\n", Malformed),
    ("a space before the colon", b"Content-Length : 3\r\n", Malformed),
    ("a tab before the colon", b"Content-Length\t: 3\r\n", Malformed),
    ("folded", b"Content-Length:\r\n 3\r\n", Malformed),
    ("its look-alike announces more", b"Content-Length: 3\r\nContent_Length: 30\r\n", Admitted),
    ("its look-alike announces less", b"Content_Length: 0\r\nContent-Length: 3\r\n", Admitted),
];

/// The same for `Transfer-Encoding`; the body is a single chunk, `a=1`.
const CODINGS: &[(&str, &[u8], Expect)] = &[
    ("as it should be", b"Transfer-Encoding: chunked\r\n", Admitted),
    ("upper case", b"TRANSFER-ENCODING: CHUNKED\r\n", Admitted),
    ("spaces around it", b"Transfer-Encoding: \t chunked \t\r\n", Admitted),
    ("after a length", b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", Malformed),
    ("before a length", b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", Malformed),
    ("the chunks' own length", b"Transfer-Encoding: chunked\r\nContent-Length: 13\r\n", Malformed),
    ("with length 0", b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", Malformed),
    (
        "between two lengths",
        b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        Malformed,
    ),
    ("with a bad length", b"Transfer-Encoding: chunked\r\nContent-Length: x\r\n", Malformed),
    (
        "identity beside a length",
        b"Content-Length: 13\r\nTransfer-Encoding: identity\r\n",
        Malformed,
    ),
    ("identity alone", b"Transfer-Encoding: identity\r\n", Malformed),
    ("gzip, chunked", b"Transfer-Encoding: gzip, chunked\r\n", Malformed),
    ("identity, chunked", b"Transfer-Encoding: identity, chunked\r\n", Malformed),
    ("chunked, identity", b"Transfer-Encoding: chunked, identity\r\n", Malformed),
    ("chunked, gzip", b"Transfer-Encoding: chunked, gzip\r\n", Malformed),
    ("chunked, chunked", b"Transfer-Encoding: chunked, chunked\r\n", Malformed),
    ("a comma behind it", b"Transfer-Encoding: chunked,\r\n", Malformed),
    ("a comma before it", b"Transfer-Encoding: ,chunked\r\n", Malformed),
    ("an unknown coding", b"Transfer-Encoding: cow\r\n", Malformed),
    ("a letter before it", b"Transfer-Encoding: xchunked\r\n", Malformed),
    ("a letter behind it", b"Transfer-Encoding: chunkedx\r\n", Malformed),
    ("a parameter", b"Transfer-Encoding: chunked;q=1\r\n", Malformed),
    ("quoted", b"Transfer-Encoding: \"chunked\"\r\n", Malformed),
    ("a space within", b"Transfer-Encoding: chun ked\r\n", Malformed),
    ("a vertical tab before it", b"Transfer-Encoding: \x0bchunked\r\n", Malformed),
    ("a vertical tab behind it", b"Transfer-Encoding: chunked\x0b\r\n", Malformed),
    ("a no-break space behind it", b"Transfer-Encoding: chunked\xa0\r\n", Malformed),
    ("empty", b"Transfer-Encoding:\r\n", Malformed),
    ("empty beside a length", b"Transfer-Encoding:\r\nContent-Length: 13\r\n", Malformed),
    ("on two lines", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Malformed),
    (
        "identity and then chunked",
        b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        Malformed,
    ),
    (
        "chunked and then identity",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        Malformed,
    ),
    (
        "chunked and then nothing",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n",
        Malformed,
    ),
    ("chunked and a cow", b"Transfer-Encoding: chunked\r\nTransfer-encoding: cow\r\n", Malformed),
    ("a space before the colon", b"Transfer-Encoding : chunked\r\n", Malformed),
    ("a tab before the colon", b"Transfer-Encoding\t: chunked\r\n", Malformed),
    ("a space before it", b" Transfer-Encoding: chunked\r\n", Malformed),
    ("folded", b"Transfer-Encoding:\r\n chunked\r\n", Malformed),
    ("folded behind a comma", b"Transfer-Encoding: chunked,\r\n identity\r\n", Malformed),
    ("a bare CR behind it", b"Transfer-Encoding: chunked\r\r\n", Malformed),
    ("a bare LF behind it", b"Transfer-Encoding: chunked\n", Malformed),
    ("a NUL behind it", b"Transfer-Encoding: chunked\0\r\n", Malformed),
    (
        "hidden behind a bare CR",
        b"X: y\rTransfer-Encoding: chunked\r\nContent-Length: 13\r\n",
        Malformed,
    ),
    (
        "hidden behind a bare LF",
        b"X: y\nTransfer-Encoding: chunked\r\nContent-Length: 13\r\n",
        Malformed,
    ),
];

/// Bodies after `Transfer-Encoding: chunked`.
const CHUNKS: &[(&str, &[u8], Expect)] = &[
    ("one", b"3\r\na=1\r\n0\r\n\r\n", Admitted),
    ("one for each byte", b"1\r\na\r\n1\r\n=\r\n1\r\n1\r\n0\r\n\r\n", Admitted),
    ("a leading zero", b"03\r\na=1\r\n000\r\n\r\n", Admitted),
    ("an extension", b"3;x=y\r\na=1\r\n0;z\r\n\r\n", Admitted),
    ("a quoted extension", b"3;x=\"y;z\"\r\na=1\r\n0\r\n\r\n", Admitted),
    ("a bare CR in an extension", b"3;x\ry\r\na=1\r\n0\r\n\r\n", Malformed),
    ("a bare LF in an extension", b"3;x\ny\r\na=1\r\n0\r\n\r\n", Malformed),
    ("a bare LF behind an extension", b"3;x\na=1\r\n0\r\n\r\n", Malformed),
    ("a space behind the size", b"3 \r\na=1\r\n0\r\n\r\n", Open(&[200])),
    ("a tab behind the size", b"3\t\r\na=1\r\n0\r\n\r\n", Open(&[200])),
    ("a space before the size", b" 3\r\na=1\r\n0\r\n\r\n", Malformed),
    ("a plus", b"+3\r\na=1\r\n0\r\n\r\n", Malformed),
    ("a minus", b"-3\r\na=1\r\n0\r\n\r\n", Malformed),
    ("minus zero", b"3\r\na=1\r\n-0\r\n\r\n", Malformed),
    ("0x", b"0x3\r\na=1\r\n0\r\n\r\n", Malformed),
    ("no size", b"\r\na=1\r\n0\r\n\r\n", Malformed),
    ("no size but an extension", b";x\r\na=1\r\n0\r\n\r\n", Malformed),
    ("no hexadecimal digit", b"g\r\na=1\r\n0\r\n\r\n", Malformed),
    ("an underscore", b"0_3\r\na=1\r\n0\r\n\r\n", Malformed),
    ("a comma", b"3,\r\na=1\r\n0\r\n\r\n", Malformed),
    ("a NUL", b"3\0\r\na=1\r\n0\r\n\r\n", Malformed),
    ("a size of 2^64 and 3", b"10000000000000003\r\na=1\r\n0\r\n\r\n", Malformed),
    ("a size of 2^64 less 1", b"ffffffffffffffff\r\na=1\r\n0\r\n\r\n", Open(&[413])),
    ("a size of 2^63", b"8000000000000000\r\na=1\r\n0\r\n\r\n", Open(&[413])),
    ("a size of 2^32 and 3", b"100000003\r\na=1\r\n0\r\n\r\n", Open(&[413])),
    ("twenty leading zeros", b"000000000000000000003\r\na=1\r\n0\r\n\r\n", Open(&[200])),
    ("a bare LF behind the size", b"3\na=1\r\n0\r\n\r\n", Malformed),
    ("a bare CR behind the size", b"3\ra=1\r\n0\r\n\r\n", Malformed),
    ("nothing behind the data", b"3\r\na=10\r\n\r\n", Malformed),
    ("a bare LF behind the data", b"3\r\na=1\n0\r\n\r\n", Malformed),
    ("a bare CR behind the data", b"3\r\na=1\r0\r\n\r\n", Malformed),
    ("other bytes behind the data", b"3\r\na=1XX0\r\n\r\n", Malformed),
    ("more data than announced", b"2\r\na=1\r\n0\r\n\r\n", Malformed),
    ("less data than announced", b"4\r\na=1\r\n0\r\n\r\n", Malformed),
    ("a bare LF at the end", b"3\r\na=1\r\n0\n\n", Malformed),
    ("a bare LF as the last line", b"3\r\na=1\r\n0\r\n\n", Malformed),
    ("no last line", b"3\r\na=1\r\n0\r\n", Malformed),
    ("no last chunk", b"3\r\na=1\r\n", Malformed),
    ("nothing at all", b"", Malformed),
    ("a trailer", b"3\r\na=1\r\n0\r\nX-Late: 1\r\n\r\n", Admitted),
    (
        "a trailer with a signature",
        b"3\r\na=1\r\n0\r\nX-Twilio-Signature: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
        Admitted,
    ),
    ("a trailer with a length", b"3\r\na=1\r\n0\r\nContent-Length: 99\r\n\r\n", Open(&[200])),
    (
        "a trailer with a coding",
        b"3\r\na=1\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
        Open(&[200]),
    ),
    ("a trailer with a host", b"3\r\na=1\r\n0\r\nHost: elsewhere.example\r\n\r\n", Open(&[200])),
    ("a trailer without a colon", b"3\r\na=1\r\n0\r\nnonsense\r\n\r\n", Malformed),
    ("a trailer with a space before its colon", b"3\r\na=1\r\n0\r\nX : 1\r\n\r\n", Malformed),
    ("a trailer that is folded", b"3\r\na=1\r\n0\r\nX: 1\r\n 2\r\n\r\n", Malformed),
    ("a trailer with a NUL", b"3\r\na=1\r\n0\r\nX: \0\r\n\r\n", Malformed),
    ("a trailer with a bare CR", b"3\r\na=1\r\n0\r\nX: 1\rY: 2\r\n\r\n", Malformed),
    ("a trailer with a bare LF", b"3\r\na=1\r\n0\r\nX: 1\nY: 2\r\n\r\n", Malformed),
    ("a trailer that does not end", b"3\r\na=1\r\n0\r\nX: 1\r\n", Malformed),
];

/// A line added to a good head.
const LINES: &[(&str, &[u8], Expect)] = &[
    ("an empty value", b"X-A:", Admitted),
    ("8-bit in a value", b"X-A: \xe4\xff", Admitted),
    ("a tab in a value", b"X-A: a\tb", Admitted),
    ("every token character", b"!#$%&'*+-.^`|~09azAZ: 1", Admitted),
    ("8-bit in a name", b"X-\xe4: 1", Malformed),
    ("no colon", b"nonsense", Malformed),
    ("no name", b": 1", Malformed),
    ("no name, no value", b":", Malformed),
    ("a space in a name", b"X A: 1", Malformed),
    ("a space before the colon", b"X-A : 1", Malformed),
    ("a tab before the colon", b"X-A\t: 1", Malformed),
    ("a space before the name", b" X-A: 1", Malformed),
    ("a tab before the name", b"\tX-A: 1", Malformed),
    ("a NUL in a name", b"X-\0: 1", Malformed),
    ("a NUL in a value", b"X-A: a\0b", Malformed),
    ("a DEL in a value", b"X-A: a\x7fb", Malformed),
    ("a control in a value", b"X-A: a\x01b", Malformed),
    ("a backspace in a value", b"X-A: a\x08b", Malformed),
    ("an escape in a value", b"X-A: a\x1b[2Jb", Malformed),
    ("a form feed in a value", b"X-A: a\x0cb", Malformed),
    ("a bare CR in a value", b"X-A: a\rb", Malformed),
    ("a bare CR at the end", b"X-A: a\r", Malformed),
    ("a bare CR in a name", b"X\r-A: 1", Malformed),
    ("a bare LF in a value", b"X-A: a\nX-B: b", Malformed),
    ("a bare LF before the name", b"\nX-A: a", Malformed),
    ("a bare CR before the name", b"\rX-A: a", Malformed),
    ("folded with a space", b"X-A: a\r\n b", Malformed),
    ("folded with a tab", b"X-A: a\r\n\tb", Malformed),
    ("folded into a field", b"X-A: a\r\n Transfer-Encoding: chunked", Malformed),
    ("a parenthesis in a name", b"X(A): 1", Malformed),
    ("a quote in a name", b"\"X-A\": 1", Malformed),
    ("a slash in a name", b"X/A: 1", Malformed),
    ("an at sign in a name", b"X@A: 1", Malformed),
    ("an equals sign in a name", b"X=A: 1", Malformed),
    ("a comma in a name", b"X,A: 1", Malformed),
    ("a semicolon in a name", b"X;A: 1", Malformed),
    ("a bracket in a name", b"X[A]: 1", Malformed),
    ("a brace in a name", b"X{A}: 1", Malformed),
    ("a backslash in a name", b"X\\A: 1", Malformed),
    ("a question mark in a name", b"X?A: 1", Malformed),
    ("a less-than sign in a name", b"<X: 1", Malformed),
    ("a second request line", b"GET /voice HTTP/1.1", Malformed),
    ("a DEL in a name", b"X\x7fA: 1", Malformed),
];

fn named(kind: &str, name: &str) -> String {
    format!("{kind}: {name}")
}

#[test]
fn ambiguous_content_lengths_are_refused() {
    let cases: Vec<_> = LENGTHS
        .iter()
        .map(|(name, lines, expect)| {
            Case::new(&named("length", name), framed(lines, b"a=1"), *expect)
        })
        .collect();
    stage::play("framing", stage::ROUTES, &cases);
}

#[test]
fn transfer_codings_other_than_chunked_are_refused() {
    let chunk = b"3\r\na=1\r\n0\r\n\r\n";
    let cases: Vec<_> = CODINGS
        .iter()
        .map(|(name, lines, expect)| {
            Case::new(&named("coding", name), framed(lines, chunk), *expect)
        })
        .collect();
    stage::play("framing", stage::ROUTES, &cases);
}

#[test]
fn malformed_chunks_are_refused() {
    let cases: Vec<_> = CHUNKS
        .iter()
        .map(|(name, body, expect)| {
            let sent = framed(b"Transfer-Encoding: chunked\r\n", body);
            Case::new(&named("chunks", name), sent, *expect).finished()
        })
        .collect();
    stage::play("framing", stage::ROUTES, &cases);
}

/// An unfinished body is waited for until `body_timeout`, no longer.
#[test]
fn unfinished_chunks_are_refused_after_body_timeout() {
    let open = [
        "nothing at all",
        "no last chunk",
        "no last line",
        "a trailer that does not end",
        "less data than announced",
    ];
    let cases: Vec<_> = CHUNKS
        .iter()
        .filter(|(name, ..)| open.contains(name))
        .map(|(name, body, expect)| {
            let sent = framed(b"Transfer-Encoding: chunked\r\n", body);
            Case::new(&named("open chunks", name), sent, *expect)
        })
        .collect();
    assert_eq!(cases.len(), open.len());
    stage::play("framing", stage::ROUTES, &cases);
}

#[test]
fn malformed_header_lines_are_refused() {
    let mut cases: Vec<_> = LINES
        .iter()
        .map(|(name, line, expect)| Case::new(&named("line", name), with_line(line), *expect))
        .collect();
    let first =
        |line: &[u8]| replaced(&good().bytes(), b"HTTP/1.1\r\n", &[b"HTTP/1.1\r\n", line].concat());
    for (name, line, expect) in LINES.iter().filter(|(_, _, expect)| matches!(expect, Malformed)) {
        cases.push(Case::new(
            &named("first line", name),
            first(&[line, &b"\r\n"[..]].concat()),
            *expect,
        ));
    }
    stage::play("framing", stage::ROUTES, &cases);
}

#[test]
fn line_endings_other_than_crlf_are_refused() {
    let bytes = good().bytes();
    let every =
        |end: &str| String::from_utf8(bytes.clone()).unwrap().replace("\r\n", end).into_bytes();
    let cases = [
        Case::new("every line ends in LF", every("\n"), Malformed),
        Case::new("every line ends in CR", every("\r"), Malformed).finished(),
        Case::new("every line ends in CR CR LF", every("\r\r\n"), Malformed),
        Case::new("every line ends in LF CR", every("\n\r"), Malformed),
        Case::new("the request line ends in LF", replaced(&bytes, b"1.1\r\n", b"1.1\n"), Malformed),
        Case::new("the head ends in LF", replaced(&bytes, b"\r\n\r\n", b"\r\n\n"), Malformed),
        Case::new("the head ends in LF LF", replaced(&bytes, b"\r\n\r\n", b"\n\n"), Malformed),
        Case::new("an empty line before", [b"\r\n", &bytes[..]].concat(), Admitted),
        Case::new("two empty lines before", [b"\r\n\r\n", &bytes[..]].concat(), Open(&[200])),
        Case::new("a bare LF before", [b"\n", &bytes[..]].concat(), Open(&[200])),
        Case::new("a bare CR before", [b"\r", &bytes[..]].concat(), Malformed),
        Case::new("a NUL before", [b"\0", &bytes[..]].concat(), Malformed),
        Case::new("a byte order mark before", [b"\xef\xbb\xbf", &bytes[..]].concat(), Malformed),
        Case::new("a head that does not end", bytes[..60].to_vec(), Malformed),
        Case::new("a head that breaks off", bytes[..60].to_vec(), Malformed).finished(),
    ];
    stage::play("framing", stage::ROUTES, &cases);
}

/// Without a signature the body is not read; it is never taken for a request.
#[test]
fn unsigned_malformed_framing_is_refused() {
    let unsigned = |lines: &[u8], body: &[u8]| {
        let head = framed(lines, body);
        let text = String::from_utf8_lossy(&head).into_owned();
        let kept =
            text.split_inclusive("\r\n").filter(|line| !line.starts_with("X-Twilio-Signature"));
        kept.collect::<String>().into_bytes()
    };
    let mut cases = Vec::new();
    for (name, lines, expect) in CODINGS.iter().chain(LENGTHS) {
        if matches!(expect, Malformed) && lines.is_ascii() {
            let sent = unsigned(lines, b"3\r\na=1\r\n0\r\n\r\n");
            cases.push(Case::new(&named("unsigned", name), sent, *expect));
        }
    }
    for (name, body, _) in CHUNKS.iter().filter(|(_, body, _)| body.is_ascii()) {
        let sent = unsigned(b"Transfer-Encoding: chunked\r\n", body);
        cases.push(Case::new(&named("unsigned chunks", name), sent, Refused(418)));
    }
    stage::play("framing", stage::ROUTES, &cases);
}
