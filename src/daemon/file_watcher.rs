//! Watches the files that the configuration was read from.
//!
//! The folders are watched, not the files: editors replace a file, and Kubernetes repaths the symlink
//! `..data` beside it. After an event the files' fingerprints decide, so a log written into the same
//! folder neither triggers a reload nor delays one.

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

/// Time without events after which a change is taken for complete.
const QUIET_PERIOD: Duration = Duration::from_millis(250);
/// Maximum wait for a quiet period: a file may be written without end.
const MAX_QUIET_WAIT: Duration = Duration::from_secs(2);
/// Interval between checks where inotify is not available.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Longest chain of symlinks that is followed, as in Linux (path_resolution(7)).
const MAX_SYMLINKS: usize = 40;

/// Watches a set of files; remembers their fingerprints at the last check.
pub(super) struct FileWatcher {
    files: Vec<PathBuf>,
    seen: Vec<Fingerprint>,
    events: Arc<Notify>,
    watcher: Option<RecommendedWatcher>,
}

/// Identifies one state of a file: real path, inode, size and mtime. `None` if there is no file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fingerprint(Option<(PathBuf, u64, u64, i64, i64)>);

impl Fingerprint {
    fn read(file: &Path) -> Self {
        let now = fs::canonicalize(file).and_then(|real| {
            let meta = fs::metadata(&real)?;
            Ok((real, meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()))
        });
        Self(now.ok())
    }
}

impl FileWatcher {
    /// Starts watching these files.
    pub(super) fn new(files: Vec<PathBuf>) -> Self {
        let events = Arc::new(Notify::new());
        let watcher = watch_folders(&files, &events);
        let seen = fingerprints(&files);
        Self { files, seen, events, watcher }
    }

    /// Watches this file set from now on, with symlinks resolved anew. Changes since the last
    /// [`mark_seen`](Self::mark_seen) are kept.
    pub(super) fn set_files(&mut self, files: Vec<PathBuf>) {
        let seen =
            if files == self.files { std::mem::take(&mut self.seen) } else { fingerprints(&files) };
        let events = Arc::new(Notify::new());
        let watcher = watch_folders(&files, &events);
        events.notify_one(); // the files may have changed before the new watches were set
        *self = Self { files, seen, events, watcher };
    }

    /// Records the current state of the files. Call it before reading them.
    pub(super) fn mark_seen(&mut self) {
        self.seen = fingerprints(&self.files);
    }

    /// Waits until a file has changed and a quiet period has passed.
    pub(super) async fn changed(&mut self) {
        loop {
            if self.watcher.is_some() {
                self.events.notified().await;
                let _still_changing = timeout(MAX_QUIET_WAIT, self.quiet_period()).await;
            } else {
                sleep(POLL_INTERVAL).await;
            }
            if self.has_changed() {
                return;
            }
        }
    }

    async fn quiet_period(&self) {
        while timeout(QUIET_PERIOD, self.events.notified()).await.is_ok() {}
    }

    /// Whether a file differs from its recorded state.
    fn has_changed(&self) -> bool {
        fingerprints(&self.files) != self.seen
    }
}

fn fingerprints(files: &[PathBuf]) -> Vec<Fingerprint> {
    files.iter().map(|file| Fingerprint::read(file)).collect()
}

/// Sets up the watches; `None` where that fails, such as when the inotify watches are used up.
fn watch_folders(files: &[PathBuf], events: &Arc<Notify>) -> Option<RecommendedWatcher> {
    let sender = Arc::clone(events);
    let paths = paths(files);
    let names: Vec<_> = paths.iter().filter_map(|file| Some(file.file_name()?.into())).collect();
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if !event.is_ok_and(|event| is_irrelevant(&event, &names)) {
            sender.notify_one();
        }
    });
    let watched = watcher.and_then(|mut watcher| {
        for folder in paths.iter().filter_map(|file| folder(file)).collect::<BTreeSet<_>>() {
            watcher.watch(&folder, RecursiveMode::NonRecursive)?;
        }
        Ok(watcher)
    });
    watched
        .inspect_err(|error| tracing::warn!(%error, "cannot watch for changes: checking the files every 2 s"))
        .ok()
}

/// Whether this event cannot concern the files: a read access (a reload reads them), or a change to
/// regular files of other names. A symlink of another name may lead to one of ours.
fn is_irrelevant(event: &notify::Event, names: &[OsString]) -> bool {
    let is_ours =
        |path: &PathBuf| path.file_name().is_none_or(|name| names.iter().any(|ours| ours == name));
    let is_plain = |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file());
    let is_other_file = |path| !is_ours(path) && is_plain(path);
    let names_any = !event.paths.is_empty();
    matches!(event.kind, EventKind::Access(_))
        || (names_any && event.paths.iter().all(is_other_file))
}

