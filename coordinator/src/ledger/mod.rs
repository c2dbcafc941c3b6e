//! The ledger: the fleet's local memory behind the journal, in sled.
//!
//! ```text
//!   driver -- LedgerWrite --> Committer (one thread) -- one Batch, flush, sync_data --> disk
//! ```
//!
//! It holds the materialised rows, the newest batches verbatim and where it stands (`Applied`), which
//! change together or not at all. It is verified, never trusted: whatever it says can be folded again
//! from the journal, and so a damaged one is deleted, never repaired.
//!
//! Only `store.rs` imports sled. This module must not interpret rows, and after any write error it never
//! writes again.

mod committer;
mod error;
mod folder;
mod pieces;
mod record;
mod row;
mod store;
mod verify;

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

use bioxen_mutants::{Mutant, is_on};
use bytes::Bytes;

use crate::journal::{Batch, Hash};
pub(crate) use committer::reason;
pub use committer::{Committer, Lag};
pub use error::LedgerError;
pub use folder::set_aside;
pub use record::{Applied, LedgerWrite, StoredBatch};
use record::{AppliedRecord, RowTotals};
pub use row::RowKey;
use store::{Changes, Fault, Store};
pub use verify::Verified;

/// Batches are kept verbatim up to this many bytes, the newest always: what a lost tail is healed from.
const KEPT_BATCH_BYTES: usize = 64 * 1024 * 1024;
/// What the ledger's own layout is called; another one is deleted and folded again.
const FORMAT: u16 = 1;
/// Rows restored from a snapshot are written in steps of so many bytes.
const RESTORE_STEP_BYTES: usize = 4 * 1024 * 1024;

/// Tables are the first byte of a key.
mod table {
    pub(super) const APPLIED: u8 = b'A';
    pub(super) const BATCH: u8 = b'B';
    pub(super) const FORMAT: u8 = b'F';
    pub(super) const ROW: u8 = b'R';
}

#[derive(Debug, Clone, Copy)]
struct KeptBatch {
    last_index: u64,
    bytes: usize,
    pieces: u16,
}

/// An open ledger. One process may have it, and one thread writes.
#[derive(Debug)]
pub struct Ledger {
    store: Store,
    applied: Option<Applied>,
    totals: RowTotals,
    kept: VecDeque<KeptBatch>,
    kept_bytes: usize,
    broken: bool,
}

