//! Tells the binary its version and the commit that it was built from: `GATEKEEPER_COMMIT`, else
//! what `.git` says, else none.

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

/// The commit that is checked out here, read without asking git, which may not be there.
fn commit_here() -> Option<String> {
    let git = git_folder(Path::new("."))?;
    let head = watched(&git.join("HEAD"))?;
    let Some(name) = head.strip_prefix("ref: ") else { return Some(head) };
    let common = fs::read_to_string(git.join("commondir"))
        .map_or_else(|_| git.clone(), |folder| git.join(folder.trim()));
    watched(&common.join(name)).or_else(|| packed(&common.join("packed-refs"), name))
}

/// `.git` is a folder, or in a worktree a file that names one.
fn git_folder(here: &Path) -> Option<PathBuf> {
    let git = here.join(".git");
    if git.is_dir() {
        return Some(git);
    }
    let text = fs::read_to_string(&git).ok()?;
    Some(here.join(text.trim().strip_prefix("gitdir: ")?))
}

/// The commit behind a name that git has packed away.
fn packed(file: &Path, name: &str) -> Option<String> {
    let text = watched(file)?;
    let line = text.lines().find(|line| line.ends_with(&format!(" {name}")))?;
    line.split(' ').next().map(str::to_owned)
}

/// The file's text; the next build looks at it again if it has changed.
fn watched(file: &Path) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    println!("cargo::rerun-if-changed={}", file.display());
    Some(text.trim().to_owned())
}
