//! Passes the version and the commit to the build: the commit is `GATEKEEPER_COMMIT`, else that of
//! `.git`, else empty.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

fn main() {
    println!("cargo::rerun-if-env-changed=GATEKEEPER_COMMIT");
    let given = env::var("GATEKEEPER_COMMIT").ok().filter(|commit| !commit.is_empty());
    let commit = given.or_else(commit_here).unwrap_or_default();
    let short = commit.get(..12).unwrap_or(&commit);
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let version = if short.is_empty() { version } else { format!("{version} ({short})") };
    println!("cargo::rustc-env=GATEKEEPER_COMMIT={short}");
    println!("cargo::rustc-env=GATEKEEPER_VERSION={version}");
}

/// Reads the checked-out commit from `.git`; git itself may not be installed.
fn commit_here() -> Option<String> {
    let git = git_folder(Path::new("."))?;
    let head = watched(&git.join("HEAD"))?;
    let Some(name) = head.strip_prefix("ref: ") else { return Some(head) };
    let common = fs::read_to_string(git.join("commondir"))
        .map_or_else(|_| git.clone(), |folder| git.join(folder.trim()));
    watched(&common.join(name)).or_else(|| packed(&common.join("packed-refs"), name))
}

/// Finds the git folder: `.git`, or in a worktree the folder that the file `.git` names.
fn git_folder(here: &Path) -> Option<PathBuf> {
    let git = here.join(".git");
    if git.is_dir() {
        return Some(git);
    }
    let text = fs::read_to_string(&git).ok()?;
    Some(here.join(text.trim().strip_prefix("gitdir: ")?))
}

/// Looks up a reference in `packed-refs`.
fn packed(file: &Path, name: &str) -> Option<String> {
    let text = watched(file)?;
    let line = text.lines().find(|line| line.ends_with(&format!(" {name}")))?;
    line.split(' ').next().map(str::to_owned)
}

/// Reads a file, and makes cargo rerun this script when it changes.
fn watched(file: &Path) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    println!("cargo::rerun-if-changed={}", file.display());
    Some(text.trim().to_owned())
}
