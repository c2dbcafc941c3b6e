//! What a fleet has left on disk.

use std::path::{Path, PathBuf};

/// Files below a folder that hold these bytes.
pub fn files_with(folder: &Path, wanted: &[u8]) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => files_with(&path, wanted),
            false => {
                let bytes = std::fs::read(&path).unwrap_or_default();
                let holds = bytes.windows(wanted.len()).any(|window| window == wanted);
                holds.then_some(path).into_iter().collect()
            }
        })
        .collect()
}
