//! Files that a command writes for somebody: whole, or not at all.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use crate::exit::Failure;

/// Writes a file beside its place first, so that a full disk leaves nothing half under its name. What is no plain file
/// (a pipe, a terminal, a link) is written as it stands.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let is_special = path.symlink_metadata().is_ok_and(|found| !found.is_file());
    let written = if is_special { fs::write(path, bytes) } else { replace(path, bytes) };
    written.map_err(|error| {
        Failure::other(format!(
            "{} cannot be written ({error}): nothing was put there; make room, or name a file on another disk",
            path.display()
        ))
    })
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".unfinished");
    let unfinished = Path::new(&unfinished);
    let written = File::create(unfinished)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(unfinished, path));
    if written.is_err() {
        // Why it failed is what matters.
        let _ = fs::remove_file(unfinished);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_whole_leaves_what_stood_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.csv");
        write_whole(&path, b"before").unwrap();
        // The place beside it is taken by a folder.
        fs::create_dir(folder.path().join("rows.csv.unfinished")).unwrap();
        let failure = write_whole(&path, b"after").unwrap_err();
        assert!(format!("{failure:?}").contains("cannot be written"), "{failure:?}");
        assert_eq!(fs::read(&path).unwrap(), b"before");
        write_whole(Path::new("/dev/null"), b"gone").unwrap();
    }
}
