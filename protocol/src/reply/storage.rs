//! What is answered of snapshots and backups.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A snapshot that was written, read back and found to be the fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SnapshotTaken {
    /// Of the last entry that it contains.
    pub index: u64,
    pub incarnation: u64,
    /// The journal stream's, of that entry's batch.
    pub sequence: u64,
    pub bytes: u64,
    pub rows: u64,
    /// Audit records up to there.
    pub audit_records: u64,
    /// Time of that entry, in milliseconds since 1970.
    pub time_ms: u64,
}

/// What a backup that is taken now would hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackupSurvey {
    pub snapshots: Vec<SnapshotInfo>,
    pub journal: Stored,
    pub audit: Stored,
    /// By bucket.
    pub objects: BTreeMap<String, Stored>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SnapshotInfo {
    pub index: u64,
    pub bytes: u64,
}

/// Messages of a stream, or objects of a bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stored {
    pub count: u64,
    pub bytes: u64,
}
