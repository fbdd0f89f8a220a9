//! Text that a configuration is read from.

use std::{fs, io, path::Path};

/// The text of one configuration file, or of the flags.
#[derive(Clone, Copy)]
pub(super) struct SourceFile<'a> {
    pub(super) name: &'a str,
    /// The path of the file; `None` when the text is not from a file.
    pub(super) file: Option<&'a Path>,
    pub(super) text: &'a str,
    /// The folder that relative paths in the text are resolved against.
    pub(super) folder: &'a Path,
}

/// Reads a file that may hold tokens; the text is wiped when dropped.
pub(super) fn read_text(path: &Path) -> io::Result<zeroize::Zeroizing<String>> {
    fs::read_to_string(path).map(zeroize::Zeroizing::new)
}
