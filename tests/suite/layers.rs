//! Dependencies between and inside the modules of `src/`.
//!
//! Modules use only those below them, the files of a module import each other without a cycle, and
//! some crates and calls are confined to one module.

use std::{
    collections::{BTreeMap, BTreeSet},
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
    ("telemetry", &["config", "explain", "gate", "http1", "routes", "signature", "upstream"]),
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

/// A source file without its tests, comments and string literals.
struct Source {
    path: String,
    code: String,
}

impl Source {
    fn module(&self) -> &str {
        self.path.split(['/', '.']).next().unwrap_or_default()
    }

    /// `signature::form` for `signature/form.rs`, `signature` for `signature/mod.rs`.
    fn module_path(&self) -> String {
        let path = self.path.trim_end_matches(".rs").trim_end_matches("/mod");
        path.replace('/', "::")
    }
}

#[test]
fn modules_use_only_the_modules_below_them() {
    let mut wrong = Vec::new();
    for source in sources() {
        let Some((module, below)) = LAYERS.iter().find(|(module, _)| *module == source.module())
        else {
            continue; // main.rs and lib.rs may use every module
        };
        let used = crate_paths(&source.code).into_iter();
        let wrongly = used.filter(|other| other != module && !below.contains(&other.as_str()));
        wrong.extend(wrongly.map(|other| format!("{} uses {other}", source.path)));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_module_has_a_layer() {
    for source in sources() {
        let has_layer = LAYERS.iter().any(|(module, _)| *module == source.module());
        assert!(has_layer || matches!(source.module(), "main" | "lib"), "{}", source.path);
    }
}

/// Cycles between files that exist today. Each must be removed from here together with the cycle.
const KNOWN_CYCLES: &[&[&str]] = &[];

/// A cycle is given as the sorted list of all files that reach each other.
#[test]
fn files_of_a_module_import_each_other_without_a_cycle() {
    let cycles = import_cycles(&sources());
    let known: Vec<Vec<String>> = KNOWN_CYCLES
        .iter()
        .map(|files| files.iter().map(|file| (*file).to_owned()).collect())
        .collect();
    let new: Vec<_> = cycles.iter().filter(|cycle| !known.contains(cycle)).collect();
    assert!(new.is_empty(), "files import each other in a cycle: {new:#?}");
    let gone: Vec<_> = known.iter().filter(|cycle| !cycles.contains(cycle)).collect();
    assert!(gone.is_empty(), "remove these from KNOWN_CYCLES: {gone:#?}");
}

#[test]
fn import_cycles_are_found_through_groups_and_reexports() {
    let source = |path: &str, code: &str| Source { path: path.to_owned(), code: code.to_owned() };
    let cyclic = [
        source("m/mod.rs", "mod a; mod b; mod c; pub use b::{B, D as E};\npub use c::C;"),
        source("m/a.rs", "use super::{B, c}; fn f() { super::c::f() }"),
        source("m/b.rs", "use crate::{m::a::A, other::O};"),
        source("m/c.rs", "use super::unknown;"),
    ];
    assert_eq!(import_cycles(&cyclic), [["m/a.rs", "m/b.rs"]]);
    let nested = [
        source("m/mod.rs", "mod a; use self::a::A; pub struct Own;"),
        source("m/a.rs", "mod inner; use self::inner::I; use super::Own;"),
        source("m/a/inner.rs", "use super::super::Own;"),
    ];
    assert!(import_cycles(&nested).is_empty(), "parents and children are no cycle");
}

#[test]
fn clap_is_used_only_in_cli() {
    assert_only("clap", &["cli/"]);
}

#[test]
fn environment_is_read_only_in_secret_and_cli() {
    assert_only("std::env", &["config/secret.rs", "cli/"]);
    assert_only("env::var", &["config/secret.rs", "cli/"]);
    assert_only("env::vars", &["config/secret.rs", "cli/"]);
}

#[test]
fn http_client_is_used_only_in_upstream() {
    assert_only("hyper::client", &["upstream/"]);
    assert_only("client::conn", &["upstream/"]);
}

/// The exporter also uses an HTTP client, but handles no verified request.
#[test]
fn span_exporter_is_used_only_in_traces() {
    assert_only("hyper_util::client", &["telemetry/traces.rs"]);
    assert_only("opentelemetry_http", &["telemetry/traces.rs"]);
    assert_only("opentelemetry_otlp", &["telemetry/traces.rs"]);
}

#[test]
fn signature_module_does_no_io() {
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
    for source in sources().iter().filter(|source| decides.contains(&source.module())) {
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
fn code_has_no_panicking_calls() {
    for word in [".unwrap(", ".expect(", "panic!(", "unreachable!(", "todo!(", "unimplemented!("] {
        assert_only(word, &[]);
    }
}

/// One TLS provider, and no TLS library in C.
#[test]
fn rustls_with_ring_is_the_only_tls_library() {
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
fn tests_comments_and_string_literals_are_ignored() {
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

/// The files whose code contains this word; `std::env` also inside a group of imports.
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

/// The modules that a file names, in order of appearance.
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
    assert!(files.len() > 20, "too few files: {files:?}");
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

/// The code without comments, string literals and items for tests.
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

/// The length of a string literal, or of the character literal '"', at the beginning.
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

/// Drops each item after `#[cfg(test)]`, up to its closing brace or its semicolon.
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

/// The groups of files inside one module that reach each other by imports, each sorted by path.
fn import_cycles(sources: &[Source]) -> Vec<Vec<String>> {
    let graph = import_graph(sources);
    let mut cycles: Vec<Vec<String>> = Vec::new();
    for file in graph.keys() {
        let reached = reachable(&graph, file);
        if reached.contains(file) && !cycles.iter().flatten().any(|known| known == file) {
            let returns = |other: &&String| reachable(&graph, other).contains(file);
            cycles.push(reached.iter().filter(returns).cloned().collect());
        }
    }
    cycles
}

/// Each file and the files of the same module that it imports from.
///
/// A file and the submodules that it declares are not compared: a parent names its children, and
/// its own items are there for all of them.
fn import_graph(sources: &[Source]) -> BTreeMap<String, BTreeSet<String>> {
    let modules = sources.iter().map(|source| (source.module_path(), source)).collect();
    let imports = |source: &Source| {
        let own = source.module_path();
        let is_related = |other: &str| {
            other == own
                || own.starts_with(&format!("{other}::"))
                || other.starts_with(&format!("{own}::"))
        };
        let targets = relative_paths(&source.code).into_iter();
        targets
            .filter_map(|path| defining_file(&absolute(&own, &path), &modules, 0))
            .filter(|target| {
                target.module() == source.module() && !is_related(&target.module_path())
            })
            .map(|target| target.path.clone())
            .collect()
    };
    sources.iter().map(|source| (source.path.clone(), imports(source))).collect()
}

fn reachable(graph: &BTreeMap<String, BTreeSet<String>>, file: &str) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut open = vec![file.to_owned()];
    while let Some(next) = open.pop() {
        let new = graph.get(&next).into_iter().flatten();
        open.extend(new.filter(|other| reached.insert((*other).clone())).cloned());
    }
    reached
}

/// All paths that begin with `crate`, `self` or `super`, groups expanded.
fn relative_paths(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for root in ["crate::", "self::", "super::"] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back();
            if !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | ':')) {
                expand("", &code[at..], &mut paths);
            }
        }
    }
    paths
}

/// Adds the paths of a `use` tree, for example `a::{b, c::D}`, behind `prefix`.
fn expand(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let is_path = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':');
    let tree = tree.trim_start();
    let end = tree.find(|c| !is_path(c)).unwrap_or(tree.len());
    let path = format!("{prefix}{}", &tree[..end]);
    let Some(group) = tree[end..].strip_prefix('{') else {
        paths.push(path.trim_end_matches(':').to_owned());
        return;
    };
    let (mut depth, mut start) = (0_i32, 0);
    for (at, character) in group.char_indices() {
        match character {
            ',' | '}' if depth == 0 => {
                expand(&path, &group[start..at], paths);
                start = at + 1;
            }
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if character == '}' && depth == 0 && start == at + 1 {
            break;
        }
    }
}

/// The path from the crate's root; `own` is the module that names it.
fn absolute(own: &str, path: &str) -> Vec<String> {
    let mut segments: Vec<_> = own.split("::").map(str::to_owned).collect();
    for segment in path.split("::") {
        match segment {
            "crate" => segments.clear(),
            "super" => drop(segments.pop()),
            "self" | "" => {}
            _ => segments.push(segment.to_owned()),
        }
    }
    segments
}

/// The file that defines what a path names: the deepest module on the path, or the module that this
/// one re-exports the next segment from.
fn defining_file<'s>(
    path: &[String],
    modules: &BTreeMap<String, &'s Source>,
    depth: u32,
) -> Option<&'s Source> {
    let known = |length: &usize| modules.contains_key(&path[..*length].join("::"));
    let length = (1..=path.len()).rev().find(known)?;
    let module = path[..length].join("::");
    let source = modules[&module];
    let Some(item) = path.get(length).filter(|_| depth < 8) else { return Some(source) };
    let imported = imports_of(&source.code).into_iter();
    let origin = imported
        .filter(|import| import.rsplit("::").next() == Some(item) && import != item)
        .find_map(|import| defining_file(&absolute(&module, &import), modules, depth + 1));
    origin.or(Some(source))
}

/// The paths of all `use` items, groups expanded.
fn imports_of(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for statement in code.split(';') {
        if let Some((before, tree)) = statement.rsplit_once("use ")
            && before.chars().next_back().is_none_or(char::is_whitespace)
        {
            expand("", tree, &mut paths);
        }
    }
    paths
}
