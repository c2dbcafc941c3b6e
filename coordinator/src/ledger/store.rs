//! sled, kept to what holds: this file alone imports it.
//!
//! One tree, one `Batch` a write, `flush` and then a sync by our own handle, because sled's `flush` does
//! not sync. Values go in and out whole; here they are in pieces. After a failed write the store must
//! not be used again: the disk may have dropped what it did not sync.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bioxen_mutants::{Mutant, is_on};

use super::LedgerError;
use super::folder::Folder;
use super::pieces::{self, Head, Joiner};

/// Memory for sled's pages; its own default is 1 GiB.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// How long sled may take to let a closed store's file go.
const LONGEST_CLOSE: Duration = Duration::from_secs(5);

/// A value with its key and head.
pub(crate) type Found = (Vec<u8>, Vec<u8>, Head);
/// A value that does not fit its checksum, by key, or a store that fails.
#[derive(Debug)]
pub(crate) enum Fault {
    Damaged(Vec<u8>),
    Failed(LedgerError),
}

/// Changes that become true together.
#[derive(Debug, Default)]
pub(crate) struct Changes(sled::Batch);

impl Changes {
    /// Puts a value, leaving further pieces of a longer former value where they are.
    pub(crate) fn put(&mut self, key: &[u8], value: &[u8]) -> Result<Head, LedgerError> {
        let head = Head::of(key, value).ok_or(LedgerError::ValueTooLarge { bytes: value.len() })?;
        pieces::split(key, value, head).for_each(|(key, piece)| self.0.insert(key, piece));
        Ok(head)
    }

    /// Removes some pieces of a value.
    pub(crate) fn remove(&mut self, key: &[u8], numbers: std::ops::Range<u16>) {
        numbers.for_each(|number| self.0.remove(pieces::piece_key(key, number)));
    }
}

#[derive(Debug)]
pub(crate) struct Store {
    db: sled::Db,
    /// Our own handle on sled's data file, to sync it by.
    data: File,
    folder: Folder,
    /// A write was begun and did not succeed.
    failed: AtomicBool,
}

impl Store {
    pub(crate) fn open(folder: Folder) -> Result<Self, LedgerError> {
        folder.begin()?;
        folder.check_blobs()?;
        let config = sled::Config::new()
            .path(folder.path())
            .cache_capacity(CACHE_BYTES)
            // sled's own flusher would only log a failed sync.
            .flush_every_ms(None);
        let damaged = |what: String| LedgerError::Damaged { path: folder.path().to_owned(), what };
        let db = match open_when_free(&config) {
            Ok(Ok(db)) => db,
            Ok(Err(sled::Error::Io(source))) => return Err(folder.disk("sled opened it", source)),
            Ok(Err(error)) => return Err(damaged(error.to_string())),
            Err(_) => return Err(damaged("sled gave up on it".to_owned())),
        };
        let data = folder.sync_all().inspect_err(|_| leave_open(&db))?;
        Ok(Self { db, data, folder, failed: AtomicBool::new(false) })
    }

    /// What it needs to begin with has been written.
    pub(crate) fn finish(&self) -> Result<(), LedgerError> {
        self.folder.finish()
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.db.is_empty()
    }

    /// The first piece of a value: its head.
    pub(crate) fn head(&self, key: &[u8]) -> Result<Option<Head>, Fault> {
        let piece = self.db.get(pieces::piece_key(key, 0)).map_err(|error| self.failed(error))?;
        piece.map(|piece| read_head(key, &piece)).transpose()
    }

