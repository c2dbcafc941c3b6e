//! A NoCloud drive: a FAT or ISO 9660 file system with the label `cidata`, and the files on it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use super::iso;

pub(super) const LABEL: &str = "cidata";
/// More than user data ever has.
const FILE_BYTES_MOST: u64 = 4 << 20;

/// The files at the top of the drive, none where it is no such drive.
pub(super) fn nocloud(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let Ok(bytes) = fs::read(path) else { return BTreeMap::new() };
    iso::files(&bytes).or_else(|| fat(path)).unwrap_or_default()
}

fn fat(path: &Path) -> Option<BTreeMap<String, Vec<u8>>> {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).ok()?;
    let system = fatfs::FileSystem::new(file, fatfs::FsOptions::new()).ok()?;
    let label =
        system.read_volume_label_from_root_dir().ok().flatten().unwrap_or_else(|| system.volume_label());
    if !label.trim().eq_ignore_ascii_case(LABEL) {
        return None;
    }
    let mut files = BTreeMap::new();
    for entry in system.root_dir().iter().flatten().filter(fatfs::DirEntry::is_file) {
        let mut bytes = Vec::new();
        entry.to_file().take(FILE_BYTES_MOST).read_to_end(&mut bytes).ok()?;
        files.insert(entry.file_name(), bytes);
    }
    Some(files)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_fat_drive_is_read_by_its_long_names_if_it_has_the_label() {
        for (label, found) in [(*b"CIDATA     ", true), (*b"OTHER      ", false)] {
            let file = tempfile::NamedTempFile::new().expect("a file");
            file.as_file().set_len(2 << 20).expect("a length");
            let options = fatfs::FormatVolumeOptions::new().volume_label(label);
            fatfs::format_volume(file.as_file(), options).expect("formatted");
            let system = fatfs::FileSystem::new(file.as_file(), fatfs::FsOptions::new()).expect("a system");
            let mut entry = system.root_dir().create_file("user-data").expect("an entry");
            entry.write_all(b"#cloud-config\n").expect("written");
            drop(entry);
            system.unmount().expect("unmounted");
            let files = nocloud(file.path());
            assert_eq!(files.contains_key("user-data"), found);
        }
    }
}