/// Returns the paths as configured and with symlinks resolved, and the symlinks on the way.
fn paths(files: &[PathBuf]) -> Vec<PathBuf> {
    let real = files.iter().filter_map(|file| fs::canonicalize(file).ok());
    let links = files.iter().flat_map(|file| symlinks(file));
    files.iter().map(PathBuf::clone).chain(real).chain(links).collect()
}

/// Returns every symlink that is followed to reach a file: any part of its path can be one, such as
/// the folder `current` of a deployment.
fn symlinks(file: &Path) -> Vec<PathBuf> {
    let (mut path, mut links) = (file.to_owned(), Vec::new());
    while links.len() < MAX_SYMLINKS
        && let Some((link, target)) = first_symlink(&path)
    {
        let rest = path.strip_prefix(&link).map(Path::to_owned).unwrap_or_default();
        path = link.parent().unwrap_or(Path::new("")).join(target).join(rest);
        links.push(link);
    }
    links
}

fn first_symlink(path: &Path) -> Option<(PathBuf, PathBuf)> {
    let mut prefixes: Vec<_> = path.ancestors().collect();
    prefixes.reverse();
    prefixes.into_iter().find_map(|prefix| Some((prefix.to_owned(), fs::read_link(prefix).ok()?)))
}

fn folder(file: &Path) -> Option<PathBuf> {
    let parent = file.parent()?;
    Some(if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// Creates a folder as Kubernetes mounts it: `token -> ..data/token`, `..data -> ..1`.
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
    fn swapped_symlink_is_a_change_and_another_file_is_not() {
        let folder = mounted("swap");
        let mut watcher = FileWatcher::new(vec![folder.join("token")]);
        assert!(watcher.watcher.is_some());
        fs::write(folder.join("neighbour.log"), "x").unwrap();
        assert_eq!(within(1, watcher.changed()), None, "another file");
        swap(&folder);
        assert_eq!(within(5, watcher.changed()), Some(()), "a swapped symlink");
        watcher.mark_seen();
        watcher.set_files(vec![folder.join("token")]);
        fs::read(folder.join("token")).unwrap();
        assert_eq!(within(1, watcher.changed()), None, "reading");
        fs::write(folder.join("..2/token"), "three").unwrap();
        assert_eq!(within(5, watcher.changed()), Some(()), "where the link leads");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn swapped_symlink_to_a_folder_above_the_file_is_a_change() {
        let folder = mounted("release");
        for release in ["r1/etc", "r2/etc"] {
            fs::create_dir_all(folder.join(release)).unwrap();
            fs::write(folder.join(release).join("token"), release).unwrap();
        }
        symlink("r1", folder.join("current")).unwrap();
        let mut watcher = FileWatcher::new(vec![folder.join("current/etc/token")]);
        symlink("r2", folder.join("next")).unwrap();
        fs::rename(folder.join("next"), folder.join("current")).unwrap();
        assert_eq!(within(5, watcher.changed()), Some(()));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn circular_symlinks_are_followed_to_an_end() {
        let folder = mounted("circle");
        symlink("b", folder.join("a")).unwrap();
        symlink("a", folder.join("b")).unwrap();
        assert_eq!(symlinks(&folder.join("a/token")).len(), MAX_SYMLINKS);
        fs::remove_dir_all(folder).unwrap();
    }

    /// Rewrites a file every 50 ms, without end.
    async fn write_without_end(file: PathBuf) {
        for turn in 0.. {
            fs::write(&file, "x".repeat(turn % 9)).unwrap();
            sleep(Duration::from_millis(50)).await;
        }
    }

    #[test]
    fn endlessly_written_other_file_delays_no_change() {
        let folder = mounted("neighbour");
        let mut watcher = FileWatcher::new(vec![folder.join("token")]);
        let events = Arc::clone(&watcher.events);
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
            tokio::select! { () = log => {}, () = watcher.changed() => {} }
        });
        assert_eq!(found, Some(()), "a swapped symlink");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn endlessly_written_file_is_reported_after_the_maximum_wait() {
        let folder = mounted("endless");
        let mut watcher = FileWatcher::new(vec![folder.join("token")]);
        let token = write_without_end(folder.join("token"));
        let found = within(5, async {
            tokio::select! { () = token => {}, () = watcher.changed() => {} }
        });
        assert_eq!(found, Some(()));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn files_are_polled_without_a_watcher() {
        let folder = mounted("poll");
        let mut watcher =
            FileWatcher { watcher: None, ..FileWatcher::new(vec![folder.join("token")]) };
        swap(&folder);
        // Paused time: the poll interval passes at once.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let changed = async { timeout(Duration::from_secs(5), watcher.changed()).await };
        assert_eq!(runtime.block_on(changed), Ok(()));
        fs::remove_dir_all(folder).unwrap();
    }
}
