//! The file: a tar whose last two members are the manifest and its digest. Nothing is ever unpacked to the disk.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use bioxen_protocol::digest::sha256_hex;

use super::BackupError;
use super::manifest::{FORMAT, Manifest, ObjectName, Part, PartKind};

const MANIFEST: &str = "manifest.json";
const MANIFEST_DIGEST: &str = "manifest.sha256";
/// A manifest names each object: hundreds of thousands fit.
const MOST_MANIFEST_BYTES: u64 = 256 * 1024 * 1024;
/// Batches and records are written in parts of so many bytes.
pub(super) const PART_BYTES: usize = 8 * 1024 * 1024;

/// Writes parts one after another.
pub(super) struct Writer {
    path: PathBuf,
    tar: tar::Builder<BufWriter<File>>,
    parts: Vec<Part>,
}

impl Writer {
    pub(super) fn create(path: &Path) -> Result<Self, BackupError> {
        let file = File::create(path).map_err(|source| unwritten(path, source))?;
        let tar = tar::Builder::new(BufWriter::new(file));
        Ok(Self { path: path.to_owned(), tar, parts: Vec::new() })
    }

    /// Writes a part; it is named after its kind and number.
    pub(super) fn put(
        &mut self,
        kind: PartKind,
        object: Option<ObjectName>,
        bytes: &[u8],
    ) -> Result<(), BackupError> {
        let number = self.parts.iter().filter(|part| part.kind == kind).count() + 1;
        let name = match kind {
            PartKind::Snapshot => "fleet/snapshot".to_owned(),
            PartKind::Journal => format!("journal/{number:06}.batches"),
            PartKind::Audit => format!("audit/{number:06}.jsonl"),
            PartKind::Object => format!("objects/{number:06}"),
        };
        self.append(&name, bytes)?;
        self.parts.push(Part { name, kind, bytes: bytes.len() as u64, sha256: sha256_hex(bytes), object });
        Ok(())
    }

    pub(super) fn count(&self, kind: PartKind, bucket: &str) -> u64 {
        let of = |part: &&Part| part.object.as_ref().is_some_and(|object| object.bucket == bucket);
        self.parts.iter().filter(|part| part.kind == kind).filter(of).count() as u64
    }

    /// Writes the manifest, and everything to the disk.
    pub(super) fn finish(mut self, manifest: Manifest) -> Result<Manifest, BackupError> {
        let manifest = Manifest { parts: std::mem::take(&mut self.parts), ..manifest };
        let text = serde_json::to_vec_pretty(&manifest)?;
        self.append(MANIFEST, &text)?;
        self.append(MANIFEST_DIGEST, sha256_hex(&text).as_bytes())?;
        let failed = |source| unwritten(&self.path, source);
        let mut buffer = self.tar.into_inner().map_err(failed)?;
        buffer.flush().map_err(failed)?;
        buffer.get_ref().sync_all().map_err(failed)?;
        Ok(manifest)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), BackupError> {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        self.tar.append_data(&mut header, name, bytes).map_err(|source| unwritten(&self.path, source))
    }
}

/// A backup that is read.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    file: RefCell<File>,
    manifest: Manifest,
    /// Where each member's bytes begin, and how many there are.
    members: BTreeMap<String, (u64, u64)>,
}

impl Archive {
    /// Opens a file and reads its manifest; the parts are read one by one, later.
    ///
    /// # Errors
    /// When it is no backup, cut short, or of an unknown format.
    pub fn open(path: &Path) -> Result<Self, BackupError> {
        let failed = |source| file_error(path, source);
        let no_backup = |reason: String| BackupError::NotABackup { path: path.to_owned(), reason };
        let file = File::open(path).map_err(failed)?;
        let mut members = BTreeMap::new();
        let mut tar = tar::Archive::new(file.try_clone().map_err(failed)?);
        for member in tar.entries_with_seek().map_err(failed)? {
            let member = member.map_err(|error| no_backup(error.to_string()))?;
            let name = member.path().map_err(failed)?.to_string_lossy().into_owned();
            members.insert(name, (member.raw_file_position(), member.size()));
        }
        let manifest = |members: &BTreeMap<String, (u64, u64)>| {
            let text = read_member(&file, members, MANIFEST)?;
            let said = read_member(&file, members, MANIFEST_DIGEST)?;
            if sha256_hex(&text).as_bytes() != said {
                return Err("its manifest does not fit its digest".to_owned());
            }
            Ok(text)
        };
        let text = manifest(&members).map_err(no_backup)?;
        let found = peek_format(&text).map_err(|error| no_backup(error.to_string()))?;
        if found != FORMAT {
            return Err(BackupError::UnknownFormat { path: path.to_owned(), found });
        }
        let manifest = serde_json::from_slice(&text).map_err(|error| no_backup(error.to_string()))?;
        Ok(Self { path: path.to_owned(), file: RefCell::new(file), manifest, members })
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    pub(super) fn parts(&self, kind: PartKind) -> impl Iterator<Item = &Part> {
        self.manifest.parts.iter().filter(move |part| part.kind == kind)
    }

    /// A part's bytes, which fit its digest.
    ///
    /// # Errors
    /// When they do not, or the part is not there.
    pub fn read(&self, part: &Part) -> Result<Vec<u8>, BackupError> {
        let file = self.file.borrow();
        let bytes = self.members.get(&part.name).filter(|(_, bytes)| *bytes == part.bytes);
        let found = match bytes {
            None => return Err(self.damaged(part, "it is not there whole")),
            Some((at, bytes)) => {
                read_at(&file, *at, *bytes).map_err(|error| file_error(&self.path, error))?
            }
        };
        if sha256_hex(&found) == part.sha256 {
            Ok(found)
        } else {
            Err(self.damaged(part, "its digest differs"))
        }
    }

    pub(super) fn damaged(&self, part: &Part, reason: &str) -> BackupError {
        let (path, part, reason) = (self.path.clone(), part.name.clone(), reason.to_owned());
        BackupError::Damaged { path, part, reason }
    }

    pub(super) fn wrong(&self, reason: String) -> BackupError {
        BackupError::NotABackup { path: self.path.clone(), reason }
    }
}

fn peek_format(text: &[u8]) -> Result<u16, serde_json::Error> {
    #[derive(serde::Deserialize)]
    struct Peek {
        format: u16,
    }
    Ok(serde_json::from_slice::<Peek>(text)?.format)
}

fn read_member(file: &File, members: &BTreeMap<String, (u64, u64)>, name: &str) -> Result<Vec<u8>, String> {
    match members.get(name) {
        Some((at, bytes)) if *bytes <= MOST_MANIFEST_BYTES => {
            read_at(file, *at, *bytes).map_err(|error| error.to_string())
        }
        _ => Err(format!("it has no {name}: it is something else, or was not finished")),
    }
}

fn read_at(mut file: &File, at: u64, bytes: u64) -> std::io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(at))?;
    let mut found = Vec::new();
    file.take(bytes).read_to_end(&mut found)?;
    Ok(found)
}

pub(super) fn unwritten(path: &Path, source: std::io::Error) -> BackupError {
    BackupError::Unwritten { path: path.to_owned(), source }
}

fn file_error(path: &Path, source: std::io::Error) -> BackupError {
    BackupError::File { path: path.to_owned(), source }
}
