//! Backups: a whole fleet in one file, taken under load, restored on an empty bus.
//!
//! ```text
//!   checkpoints, then  snapshot + journal to its end at index N, then  audit up to N, packages, results
//!        `------------------------------ one tar, each part with its digest -----------------------'
//!   restore: all digests, the fold, its rows, the audit chain are checked --> an empty bus --> a higher incarnation
//! ```
//!
//! Checkpoints are read before the journal's end is, and what the journal refers to after it: so none is newer than the
//! fleet and nothing that it names is missing. It all goes over the bus: no coordinator need run, none need stop.
//! This module must not decide anything about the fleet, but for the entries that begin a new incarnation.

mod archive;
mod check;
mod create;
mod manifest;
mod objects;
mod restore;
mod survey;

use std::path::PathBuf;

use crate::journal::api::ApiError;
use crate::journal::{AppendError, BatchError, ReadError};
use crate::snapshot::SnapshotError;

pub use archive::Archive;
pub use check::check;
pub use create::create;
pub use manifest::{Counts, Manifest, ObjectName, Part, PartKind};
pub use restore::{Options, Restored, restore};
pub use survey::survey;

/// Why a backup was not taken, read or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("{} exists already: name another file", .0.display())]
    Exists(PathBuf),
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error(
        "the backup {} cannot be written ({source}): no file is left of it; make room, or name a file on another disk",
        path.display()
    )]
    Unwritten { path: PathBuf, source: std::io::Error },
    #[error("{} is no backup: {reason}", path.display())]
    NotABackup { path: PathBuf, reason: String },
    #[error("{} is a backup of format {found}, this program knows format {}: use a version that knows it", path.display(), manifest::FORMAT)]
    UnknownFormat { path: PathBuf, found: u16 },
    #[error("{part} of {} is damaged: {reason}; take another backup, nothing was written", path.display())]
    Damaged { path: PathBuf, part: String, reason: String },
    #[error("there is nothing to back up: the journal is empty; is this the fleet's nats-server?")]
    Empty,
    #[error(
        "the journal was compacted while it was read, {0} times: take the backup when the fleet is calmer"
    )]
    Compacted(u32),
    #[error(
        "the bus is not empty, so nothing was restored: {}; start nats-server with an empty store_dir, and restore there",
        .0.join(", ")
    )]
    NotEmpty(Vec<String>),
    #[error(
        "the audit stream takes no more: raise [streams] audit_max_bytes in --config, and begin again on an empty bus"
    )]
    AuditFull,
    #[error("bucket {bucket}: {source}")]
    Bucket { bucket: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error(transparent)]
    Buckets(#[from] crate::buckets::BucketError),
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error("the journal cannot be read: {0}")]
    Journal(#[from] ReadError),
    #[error("the journal cannot be written: {0}; begin again on an empty bus")]
    Append(#[from] AppendError),
    #[error("a batch: {0}")]
    Batch(#[from] BatchError),
    #[error("{0}")]
    Api(#[from] ApiError),
    #[error("{0}")]
    Stream(#[from] crate::journal::streams::StreamError),
    #[error("{0}")]
    Server(#[from] crate::journal::server::ServerError),
    #[error("no randomness for the new incarnation, so nothing was restored: {0}; try again")]
    Random(#[from] getrandom::Error),
    #[error("the manifest: {0}")]
    Json(#[from] serde_json::Error),
}
