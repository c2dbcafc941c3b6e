//! What is given to the ledger and what it gives back. This file must not store anything.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::RowKey;
use super::pieces::Head;
use crate::journal::{Batch, Hash, Position};

/// The last batch that the ledger holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    pub fleet: String,
    pub incarnation: u64,
    /// Index of the last entry.
    pub index: u64,
    /// The batch's sequence in the stream, when it was applied.
    pub sequence: u64,
    pub hash: Hash,
}

impl Applied {
    /// The journal's position that a fold continues from.
    pub fn position(&self) -> Position {
        Position { sequence: self.sequence, index: self.index, hash: self.hash }
    }
}

/// A batch as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBatch {
    pub first_index: u64,
    pub last_index: u64,
    /// Its sequence in the stream, when it was applied.
    pub sequence: u64,
    pub hash: Hash,
    pub previous_hash: Hash,
    /// The bytes, verbatim.
    pub payload: Bytes,
}

/// One acknowledged batch and the rows that it changed.
#[derive(Debug, Clone)]
pub struct LedgerWrite {
    pub first_index: u64,
    pub applied: Applied,
    /// The batch, verbatim.
    pub payload: Bytes,
    /// `None` deletes.
    pub rows: Vec<(RowKey, Option<Vec<u8>>)>,
}

impl LedgerWrite {
    /// What to write for a batch that the journal acknowledged at `sequence`.
    pub fn new(
        batch: &Batch,
        sequence: u64,
        hash: Hash,
        payload: Bytes,
        rows: Vec<(RowKey, Option<Vec<u8>>)>,
    ) -> Self {
        let applied = Applied {
            fleet: batch.fleet.clone(),
            incarnation: batch.incarnation,
            index: batch.last_index(),
            sequence,
            hash,
        };
        Self { first_index: batch.first_index, applied, payload, rows }
    }

    /// About how many bytes it writes.
    pub fn bytes(&self) -> usize {
        let row = |(_, value): &(RowKey, Option<Vec<u8>>)| 128 + value.as_ref().map_or(0, Vec::len);
        self.payload.len() + self.rows.iter().map(row).sum::<usize>()
    }
}

/// Count and sum of all rows' checksums: a row that vanished is noticed by them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RowTotals {
    pub(super) count: u64,
    pub(super) checksum: u64,
}

impl RowTotals {
    pub(super) fn add(&mut self, head: Head) {
        self.count += 1;
        self.checksum = self.checksum.wrapping_add(head.checksum);
    }

    pub(super) fn subtract(&mut self, head: Head) {
        self.count = self.count.saturating_sub(1);
        self.checksum = self.checksum.wrapping_sub(head.checksum);
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct AppliedRecord {
    pub(super) applied: Applied,
    pub(super) totals: RowTotals,
}
