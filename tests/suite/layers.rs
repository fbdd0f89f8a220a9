//! The floor plan: arrows between rooms run one way, and some things have one room only.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Each module and the modules that it may use.
const LAYERS: [(&str, &[&str]); 13] = [
    ("signature", &[]),
    ("http1", &[]),
    ("limits", &[]),
    ("net", &["http1"]),
    ("routes", &["signature"]),
    ("config", &["limits", "net", "routes", "signature"]),
    ("gate", &["http1", "limits", "routes", "signature"]),
    ("explain", &["http1", "routes", "signature"]),
    ("upstream", &["gate", "http1", "limits", "net", "routes"]),
    ("telemetry", &["gate", "http1", "upstream"]),
    (
        "downstream",
        &[
            "config",
            "gate",
            "http1",
            "limits",
            "net",
            "routes",
            "signature",
            "telemetry",
            "upstream",
        ],
    ),
    (
        "daemon",
        &[
            "config",
            "downstream",
            "gate",
            "http1",
            "limits",
            "net",
            "routes",
            "signature",
            "telemetry",
            "upstream",
        ],
    ),
    (
        "cli",
        &[
            "config",
            "daemon",
            "downstream",
            "explain",
            "gate",
            "http1",
            "limits",
            "net",
            "routes",
            "signature",
            "telemetry",
            "upstream",
        ],
    ),
];

/// A source file without its tests, comments and texts.
struct Source {
    path: String,
    code: String,
}

impl Source {
    fn room(&self) -> &str {
        self.path.split(['/', '.']).next().unwrap_or_default()
    }
}

#[test]
fn arrows_between_rooms_run_one_way() {
    let mut wrong = Vec::new();
    for source in sources() {
        let Some((room, known)) = LAYERS.iter().find(|(room, _)| *room == source.room()) else {
            continue; // main.rs and lib.rs know all
        };
        let strangers = crate_paths(&source.code).into_iter();
        let strangers = strangers.filter(|other| other != room && !known.contains(&other.as_str()));
        wrong.extend(strangers.map(|other| format!("{} knows {other}", source.path)));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_room_is_on_the_plan() {
    for source in sources() {
        let on_plan = LAYERS.iter().any(|(room, _)| *room == source.room());
        assert!(on_plan || matches!(source.room(), "main" | "lib"), "{}", source.path);
    }
}

#[test]
fn commands_are_read_in_one_room() {
    assert_only("clap", &["cli/"]);
}

#[test]
fn the_environment_is_read_where_secrets_are_and_nowhere_else() {
    assert_only("std::env", &["config/secret.rs", "cli/"]);
    assert_only("env::var", &["config/secret.rs", "cli/"]);
    assert_only("env::vars", &["config/secret.rs", "cli/"]);
}

#[test]
fn the_upstream_client_has_one_holder() {
    assert_only("hyper::client", &["upstream/"]);
    assert_only("client::conn", &["upstream/"]);
}

/// Their client is hyper too, but it holds no proven request.
#[test]
fn spans_are_sent_from_one_file() {
    assert_only("hyper_util::client", &["telemetry/traces.rs"]);
    assert_only("opentelemetry_http", &["telemetry/traces.rs"]);
    assert_only("opentelemetry_otlp", &["telemetry/traces.rs"]);
}

#[test]
fn the_signature_room_does_no_input_or_output() {
    for word in ["tokio", "hyper", "tracing", "std::fs", "std::io", "async fn", "Instant"] {
        let users = users_of(word);
        let inside = users.iter().any(|path| path.starts_with("signature/"));
        assert!(!inside, "{word}: {users:?}");
    }
}

/// An explanation is text for people: nothing that decides or forwards may see one, and no keyring
/// takes the keys that it is made with.
#[test]
fn an_explanation_admits_nothing() {
    let decides = ["signature", "http1", "routes", "limits", "gate", "upstream", "net"];
    for source in sources().iter().filter(|source| decides.contains(&source.room())) {
        let names = crate_paths(&source.code);
        assert!(!names.iter().any(|name| name == "explain"), "{} uses explain", source.path);
        assert!(!has_word(&source.code, "Explanation"), "{}", source.path);
        let holds_probes = has_word(&source.code, "ProbeKey");
        let own = ["signature/probe.rs", "signature/mod.rs"].contains(&source.path.as_str());
        assert!(own || !holds_probes, "{} uses ProbeKey", source.path);
    }
    for word in ["tokio", "std::fs", "std::io", "async fn", "Instant", "tracing"] {
        let users = users_of(word);
        let inside = users.iter().any(|path| path.starts_with("explain/"));
        assert!(!inside, "{word}: {users:?}");
    }
}

#[test]
fn no_input_can_panic() {
    for word in [".unwrap(", ".expect(", "panic!(", "unreachable!(", "todo!(", "unimplemented!("] {
        assert_only(word, &[]);
    }
}

/// One TLS provider, and no library in another language beside it.
#[test]
fn there_is_one_tls_library() {
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock");
    let lock: toml::Table = toml::from_str(&fs::read_to_string(lock).unwrap()).unwrap();
    let packages = lock["package"].as_array().unwrap();
    let names: Vec<_> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    assert!(names.contains(&"ring") && names.contains(&"rustls"), "{names:?}");
    for banned in ["aws-lc-rs", "aws-lc-sys", "openssl", "openssl-sys", "native-tls", "boring"] {
        assert!(!names.contains(&banned), "{banned}");
    }
}

#[test]
fn tests_comments_and_texts_are_no_code() {
    let text = "use a::b; // crate::c\nlet s = \"crate::d\\\" crate::e\"; let q = '\"';\n\
        let r = r#\"crate::f\"#;\nfn f<'a>(x: &'a str) { crate::g::h() }\n\
        #[cfg(test)]\nmod tests {\n    fn t() { crate::i(); }\n}\n/// crate::j\nfn k() { crate::l() }\n";
    assert_eq!(crate_paths(&stripped(text)), ["g", "l"]);
    assert_eq!(
        crate_paths("use crate::{gate::{A, B}, routes};use crate::x::{y, z};"),
        ["gate", "routes", "x"]
    );
}

fn assert_only(word: &str, places: &[&str]) {
    let users = users_of(word);
    let outside: Vec<_> =
        users.iter().filter(|path| !places.iter().any(|place| path.starts_with(place))).collect();
    assert!(outside.is_empty(), "{word} is used in {outside:?}");
}

/// The files whose code has this word, `std::env` in a group of imports included.
fn users_of(word: &str) -> Vec<String> {
    let used = |source: &Source| match word {
        "std::env" => imports_env(&source.code) || has_word(&source.code, word),
        _ => has_word(&source.code, word),
    };
    sources().into_iter().filter(used).map(|source| source.path).collect()
}

fn has_word(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        let open = word.ends_with('(');
        (word.starts_with('.') || !is_part(before)) && (open || !is_part(after))
    })
}

