//! Whether a file that the configuration was made from has changed.
//!
//! What is watched are the folders: an editor replaces a file, Kubernetes the symlink `..data` beside
//! it. What counts is whether a file is another one than before, so that a log written into the same
//! folder is no change, and holds none up.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

/// So long must it be quiet before a change is taken for complete.
const QUIET_PERIOD: Duration = Duration::from_millis(250);
/// Longer than this, quiet is not waited for: something may be written without end.
const MAX_QUIET_WAIT: Duration = Duration::from_secs(2);
/// How often the files are looked at where the system does not tell.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// The files, how they were when last looked at, and who tells of changes.
pub(super) struct FileWatcher {
    files: Vec<PathBuf>,
    seen: Vec<Fingerprint>,
    events: Arc<Notify>,
    watcher: Option<RecommendedWatcher>,
}

/// What tells one state of a file from another. Nothing, where there is no file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fingerprint(Option<(PathBuf, u64, u64, i64, i64)>);

impl Fingerprint {
    fn of(file: &Path) -> Self {
        let now = fs::canonicalize(file).and_then(|real| {
            let meta = fs::metadata(&real)?;
            Ok((real, meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()))
        });
        Self(now.ok())
    }
}

impl FileWatcher {
    /// Watches these files from now on.
    pub(super) fn new(files: Vec<PathBuf>) -> Self {
        let events = Arc::new(Notify::new());
        let watcher = watcher(&files, &events);
        let seen = fingerprints(&files);
        Self { files, seen, events, watcher }
    }

    /// From now on it is about these files, wherever their links lead by now. What has changed since
    /// the last mark_seen still counts.
    pub(super) fn set_files(&mut self, files: Vec<PathBuf>) {
        let seen =
            if files == self.files { std::mem::take(&mut self.seen) } else { fingerprints(&files) };
        let events = Arc::new(Notify::new());
        let watcher = watcher(&files, &events);
        events.notify_one();
        *self = Self { files, seen, events, watcher };
    }

    /// Takes the files for seen: they are about to be read.
    pub(super) fn mark_seen(&mut self) {
        self.seen = fingerprints(&self.files);
    }

    /// Returns once a file has changed and the changing seems to be over.
    pub(super) async fn next(&mut self) {
        loop {
            if self.watcher.is_some() {
                self.events.notified().await;
                let _still_changing = timeout(MAX_QUIET_WAIT, self.quiet()).await;
            } else {
                sleep(POLL_INTERVAL).await;
            }
            if self.has_changed() {
                return;
            }
        }
    }

    async fn quiet(&self) {
        while timeout(QUIET_PERIOD, self.events.notified()).await.is_ok() {}
    }

    /// Whether a file is another one than when last looked at.
    fn has_changed(&self) -> bool {
        fingerprints(&self.files) != self.seen
    }
}

fn fingerprints(files: &[PathBuf]) -> Vec<Fingerprint> {
    files.iter().map(|file| Fingerprint::of(file)).collect()
}

/// `None` where the system cannot tell of changes, as when its inotify watches are used up.
fn watcher(files: &[PathBuf], events: &Arc<Notify>) -> Option<RecommendedWatcher> {
    let sender = Arc::clone(events);
    let places = places(files);
    let names: Vec<_> = places.iter().filter_map(|file| Some(file.file_name()?.into())).collect();
    let made = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if !event.is_ok_and(|event| is_irrelevant(&event, &names)) {
            sender.notify_one();
        }
    });
    let watched = made.and_then(|mut watcher| {
        for folder in places.iter().filter_map(|file| folder(file)).collect::<BTreeSet<_>>() {
            watcher.watch(&folder, RecursiveMode::NonRecursive)?;
        }
        Ok(watcher)
    });
    watched
        .inspect_err(|error| tracing::warn!(%error, "cannot watch for changes: looking at the files every 2 s"))
        .ok()
}

/// Whether this is no change of ours. Reading is none, and reload reads; nor is it one where a
/// plain file has another name than ours. A link of another name may lead to them.
fn is_irrelevant(event: &notify::Event, names: &[OsString]) -> bool {
    let is_ours =
        |path: &PathBuf| path.file_name().is_none_or(|name| names.iter().any(|ours| ours == name));
    let is_plain = |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file());
    let is_foreign = |path| !is_ours(path) && is_plain(path);
    let names_any = !event.paths.is_empty();
    matches!(event.kind, EventKind::Access(_)) || (names_any && event.paths.iter().all(is_foreign))
}

