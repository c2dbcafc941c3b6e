//! Taking a backup, while the fleet goes on.

use std::path::Path;
use std::time::{Duration, Instant};

use async_nats::Client;
use bioxen_protocol::audit::AuditRecord;
use bioxen_protocol::digest::sha256_hex;

use super::archive::{PART_BYTES, Writer, unwritten};
use super::manifest::FORMAT;
use super::objects::{self, BUCKETS};
use super::{BackupError, Counts, Manifest, PartKind};
use crate::driver::wall_ms;
use crate::journal::{Journal, Patience, ReadError};
use crate::projector::copies;
use crate::snapshot::{Shadow, SnapshotError, SnapshotStore, Which, beginning, encode};

/// How often it begins again where the journal is compacted while it is read.
const ATTEMPTS: u32 = 3;
/// How long the audit stream may lag behind the journal; what is still missing then is published after a restore.
const AUDIT_PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);

/// Writes a backup of the fleet on this bus into a new file. It is complete when this returns, or not there.
///
/// # Errors
/// When the file exists or cannot be written, or the bus does not give what belongs to it.
pub async fn create(client: &Client, path: &Path) -> Result<Manifest, BackupError> {
    if path.exists() {
        return Err(BackupError::Exists(path.to_owned()));
    }
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".unfinished");
    let unfinished = Path::new(&unfinished);
    let mut attempt = 1;
    let written = loop {
        match write(client, unfinished).await {
            Err(
                BackupError::Journal(ReadError::Gap { .. })
                | BackupError::Snapshot(SnapshotError::NoBeginning { .. }),
            ) if attempt < ATTEMPTS => attempt += 1,
            Err(BackupError::Journal(ReadError::Gap { .. })) => break Err(BackupError::Compacted(attempt)),
            written => break written,
        }
    };
    let moved = |manifest| {
        std::fs::rename(unfinished, path).map_err(|source| unwritten(path, source))?;
        Ok(manifest)
    };
    written.and_then(moved).map_err(|error| {
        // Why it failed is what matters.
        let _ = std::fs::remove_file(unfinished);
        match error {
            BackupError::Unwritten { source, .. } => unwritten(path, source),
            error => error,
        }
    })
}

async fn write(client: &Client, path: &Path) -> Result<Manifest, BackupError> {
    let journal = Journal::new(client.clone(), Patience::default());
    let taken_ms = wall_ms();
    let mut writer = Writer::create(path)?;
    let [first, after @ ..] = BUCKETS;
    objects::save(client, first, &mut writer).await?;
    let mut shadow = beginning(&journal, Which::Oldest, |_| true).await?.unwrap_or_else(Shadow::first);
    let snapshot_index = shadow.position.index;
    if snapshot_index > 0 {
        put_snapshot(&journal, snapshot_index, &mut writer).await?;
    }
    let mut counts = Counts::default();
    put_journal(&journal, &mut shadow, &mut writer, &mut counts).await?;
    counts.audit_records = put_audit(client, &shadow, &mut writer).await?;
    for bucket in after {
        objects::save(client, bucket, &mut writer).await?;
    }
    let at = shadow.snapshot()?;
    counts.rows = at.rows.len() as u64;
    counts.entries = shadow.position.index - snapshot_index;
    [counts.checkpoints, counts.packages, counts.results] =
        BUCKETS.map(|bucket| writer.count(PartKind::Object, bucket));
    writer.finish(Manifest {
        format: FORMAT,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        fleet: shadow.fleet_id.clone().ok_or(BackupError::Empty)?,
        incarnation: shadow.fleet.incarnation,
        taken_ms,
        index: shadow.position.index,
        hash: shadow.position.hash.to_string(),
        time_ms: shadow.fleet.time_ms,
        snapshot_index,
        rows_sha256: digest_of_rows(&shadow)?,
        audit_number: shadow.chain.number,
        counts,
        parts: Vec::new(),
    })
}

/// SHA-256 over the fleet's rows; where it stands in a stream does not enter.
pub(super) fn digest_of_rows(shadow: &Shadow) -> Result<String, SnapshotError> {
    let mut snapshot = shadow.snapshot()?;
    snapshot.head.sequence = 0;
    let mut bytes = Vec::new();
    for (key, value) in &snapshot.rows {
        for part in [&key.encode(), value] {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part);
        }
    }
    Ok(sha256_hex(&bytes))
}

async fn put_snapshot(journal: &Journal, index: u64, writer: &mut Writer) -> Result<(), BackupError> {
    let gone = || SnapshotError::NoBeginning { first_index: index };
    let store = SnapshotStore::open(journal).await?.ok_or_else(gone)?;
    let snapshot = store.get(index).await?.ok_or_else(gone)?;
    writer.put(PartKind::Snapshot, None, &encode(&snapshot)?)
}

async fn put_journal(
    journal: &Journal,
    shadow: &mut Shadow,
    writer: &mut Writer,
    counts: &mut Counts,
) -> Result<(), BackupError> {
    let mut piece = Vec::new();
    let mut failed: Option<BackupError> = None;
    let from = shadow.position;
    let read = journal.read_after(from, |batch| {
        if failed.is_some() {
            return;
        }
        counts.batches += 1;
        // A batch is at most half a MiB.
        piece.extend_from_slice(&u32::try_from(batch.payload.len()).unwrap_or(u32::MAX).to_be_bytes());
        piece.extend_from_slice(&batch.payload);
        failed = shadow.fold(&batch).err().map(BackupError::from);
        if piece.len() >= PART_BYTES && failed.is_none() {
            failed = writer.put(PartKind::Journal, None, &std::mem::take(&mut piece)).err();
        }
    });
    read.await?;
    if let Some(failed) = failed {
        return Err(failed);
    }
    if piece.is_empty() { Ok(()) } else { writer.put(PartKind::Journal, None, &piece) }
}

/// Records of entries up to where the fleet was folded; how many there are.
async fn put_audit(client: &Client, shadow: &Shadow, writer: &mut Writer) -> Result<u64, BackupError> {
    let started = Instant::now();
    let (mut piece, mut number, mut sequence) = (Vec::new(), 0, 1);
    while number < shadow.chain.number {
        let page = copies::audit_page(client, sequence).await?;
        if page.is_empty() {
            if started.elapsed() >= AUDIT_PATIENCE {
                tracing::warn!(number, expected = shadow.chain.number, "the audit stream is behind");
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        for stored in page {
            sequence = stored.sequence + 1;
            let Ok(record) = serde_json::from_slice::<AuditRecord>(&stored.payload) else { continue };
            if record.number > shadow.chain.number || record.index > shadow.position.index {
                break;
            }
            number = record.number;
            piece.extend_from_slice(&stored.payload);
            piece.push(b'\n');
            if piece.len() >= PART_BYTES {
                writer.put(PartKind::Audit, None, &std::mem::take(&mut piece))?;
            }
        }
    }
    if !piece.is_empty() {
        writer.put(PartKind::Audit, None, &piece)?;
    }
    Ok(number)
}
