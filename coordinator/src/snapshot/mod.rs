//! Snapshots: the fleet at an index, as an object in a bucket, and what they are for: a journal that stays bounded.
//!
//! ```text
//!   acknowledged batches --> Shadow (a fold of its own) --every N entries--> encode --> BIOXEN_SNAPSHOTS
//!                                                                              read back, verified  |
//!   journal <--purged below the older one kept, as far as projector and ledger have come ----------'
//!   readers --> beginning(): the journal's first batch, or a snapshot that joins what it still holds
//! ```
//!
//! A snapshot is never trusted for having been written: it counts once it was read back, decoded, and its rows were found
//! to be those of the fold. This module must not decide anything about the fleet.

mod beginning;
mod compact;
mod file;
pub(crate) mod keeper;
mod shadow;
mod store;

use serde::{Deserialize, Serialize};

use crate::journal::api::ApiError;
use crate::journal::{BatchError, Hash, Position, ReadError};
use crate::ledger::{LedgerError, RowKey};
use crate::rows::RowsError;

pub use beginning::{Which, beginning};
pub use file::{decode, encode};
pub use shadow::Shadow;
pub use store::{Listed, SNAPSHOTS_BUCKET, SnapshotStore};

/// How often snapshots are taken, and how the journal is compacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SnapshotSettings {
    /// Entries between two snapshots. An idle fleet journals two a second.
    pub every_entries: u64,
    /// Bytes of journal between two snapshots, where these come first.
    pub every_bytes: u64,
    /// Never more often than this.
    pub pause_seconds: u64,
    /// What events, audit and ledger held so long ago is taken to be on their disks.
    pub settled_seconds: u64,
}

impl Default for SnapshotSettings {
    fn default() -> Self {
        // 1 GiB is reserved for the journal; up to three intervals stand in it.
        Self {
            every_entries: 100_000,
            every_bytes: 128 * 1024 * 1024,
            pause_seconds: 10,
            settled_seconds: 30,
        }
    }
}

/// What a snapshot says of itself, before its rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The fleet's id.
    pub fleet: String,
    pub incarnation: u64,
    /// Of the last entry that it contains.
    pub index: u64,
    /// Of that entry's batch, in the stream as it was then.
    pub sequence: u64,
    pub hash: Hash,
    /// Time of that entry, in milliseconds since 1970.
    pub time_ms: u64,
    /// The last durable submission consumed.
    pub submit_sequence: u64,
    /// The last audit record up to there, and its hash: the chain goes on behind it.
    pub audit_number: u64,
    pub audit_hash: String,
    /// The last entry up to there that gave users an event.
    pub last_event_index: u64,
}

impl Head {
    pub fn position(&self) -> Position {
        Position { sequence: self.sequence, index: self.index, hash: self.hash }
    }
}

/// The fleet at an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub head: Head,
    /// Every row, in the order of keys.
    pub rows: Vec<(RowKey, Vec<u8>)>,
}

/// Why a snapshot cannot be written, read or used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("bucket {SNAPSHOTS_BUCKET} cannot be used: {0}; has JetStream room for it?")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("it begins with other bytes than a snapshot does")]
    NotASnapshot,
    #[error(
        "it has format {found}, this program knows format {}: start a version that knows it",
        file::FORMAT
    )]
    UnknownFormat { found: u16 },
    #[error("its checksum does not fit what it holds: it is damaged")]
    Checksum,
    #[error("it cannot be decoded: {0}")]
    Undecodable(String),
    #[error("it cannot be encoded: {0}")]
    Unencodable(String),
    #[error("its rows are no fleet: {0}")]
    Rows(#[from] RowsError),
    #[error("what was read back is not what was written at index {index}")]
    Different { index: u64 },
    #[error("the journal cannot be read: {0}")]
    Journal(#[from] ReadError),
    #[error("the journal does not answer: {0}")]
    Api(#[from] ApiError),
    #[error("a batch cannot be read: {0}")]
    Batch(#[from] BatchError),
    #[error("an audit record cannot be written: {0}")]
    Audit(#[from] serde_json::Error),
    #[error(
        "the journal begins behind index {first_index}, and no snapshot in {SNAPSHOTS_BUCKET} joins it: what came before \
         is in neither; restore a backup, or put the bucket back"
    )]
    NoBeginning { first_index: u64 },
    #[error("the ledger cannot be filled from it: {0}")]
    Ledger(#[from] LedgerError),
}

#[cfg(test)]
mod tests;
