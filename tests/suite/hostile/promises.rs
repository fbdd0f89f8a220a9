//! Every test and file that `SECURITY.md` names must exist.

use std::{fs, path::Path};

/// The tests, `module::name` in backticks, as `cargo test` prints them.
fn named(text: &str) -> Vec<(String, String)> {
    let words = text.split('`').skip(1).step_by(2).filter(|word| !word.contains([' ', '/', '.']));
    let paths = words.filter_map(|word| word.rsplit_once("::"));
    paths
        .map(|(module, name)| {
            let file = module.rsplit("::").next().unwrap_or_default();
            (file.to_owned(), name.to_owned())
        })
        .collect()
}

/// Every `fn` below a folder with the name of its module.
fn functions(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            functions(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let is_mod = path.ends_with("mod.rs");
            let module = if is_mod { path.parent().unwrap() } else { &path };
            let file = module.file_stem().unwrap().to_string_lossy().into_owned();
            for line in fs::read_to_string(&path).unwrap().lines() {
                let line = line.trim_start().trim_start_matches("async ");
                let name = line.strip_prefix("fn ").and_then(|rest| rest.split('(').next());
                found.extend(name.map(|name| (file.clone(), name.to_owned())));
            }
        }
    }
}

#[test]
fn named_tests_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    functions(&root.join("src"), &mut found);
    functions(&root.join("tests"), &mut found);
    let text = fs::read_to_string(root.join("SECURITY.md")).unwrap();
    let named = named(&text);
    assert!(named.len() > 50, "only {} are named", named.len());
    let missing: Vec<_> = named.iter().filter(|test| !found.contains(test)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// The files, `folder/name` or `folder/` in backticks.
fn named_files(text: &str) -> Vec<&str> {
    let words = text.split('`').skip(1).step_by(2);
    let is_path = |word: &&str| {
        ["src/", "tests/", "fuzz/", "benches/"].iter().any(|folder| word.starts_with(folder))
    };
    words.filter(is_path).collect()
}

#[test]
fn named_files_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("SECURITY.md")).unwrap();
    let named = named_files(&text);
    let cites_source = named.iter().any(|path| path.starts_with("src/"));
    assert!(cites_source, "no file in src/ is named: {named:?}");
    let missing: Vec<_> = named.iter().filter(|path| !root.join(path).exists()).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

fn is_header(line: &str) -> bool {
    line.starts_with("| guarantee") || line.starts_with("| resource")
}

/// Each row of the tables of guarantees must name its test.
#[test]
fn every_promise_names_a_test() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("SECURITY.md");
    let text = fs::read_to_string(path).unwrap();
    let tables = text.split("## Guarantees").nth(1).unwrap();
    let tables = tables.split("## Limits").next().unwrap();
    let rows = tables.lines().filter(|line| line.starts_with("| ") && !is_header(line));
    for row in rows.filter(|row| !row.starts_with("| ---")) {
        let tests = row.trim_end_matches('|').rsplit('|').next().unwrap();
        assert!(tests.contains("::") || tests.contains("by construction"), "{row}");
    }
}
