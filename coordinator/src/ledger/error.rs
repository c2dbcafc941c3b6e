//! What can go wrong with a ledger, and what to do about each.

use std::io;
use std::path::PathBuf;

/// Why the ledger cannot be opened, read or written. An error of a write is final for the process.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error(
        "the ledger {} is in use by another process: one coordinator has one ledger; stop the other, or \
         configure another directory", .path.display()
    )]
    InUse { path: PathBuf },
    #[error("there is no ledger in {}: give the directory that a coordinator wrote", .path.display())]
    Missing { path: PathBuf },
    #[error(
        "the ledger {} is damaged ({what}): delete the directory, it is built again from the journal",
        .path.display()
    )]
    Damaged { path: PathBuf, what: String },
    #[error(
        "the ledger {} is damaged at {key}: its checksum does not fit; delete the directory, it is built again \
         from the journal", .path.display()
    )]
    DamagedRow { path: PathBuf, key: String },
    #[error(
        "the ledger {} has files in blobs/, which do not survive a power cut: delete the directory, it is \
         built again from the journal", .path.display()
    )]
    Blobs { path: PathBuf },
    #[error(
        "the disk under the ledger {} failed while {doing} ({source}): the coordinator must stop, what it wrote last \
         may be gone; look at the disk and its room, then start again", .path.display()
    )]
    Disk { path: PathBuf, doing: &'static str, source: io::Error },
    #[error(
        "sled cannot go on with the ledger {} ({what}): the coordinator must stop; start it again, and if that \
         fails delete the directory, it is built again from the journal", .path.display()
    )]
    Store { path: PathBuf, what: String },
    #[error("the ledger {} holds a fleet already: set it aside before a snapshot is restored", .path.display())]
    NotEmpty { path: PathBuf },
    #[error("the ledger was given index {found} where {expected} comes next: a batch was left out; stop")]
    OutOfOrder { expected: u64, found: u64 },
    #[error(
        "a row of {bytes} bytes is larger than the ledger takes ({} bytes)",
        super::pieces::MAX_VALUE_BYTES
    )]
    ValueTooLarge { bytes: usize },
    #[error("the ledger's position cannot be encoded: {0}")]
    Unencodable(#[from] rmp_serde::encode::Error),
    #[error("the ledger failed before and takes no more writes: the coordinator must stop")]
    Broken,
    #[error("the ledger's thread has ended: the coordinator must stop")]
    Ended,
}
