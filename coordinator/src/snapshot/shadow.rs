//! The follower core: a fold of its own of the same batches, which also counts audit records and events, so that a
//! snapshot can say where both streams stand at its index.

use crate::fleet::Fleet;
use crate::journal::{Batch, JournalBatch, Position};
use crate::ledger::{Applied, RowKey};
use crate::projector::{Chain, shadowed};
use crate::rows;

use super::{Head, Snapshot, SnapshotError};

/// A fold of the journal up to a position, and where the streams that are folded from it stand there.
#[derive(Debug, Clone)]
pub struct Shadow {
    pub fleet: Fleet,
    /// None before the first batch of a fleet.
    pub fleet_id: Option<String>,
    /// In the stream as it is now.
    pub position: Position,
    pub chain: Chain,
    pub last_event_index: u64,
}

impl Shadow {
    /// Folds the next batch. False where batches are missing before it; one that was folded already changes nothing.
    ///
    /// # Errors
    /// When an audit record cannot be written.
    pub fn fold(&mut self, batch: &JournalBatch) -> Result<bool, SnapshotError> {
        if batch.batch.last_index() <= self.position.index {
            return Ok(true);
        }
        if batch.batch.first_index != self.position.index + 1 {
            return Ok(false);
        }
        self.fold_batch(&batch.batch)?;
        self.position = batch.position();
        Ok(true)
    }

    fn fold_batch(&mut self, batch: &Batch) -> Result<(), SnapshotError> {
        self.fleet_id.get_or_insert_with(|| batch.fleet.clone());
        self.fleet.incarnation = batch.incarnation;
        for entry in &batch.entries {
            let index = self.fleet.next_index;
            if shadowed(&mut self.fleet, batch.time_ms, entry, &mut self.chain)? {
                self.last_event_index = index;
            }
        }
        self.fleet.submit_sequence = batch.submit_sequence;
        Ok(())
    }

    /// Where the ledger would stand.
    pub fn applied(&self) -> Applied {
        Applied {
            fleet: self.fleet_id.clone().unwrap_or_default(),
            incarnation: self.fleet.incarnation,
            index: self.position.index,
            sequence: self.position.sequence,
            hash: self.position.hash,
        }
    }

    /// The fleet as it stands.
    ///
    /// # Errors
    /// When a row cannot be encoded.
    pub fn snapshot(&self) -> Result<Snapshot, SnapshotError> {
        let head = Head {
            fleet: self.fleet_id.clone().unwrap_or_default(),
            incarnation: self.fleet.incarnation,
            index: self.position.index,
            sequence: self.position.sequence,
            hash: self.position.hash,
            time_ms: self.fleet.time_ms,
            submit_sequence: self.fleet.submit_sequence,
            audit_number: self.chain.number,
            audit_hash: self.chain.hash.clone(),
            last_event_index: self.last_event_index,
        };
        Ok(Snapshot { head, rows: rows_of(&self.fleet)? })
    }
}

/// Every row of a fleet, in the order of keys.
pub(super) fn rows_of(fleet: &Fleet) -> Result<Vec<(RowKey, Vec<u8>)>, SnapshotError> {
    let mut rows: Vec<(RowKey, Vec<u8>)> =
        rows::all(fleet)?.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    rows.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(rows)
}

impl Snapshot {
    /// The fleet that it holds, having checked that this fleet's rows are its own.
    ///
    /// # Errors
    /// When its rows are no fleet, or another than their own.
    pub fn load(&self) -> Result<Fleet, SnapshotError> {
        let fleet = rows::load(self.rows.iter().cloned().map(Ok), self.head.index)?;
        if rows_of(&fleet)? != self.rows {
            return Err(SnapshotError::Different { index: self.head.index });
        }
        Ok(fleet)
    }
}