/// Where the files are named, and where they really lie.
fn places(files: &[PathBuf]) -> Vec<PathBuf> {
    let real = files.iter().filter_map(|file| fs::canonicalize(file).ok());
    files.iter().map(PathBuf::clone).chain(real).collect()
}

fn folder(file: &Path) -> Option<PathBuf> {
    let parent = file.parent()?;
    Some(if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A folder as Kubernetes lays it out: `token -> ..data/token`, `..data -> ..1`.
    fn mounted(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("gatekeeper-{}-{name}", std::process::id()));
        let _old = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("..1")).unwrap();
        fs::write(folder.join("..1/token"), "one").unwrap();
        symlink("..1", folder.join("..data")).unwrap();
        symlink("..data/token", folder.join("token")).unwrap();
        folder
    }

    fn swap(folder: &Path) {
        fs::create_dir(folder.join("..2")).unwrap();
        fs::write(folder.join("..2/token"), "two").unwrap();
        symlink("..2", folder.join("..data_tmp")).unwrap();
        fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    }

    fn within<T>(seconds: u64, future: impl Future<Output = T>) -> Option<T> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { timeout(Duration::from_secs(seconds), future).await.ok() })
    }

    #[test]
    fn a_swapped_symlink_is_a_change_and_a_neighbour_is_none() {
        let folder = mounted("swap");
        let mut changes = FileWatcher::new(vec![folder.join("token")]);
        assert!(changes.watcher.is_some());
        fs::write(folder.join("neighbour.log"), "x").unwrap();
        assert_eq!(within(1, changes.next()), None, "a neighbour");
        swap(&folder);
        assert_eq!(within(5, changes.next()), Some(()), "a swapped symlink");
        changes.mark_seen();
        changes.set_files(vec![folder.join("token")]);
        fs::read(folder.join("token")).unwrap();
        assert_eq!(within(1, changes.next()), None, "reading");
        fs::write(folder.join("..2/token"), "three").unwrap();
        assert_eq!(within(5, changes.next()), Some(()), "where the link leads");
        fs::remove_dir_all(folder).unwrap();
    }

    /// Writes a file anew every 50 ms, for as long as a test goes on.
    async fn write_without_end(file: PathBuf) {
        for turn in 0.. {
            fs::write(&file, "x".repeat(turn % 9)).unwrap();
            sleep(Duration::from_millis(50)).await;
        }
    }

    #[test]
    fn a_neighbour_that_is_written_without_end_holds_nothing_up() {
        let folder = mounted("neighbour");
        let mut changes = FileWatcher::new(vec![folder.join("token")]);
        let events = Arc::clone(&changes.events);
        let log = write_without_end(folder.join("neighbour.log"));
        let found = within(5, async {
            tokio::select! {
                () = log => false,
                () = async { events.notified().await } => false,
                () = sleep(Duration::from_secs(1)) => true,
            }
        });
        assert_eq!(found, Some(true), "no event is sent");
        let log = write_without_end(folder.join("neighbour.log"));
        swap(&folder);
        let found = within(5, async {
            tokio::select! { () = log => {}, () = changes.next() => {} }
        });
        assert_eq!(found, Some(()), "a swapped symlink");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_file_that_is_written_without_end_is_taken_as_it_is() {
        let folder = mounted("endless");
        let mut changes = FileWatcher::new(vec![folder.join("token")]);
        let token = write_without_end(folder.join("token"));
        let found = within(5, async {
            tokio::select! { () = token => {}, () = changes.next() => {} }
        });
        assert_eq!(found, Some(()));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn without_the_systems_help_the_files_are_looked_at() {
        let folder = mounted("poll");
        let mut changes =
            FileWatcher { watcher: None, ..FileWatcher::new(vec![folder.join("token")]) };
        swap(&folder);
        assert_eq!(within(5, changes.next()), Some(()));
        fs::remove_dir_all(folder).unwrap();
    }
}