fn imports_env(code: &str) -> bool {
    let imports =
        code.split(';').filter_map(|statement| statement.trim().strip_prefix("use std::{"));
    imports.flat_map(first_segments).any(|segment| segment == "env")
}

/// The rooms that a file names, in order of appearance.
fn crate_paths(code: &str) -> Vec<String> {
    let after = code.match_indices("crate::").map(|(at, path)| &code[at + path.len()..]);
    after
        .flat_map(|rest| match rest.strip_prefix('{') {
            Some(group) => first_segments(group),
            None => vec![identifier(rest)],
        })
        .collect()
}

/// The first segment of each path in a group whose brace is already open.
fn first_segments(group: &str) -> Vec<String> {
    let mut depth = 0_i32;
    let mut segments = vec![identifier(group)];
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => segments.push(identifier(&group[at + 1..])),
            _ => {}
        }
    }
    segments.retain(|segment| !segment.is_empty());
    segments
}

fn identifier(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(files.len() > 20, "the house has more files than {files:?}");
    let relative = |file: &PathBuf| file.strip_prefix(&root).unwrap().display().to_string();
    files
        .iter()
        .map(|file| Source {
            path: relative(file).replace('\\', "/"),
            code: stripped(&fs::read_to_string(file).unwrap()),
        })
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Takes out comments and texts, then what is for tests.
fn stripped(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = comment(rest).or_else(|| raw_text(rest)).or_else(|| quoted(rest));
        let length = skipped.unwrap_or_else(|| {
            code.push(first);
            first.len_utf8()
        });
        rest = &rest[length..];
    }
    without_tests(&code)
}

fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    rest.starts_with("/*").then(|| rest.find("*/").map_or(rest.len(), |at| at + 2))
}

fn raw_text(rest: &str) -> Option<usize> {
    let opened = rest.strip_prefix("r#\"").map(|_| 3);
    let start = opened?;
    Some(rest[start..].find("\"#").map_or(rest.len(), |at| start + at + 2))
}

/// A text, or a character that could be taken for the beginning of one.
fn quoted(rest: &str) -> Option<usize> {
    if rest.starts_with("'\"'") {
        return Some(3);
    }
    let inside = rest.strip_prefix('"')?;
    let mut escaped = false;
    for (at, character) in inside.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(at + 2),
            _ => {}
        }
    }
    Some(rest.len())
}

/// Drops each item behind `#[cfg(test)]`, up to its closing brace or its semicolon.
fn without_tests(code: &str) -> String {
    let Some((before, item)) = code.split_once("#[cfg(test)]") else { return code.to_owned() };
    let mut depth = 0_i32;
    for (at, character) in item.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 && matches!(character, '}' | ';') {
            return format!("{before}{}", without_tests(&item[at + 1..]));
        }
    }
    before.to_owned()
}