impl Ledger {
    /// Opens a ledger, or creates an empty one where there is none.
    ///
    /// # Errors
    /// When another process has it, it is damaged, or the disk fails; each says what to do.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        Self::open_in(folder::Folder::create(path)?)
    }

    /// Opens a ledger that must exist already, as for verifying one whose coordinator is stopped.
    ///
    /// # Errors
    /// As [`Ledger::open`], and when there is none.
    pub fn open_existing(path: &Path) -> Result<Self, LedgerError> {
        Self::open_in(folder::Folder::existing(path)?)
    }

    fn open_in(folder: folder::Folder) -> Result<Self, LedgerError> {
        let store = Store::open(folder)?;
        let (totals, kept) = (RowTotals::default(), VecDeque::new());
        let mut ledger = Self { store, applied: None, totals, kept, kept_bytes: 0, broken: false };
        ledger.check_format()?;
        ledger.store.finish()?;
        if let Some(record) = ledger.read_applied()? {
            ledger.applied = Some(record.applied);
            ledger.totals = record.totals;
        } else if ledger.store.heads(table::ROW).next().is_some() {
            return Err(ledger.damaged("it holds rows of a restore that did not end".to_owned()));
        }
        ledger.find_kept_batches()?;
        Ok(ledger)
    }

    /// The last batch applied, `None` in an empty ledger.
    pub fn applied(&self) -> Option<&Applied> {
        self.applied.as_ref()
    }

    /// Every row, in key order. A damaged one is an error that names it, and the rest follow; rows that
    /// vanished are an error at the end.
    pub fn rows(&self) -> impl Iterator<Item = Result<(RowKey, Vec<u8>), LedgerError>> + '_ {
        let mut totals = RowTotals::default();
        let mut any_damaged = false;
        let mut ended = false;
        let mut values = self.store.values(vec![table::ROW]);
        std::iter::from_fn(move || {
            if let Some(found) = values.next() {
                let row = found.map_err(|fault| self.error(fault)).and_then(|(key, value, head)| {
                    totals.add(head);
                    let row = RowKey::decode(&key[1..]).ok_or_else(|| self.damaged_at(&key))?;
                    Ok((row, value))
                });
                any_damaged |= row.is_err();
                return Some(row);
            }
            let vanished = !ended && !any_damaged && totals != self.totals;
            ended = true;
            vanished.then(|| {
                let (expected, found) = (self.totals.count, totals.count);
                Err(self.damaged(format!("it has {found} rows, other than the {expected} that were written")))
            })
        })
    }

    /// The batches kept whose last entry lies after this index, in order.
    ///
    /// # Errors
    /// At the first that is damaged.
    pub fn batches_after(&self, index: u64) -> Result<Vec<StoredBatch>, LedgerError> {
        let from = batch_key(index.saturating_add(1));
        self.store
            .values(from)
            .map(|found| {
                let (key, value, _) = found.map_err(|fault| self.error(fault))?;
                self.stored_batch(&key, value)
            })
            .collect()
    }

    /// Writes batches and their rows, all or nothing, and returns when they are on the disk.
    ///
    /// # Errors
    /// Any error is final: the process must stop, for the disk may have lost what was not synced.
    pub fn commit(&mut self, writes: &[LedgerWrite]) -> Result<(), LedgerError> {
        let Some(last) = writes.last() else { return Ok(()) };
        self.unless_broken(|ledger| {
            ledger.check_order(writes)?;
            let mut changes = Changes::default();
            let mut rows: BTreeMap<Vec<u8>, Option<&[u8]>> = BTreeMap::new();
            for write in writes {
                rows.extend(write.rows.iter().map(|(key, value)| (row_key(key), value.as_deref())));
                ledger.put_batch(&mut changes, write)?;
            }
            for (key, value) in rows {
                ledger.put_row(&mut changes, &key, value)?;
            }
            ledger.prune(&mut changes);
            ledger.put_applied(&mut changes, &last.applied)?;
            ledger.store.write(changes)
        })?;
        self.applied = Some(last.applied.clone());
        Ok(())
    }

    /// Fills an empty ledger with a snapshot's rows, each key once.
    ///
    /// # Errors
    /// When it is not empty, or as [`Ledger::commit`]. A restore that did not end is found when the
    /// ledger is opened again.
    pub fn restore(
        &mut self,
        applied: &Applied,
        rows: impl IntoIterator<Item = (RowKey, Vec<u8>)>,
    ) -> Result<(), LedgerError> {
        if self.applied.is_some() {
            return Err(LedgerError::NotEmpty { path: self.store.path().to_owned() });
        }
        self.unless_broken(|ledger| {
            let mut changes = Changes::default();
            let mut bytes = 0;
            for (key, value) in rows {
                bytes += value.len();
                ledger.put_row(&mut changes, &row_key(&key), Some(&value))?;
                if bytes > RESTORE_STEP_BYTES {
                    bytes = 0;
                    ledger.store.write(std::mem::take(&mut changes))?;
                }
            }
            ledger.put_applied(&mut changes, applied)?;
            ledger.store.write(changes)
        })?;
        self.applied = Some(applied.clone());
        Ok(())
    }

    /// Runs a write; one that fails is the last.
    fn unless_broken(
        &mut self,
        write: impl FnOnce(&mut Self) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        if self.broken && !is_on(Mutant::RetryAfterError) {
            return Err(LedgerError::Broken);
        }
        self.broken = true;
        write(self)?;
        self.broken = false;
        Ok(())
    }

    /// Checks that the writes go on where the ledger stands, without a gap.
    fn check_order(&self, writes: &[LedgerWrite]) -> Result<(), LedgerError> {
        let mut last = self.applied.as_ref().map(|applied| applied.index);
        for write in writes {
            let expected = last.map_or(write.first_index, |index| index + 1);
            if write.first_index != expected || write.applied.index < expected {
                return Err(LedgerError::OutOfOrder { expected, found: write.first_index });
            }
            last = Some(write.applied.index);
        }
        Ok(())
    }

    fn put_batch(&mut self, changes: &mut Changes, write: &LedgerWrite) -> Result<(), LedgerError> {
        let last_index = write.applied.index;
        let value = [&write.applied.sequence.to_be_bytes()[..], &write.payload].concat();
        let head = changes.put(&batch_key(last_index), &value)?;
        self.kept.push_back(KeptBatch { last_index, bytes: value.len(), pieces: head.count });
        self.kept_bytes += value.len();
        Ok(())
    }

    /// Writes or deletes a row, with whatever pieces its former value had beyond the new one's.
    fn put_row(
        &mut self,
        changes: &mut Changes,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), LedgerError> {
        let former = self.store.head(key).map_err(|fault| self.error(fault))?;
        let head = value.map(|value| changes.put(key, value)).transpose()?;
        if let Some(head) = head {
            self.totals.add(head);
        }
        if let Some(former) = former {
            self.totals.subtract(former);
            changes.remove(key, head.map_or(0, |head| head.count)..former.count);
        }
        Ok(())
    }

    fn prune(&mut self, changes: &mut Changes) {
        while self.kept_bytes > KEPT_BATCH_BYTES && self.kept.len() > 1 {
            let Some(oldest) = self.kept.pop_front() else { return };
            self.kept_bytes -= oldest.bytes;
            changes.remove(&batch_key(oldest.last_index), 0..oldest.pieces);
        }
    }

    fn put_applied(&self, changes: &mut Changes, applied: &Applied) -> Result<(), LedgerError> {
        let record = AppliedRecord { applied: applied.clone(), totals: self.totals };
        // One piece, always: no pieces of a longer former value can stay behind.
        changes.put(&[table::APPLIED], &rmp_serde::to_vec_named(&record)?).map(|_| ())
    }

    fn check_format(&mut self) -> Result<(), LedgerError> {
        match self.store.values(vec![table::FORMAT]).next() {
            Some(Ok((_, bytes, _))) if bytes == FORMAT.to_be_bytes() => Ok(()),
            Some(Ok((_, bytes, _))) => {
                Err(self.damaged(format!("its format is {bytes:02x?}, this program knows {FORMAT}")))
            }
            Some(Err(fault)) => Err(self.error(fault)),
            None if self.store.is_empty() => {
                let mut changes = Changes::default();
                changes.put(&[table::FORMAT], &FORMAT.to_be_bytes())?;
                self.store.write(changes)
            }
            None => Err(self.damaged("it does not say its format".to_owned())),
        }
    }

    fn read_applied(&self) -> Result<Option<AppliedRecord>, LedgerError> {
        let Some(found) = self.store.values(vec![table::APPLIED]).next() else { return Ok(None) };
        let (_, bytes, _) = found.map_err(|fault| self.error(fault))?;
        rmp_serde::from_slice(&bytes)
            .map(Some)
            .map_err(|error| self.damaged(format!("its position does not decode: {error}")))
    }

    fn find_kept_batches(&mut self) -> Result<(), LedgerError> {
        let mut kept = VecDeque::new();
        for found in self.store.heads(table::BATCH) {
            let (key, head) = found.map_err(|fault| self.error(fault))?;
            let last_index = last_index_of(&key).ok_or_else(|| self.damaged_at(&key))?;
            kept.push_back(KeptBatch { last_index, bytes: head.bytes as usize, pieces: head.count });
        }
        self.kept_bytes = kept.iter().map(|batch| batch.bytes).sum();
        self.kept = kept;
        Ok(())
    }

    fn stored_batch(&self, key: &[u8], value: Vec<u8>) -> Result<StoredBatch, LedgerError> {
        let last_index = last_index_of(key).ok_or_else(|| self.damaged_at(key))?;
        let (sequence, _) = value.split_first_chunk().ok_or_else(|| self.damaged_at(key))?;
        let sequence = u64::from_be_bytes(*sequence);
        let payload = Bytes::from(value).slice(8..);
        let batch = Batch::decode(&payload)
            .map_err(|error| self.damaged(format!("its batch up to index {last_index}: {error}")))?;
        if batch.last_index() != last_index {
            return Err(self.damaged_at(key));
        }
        let (first_index, previous_hash) = (batch.first_index, batch.previous_hash);
        Ok(StoredBatch {
            first_index,
            last_index,
            sequence,
            hash: Hash::of(&payload),
            previous_hash,
            payload,
        })
    }

    fn error(&self, fault: Fault) -> LedgerError {
        match fault {
            Fault::Damaged(key) => self.damaged_at(&key),
            Fault::Failed(error) => error,
        }
    }

    fn damaged(&self, what: String) -> LedgerError {
        LedgerError::Damaged { path: self.store.path().to_owned(), what }
    }

    fn damaged_at(&self, key: &[u8]) -> LedgerError {
        let name = match key.split_first() {
            Some((&table::ROW, row)) => RowKey::decode(row).map(|row| row.to_string()),
            Some((&table::BATCH, _)) => last_index_of(key).map(|index| format!("batch up to index {index}")),
            Some((&table::APPLIED, _)) => Some("its position".to_owned()),
            Some((&table::FORMAT, _)) => Some("its format".to_owned()),
            _ => None,
        };
        let key = name.unwrap_or_else(|| format!("key {key:02x?}"));
        LedgerError::DamagedRow { path: self.store.path().to_owned(), key }
    }
}

fn row_key(key: &RowKey) -> Vec<u8> {
    [&[table::ROW][..], &key.encode()].concat()
}

fn batch_key(last_index: u64) -> Vec<u8> {
    [&[table::BATCH][..], &last_index.to_be_bytes()].concat()
}

fn last_index_of(batch_key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(batch_key.get(1..)?.try_into().ok()?))
}
