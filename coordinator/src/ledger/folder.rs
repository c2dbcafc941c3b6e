//! The ledger's directory: who has it, and that what is written reaches the disk.
//!
//! This file must not read or write what the ledger holds.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use bioxen_mutants::{Mutant, is_on};

use super::LedgerError;

/// sled's one data file.
const DATA: &str = "db";
/// Where sled puts large values, unsynced. It must stay empty.
const BLOBS: &str = "blobs";
const CONFIG: &str = "conf";
const SNAPSHOTS: &str = "snap.";
/// How sled's snapshot is called until it is whole. sled itself takes one that a crash has left for the newest, and
/// gives up on it.
const HALF_SNAPSHOT: &str = ".generating";
const LOCK: &str = "lock";
/// Stands here from before sled's first file until a new ledger is whole: what a power cut leaves meanwhile may not be
/// readable, and holds nothing.
const UNFINISHED: &str = "unfinished";
/// How long a lock that another has is tried for. A lock outlives its owner for a moment: a child process has
/// it between its fork and its exec.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);
const LOCK_RETRY: Duration = Duration::from_millis(5);

/// A directory that this process alone has.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Held until the process ends or drops it.
    _lock: File,
}

impl Folder {
    /// The directory, created where there is none.
    pub(crate) fn create(path: &Path) -> Result<Self, LedgerError> {
        let failed = |source| {
            let (path, doing) = (path.to_owned(), "the directory was opened and locked");
            LedgerError::Disk { path, doing, source }
        };
        fs::create_dir_all(path).map_err(failed)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join(LOCK))
            .map_err(failed)?;
        let given_up = Instant::now() + LOCK_PATIENCE;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Self { path: path.to_owned(), _lock: lock }),
                Err(TryLockError::WouldBlock) if Instant::now() < given_up => thread::sleep(LOCK_RETRY),
                Err(TryLockError::WouldBlock) => return Err(LedgerError::InUse { path: path.to_owned() }),
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
        }
    }

    /// The directory of a ledger that was written before.
    pub(crate) fn existing(path: &Path) -> Result<Self, LedgerError> {
        if path.join(DATA).is_file() && !path.join(UNFINISHED).exists() {
            Self::create(path)
        } else {
            Err(LedgerError::Missing { path: path.to_owned() })
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Before sled opens what is here: removes what was cut off, and marks a creation.
    pub(crate) fn begin(&self) -> Result<(), LedgerError> {
        let failed = |source| self.disk("a ledger was begun", source);
        let marker = self.path.join(UNFINISHED);
        let is_unfinished = marker.exists() && !is_on(Mutant::CreationUnmarked);
        self.remove_rests(is_unfinished).map_err(failed)?;
        if !is_unfinished && self.path.join(DATA).exists() {
            return Ok(());
        }
        File::create(&marker).and_then(|file| file.sync_all()).map_err(failed)?;
        sync_directory(&self.path).map_err(failed)
    }

    /// Removes snapshots that were not finished, or everything of sled's.
    fn remove_rests(&self, all: bool) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let is_snapshot = name.to_string_lossy().starts_with(SNAPSHOTS);
            let is_half = is_snapshot && name.to_string_lossy().ends_with(HALF_SNAPSHOT);
            let is_half = is_half && !is_on(Mutant::HalfSnapshotLeft);
            if is_half || (all && (is_snapshot || name == DATA || name == CONFIG)) {
                fs::remove_file(entry.path())?;
            } else if all && name == BLOBS {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    /// A new ledger is whole.
    pub(crate) fn finish(&self) -> Result<(), LedgerError> {
        match fs::remove_file(self.path.join(UNFINISHED)) {
            Ok(()) => {
                sync_directory(&self.path).map_err(|source| self.disk("a new ledger was finished", source))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(self.disk("a new ledger was finished", source)),
        }
    }

    /// Syncs every file and directory, so that a ledger just created or recovered is there after a
    /// power cut, and returns the handle that each commit syncs by.
    pub(crate) fn sync_all(&self) -> Result<File, LedgerError> {
        let failed = |source| self.disk("its files were synced at the start", source);
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            File::open(entry.map_err(failed)?.path()).and_then(|file| file.sync_all()).map_err(failed)?;
        }
        sync_directory(&self.path).map_err(failed)?;
        let absolute = self.path.canonicalize().map_err(failed)?;
        absolute.parent().map_or(Ok(()), sync_directory).map_err(failed)?;
        OpenOptions::new().write(true).open(self.path.join(DATA)).map_err(failed)
    }

    /// Refuses large values that sled moved out of its data file.
    pub(crate) fn check_blobs(&self) -> Result<(), LedgerError> {
        match fs::read_dir(self.path.join(BLOBS)).map(|mut entries| entries.next().is_some()) {
            Ok(false) => Ok(()),
            Ok(true) => Err(LedgerError::Blobs { path: self.path.clone() }),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(self.disk("blobs/ was looked at", source)),
        }
    }

    /// `doing` is what was done, in the past.
    pub(crate) fn disk(&self, doing: &'static str, source: io::Error) -> LedgerError {
        LedgerError::Disk { path: self.path.clone(), doing, source }
    }
}

/// Moves a ledger's directory to a numbered name beside it and returns that name. Nobody may have it
/// open.
///
/// # Errors
/// When another process has it, there is none, or the disk fails.
pub fn set_aside(path: &Path) -> Result<PathBuf, LedgerError> {
    let folder = Folder::existing(path)?;
    let failed = |source| folder.disk("it was set aside", source);
    let absolute = path.canonicalize().map_err(failed)?;
    let numbered = |number: u32| {
        let mut name = OsString::from(&absolute);
        name.push(format!(".aside-{number}"));
        PathBuf::from(name)
    };
    let Some(aside) = (1..=u32::MAX).map(numbered).find(|name| !name.exists()) else {
        return Err(failed(io::Error::other("every numbered name is taken")));
    };
    fs::rename(&absolute, &aside).map_err(failed)?;
    absolute.parent().map_or(Ok(()), sync_directory).map_err(failed)?;
    Ok(aside)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