    /// The heads of a table's values, in key order.
    pub(crate) fn heads(&self, table: u8) -> impl Iterator<Item = Result<(Vec<u8>, Head), Fault>> + '_ {
        self.db.scan_prefix([table]).filter_map(|found| match found {
            Ok((piece_key, piece)) => match pieces::owner(&piece_key) {
                Some((key, 0)) => Some(read_head(key, &piece).map(|head| (key.to_vec(), head))),
                _ => None,
            },
            Err(error) => Some(Err(self.failed(error))),
        })
    }

    /// One table's values from a key on, in key order, each put together and checked.
    pub(crate) fn values(&self, from: Vec<u8>) -> impl Iterator<Item = Result<Found, Fault>> + '_ {
        let end = from.first().map_or(0, |table| table + 1);
        let mut pieces = self.db.range(from..vec![end]).peekable();
        std::iter::from_fn(move || {
            let mut joiner: Option<Joiner> = None;
            while let Some(found) = pieces.next_if(|found| belongs(found, joiner.as_ref())) {
                let (piece_key, piece) = match found {
                    Ok(found) => found,
                    Err(error) => return Some(Err(self.failed(error))),
                };
                let Some((key, number)) = pieces::owner(&piece_key) else {
                    return Some(Err(Fault::Damaged(piece_key.to_vec())));
                };
                joiner.get_or_insert_with(|| Joiner::new(key)).push(number, &piece);
            }
            let joiner = joiner?;
            let key = joiner.key.clone();
            Some(match joiner.finish() {
                Some((value, head)) => Ok((key, value, head)),
                None => Err(Fault::Damaged(key)),
            })
        })
    }

    /// Makes changes true, all or none, and returns when they are on the disk.
    pub(crate) fn write(&self, changes: Changes) -> Result<(), LedgerError> {
        self.failed.store(true, Ordering::Relaxed);
        self.db.apply_batch(changes.0).map_err(|error| self.error(error))?;
        self.db.flush().map_err(|error| self.error(error))?;
        if !is_on(Mutant::FlushWithoutSync) {
            self.data.sync_data().map_err(|source| self.folder.disk("a commit was synced", source))?;
        }
        self.folder.check_blobs()?;
        self.failed.store(false, Ordering::Relaxed);
        Ok(())
    }

    fn failed(&self, error: sled::Error) -> Fault {
        Fault::Failed(self.error(error))
    }

    fn error(&self, error: sled::Error) -> LedgerError {
        match error {
            sled::Error::Io(source) => self.folder.disk("sled read or wrote it", source),
            error @ sled::Error::Corruption { .. } => {
                LedgerError::Damaged { path: self.path().to_owned(), what: error.to_string() }
            }
            error => LedgerError::Store { path: self.path().to_owned(), what: error.to_string() },
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if *self.failed.get_mut() {
            leave_open(&self.db);
        }
    }
}

/// sled syncs once more when its last handle goes, and panics where it cannot: of a store that failed one is kept until
/// the process has ended.
fn leave_open(db: &sled::Db) {
    std::mem::forget(db.clone());
}

/// Opens, waiting while a store that this process closed still has the file: sled's threads let it go
/// a little later. No other process can have it, for we have the folder.
fn open_when_free(config: &sled::Config) -> std::thread::Result<sled::Result<sled::Db>> {
    let started = Instant::now();
    loop {
        // sled asserts on some of the damage that it finds.
        let opened = catch_unwind(AssertUnwindSafe(|| config.open()));
        let is_locked = match &opened {
            Ok(Err(sled::Error::Io(error))) => error.to_string().contains("could not acquire lock"),
            _ => false,
        };
        if !is_locked || started.elapsed() > LONGEST_CLOSE {
            return opened;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn read_head(key: &[u8], piece: &[u8]) -> Result<Head, Fault> {
    Head::read(piece).map(|(head, _)| head).ok_or_else(|| Fault::Damaged(key.to_vec()))
}

/// Whether a piece belongs to the value being put together; a failed read comes on its own.
fn belongs(found: &sled::Result<(sled::IVec, sled::IVec)>, joiner: Option<&Joiner>) -> bool {
    match (found, joiner) {
        (Ok((piece_key, _)), Some(joiner)) => {
            pieces::owner(piece_key).is_some_and(|(key, _)| key == joiner.key)
        }
        (Err(_), Some(_)) => false,
        (_, None) => true,
    }
}
