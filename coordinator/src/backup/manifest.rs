//! What a backup says of itself: which fleet, up to where, and the digest of each part.

use serde::{Deserialize, Serialize};

/// What this program writes, and reads.
pub(super) const FORMAT: u16 = 1;

/// The last part of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u16,
    /// The version that took it.
    pub program: String,
    /// The fleet's id.
    pub fleet: String,
    pub incarnation: u64,
    /// When it was begun, in milliseconds since 1970.
    pub taken_ms: u64,
    /// The fleet is complete up to this entry.
    pub index: u64,
    /// Of that entry's batch.
    pub hash: String,
    /// Time of that entry, in milliseconds since 1970.
    pub time_ms: u64,
    /// Of the snapshot that it holds; 0 where the journal is whole.
    pub snapshot_index: u64,
    /// SHA-256 of every row of the fleet at `index`, in hex.
    pub rows_sha256: String,
    /// The audit record up to which the journal gives them.
    pub audit_number: u64,
    pub counts: Counts,
    pub parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub rows: u64,
    pub batches: u64,
    pub entries: u64,
    pub audit_records: u64,
    pub checkpoints: u64,
    pub packages: u64,
    pub results: u64,
}

/// One file in the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub name: String,
    pub kind: PartKind,
    pub bytes: u64,
    /// In hex.
    pub sha256: String,
    /// Where it is an object of a bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectName>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectName {
    pub bucket: String,
    pub name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartKind {
    /// As it stood in its bucket.
    Snapshot,
    /// Batches verbatim, each behind its length as 4 bytes, big-endian.
    Journal,
    /// Records verbatim, one a line.
    Audit,
    Object,
}
