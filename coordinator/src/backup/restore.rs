//! Restoring a backup on an empty bus: everything is checked, then written, and last a new incarnation begins, so that
//! whatever worked for the fleet before is fenced (I4).

use std::time::Duration;

use async_nats::Client;
use bioxen_protocol::id::OperatorId;
use bytes::Bytes;
use serde::Serialize;

use super::check::{EMPTY_STREAM, batches, check, records};
use super::objects::{self, BUCKETS};
use super::{Archive, BackupError, PartKind};
use crate::buckets;
use crate::driver::wall_ms;
use crate::fleet::entry::Entry;
use crate::journal::api::{self, code};
use crate::journal::batch::{FORMAT, MAX_BATCH_ENTRIES};
use crate::journal::streams::{self, StreamSettings};
use crate::journal::{Batch, Hash, Journal, Patience, server};
use crate::ledger::StoredBatch;
use crate::projector::copies::AuditWriter;
use crate::snapshot::{SNAPSHOTS_BUCKET, Shadow, SnapshotStore};

/// How long one request may take.
const WAIT: Duration = Duration::from_secs(5);

/// A new incarnation is the second of its beginning and so many bits drawn by chance: below 2^53 until the year 2106, so
/// that every client reads it exactly.
const INCARNATION_CHANCE_BITS: u32 = 20;

/// What a restore is told.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who does it, for the audit trail.
    pub operator: OperatorId,
    /// How the streams are made: as the coordinator's configuration says.
    pub streams: StreamSettings,
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Restored {
    pub fleet: String,
    /// The new one.
    pub incarnation: u64,
    /// The fleet is as it was at this entry; what follows begins the new incarnation.
    pub index: u64,
    pub batches: u64,
    pub audit_records: u64,
    pub objects: u64,
}

/// Restores a backup; no coordinator may run there yet.
///
/// # Errors
/// Before anything is written: when the backup is damaged or the bus is not empty. Later: when the bus fails; then it
/// must be emptied again.
pub async fn restore(client: &Client, archive: &Archive, options: &Options) -> Result<Restored, BackupError> {
    server::check(client, WAIT).await?;
    refuse_unless_empty(client).await?;
    let shadow = check(archive)?;
    let mut chance = [0; 4];
    getrandom::fill(&mut chance)?;
    let incarnation = incarnation_behind(shadow.fleet.incarnation, wall_ms(), u32::from_be_bytes(chance));
    make_streams(client, &options.streams).await?;
    let mut objects = 0;
    for part in archive.parts(PartKind::Object) {
        if let Some(object) = &part.object {
            objects::put(client, object, &archive.read(part)?).await?;
            objects += 1;
        }
    }
    let audit_records = write_audit(client, archive, shadow.chain.number).await?;
    let journal = Journal::new(client.clone(), Patience::default());
    let (count, last_sequence) = write_journal(&journal, archive).await?;
    let begun = new_incarnation(&shadow, &options.operator, incarnation)?;
    journal.reappend(&begun, last_sequence, false).await?;
    // Last: without it a journal that does not begin with the first entry is of no use to a coordinator.
    let store = SnapshotStore::open(&journal).await?;
    for part in archive.parts(PartKind::Snapshot) {
        if let Some(store) = &store {
            store.put(archive.manifest().snapshot_index, &archive.read(part)?).await?;
        }
    }
    Ok(Restored {
        fleet: archive.manifest().fleet.clone(),
        incarnation,
        index: shadow.position.index,
        batches: count + begun.len() as u64,
        audit_records,
        objects,
    })
}

async fn refuse_unless_empty(client: &Client) -> Result<(), BackupError> {
    let own = [streams::JOURNAL, streams::SUBMIT, streams::EVENTS, streams::AUDIT].map(str::to_owned);
    let below = |bucket: &str| format!("OBJ_{bucket}");
    let buckets = BUCKETS.iter().copied().chain([SNAPSHOTS_BUCKET]).map(below);
    let mut found = Vec::new();
    for stream in own.into_iter().chain(buckets) {
        match api::stream_state(client, &stream, WAIT).await {
            Ok(state) if state.last_sequence > 0 => {
                let (messages, last) = (state.messages, state.last_sequence);
                found.push(format!("{stream} holds {messages} messages (its last sequence is {last})"));
            }
            Ok(_) => {}
            Err(error) if error.code() == Some(code::STREAM_NOT_FOUND) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if found.is_empty() { Ok(()) } else { Err(BackupError::NotEmpty(found)) }
}

async fn make_streams(client: &Client, settings: &StreamSettings) -> Result<(), BackupError> {
    streams::ensure(client, settings, WAIT).await?;
    Ok(buckets::ensure(client, settings.replicas).await?)
}

/// Records as they were. Where the stream was behind its journal, the last entry's are left to be published again.
async fn write_audit(client: &Client, archive: &Archive, complete: u64) -> Result<u64, BackupError> {
    let mut writer = AuditWriter::open(client).await?;
    for part in archive.parts(PartKind::Audit) {
        for (record, payload) in records(archive, part)? {
            if !writer.push(record, payload).await? {
                return Err(BackupError::AuditFull);
            }
        }
    }
    let written = writer.finish(complete).await?;
    written.ok_or(BackupError::AuditFull)
}

/// Batches as they were; how many, and the stream's last sequence.
async fn write_journal(journal: &Journal, archive: &Archive) -> Result<(u64, u64), BackupError> {
    let (mut count, mut last_sequence) = (0, EMPTY_STREAM);
    for part in archive.parts(PartKind::Journal) {
        let stored: Vec<StoredBatch> =
            batches(archive, part)?.into_iter().map(stored).collect::<Result<_, _>>()?;
        let appended = journal.reappend(&stored, last_sequence, false).await?;
        count += stored.len() as u64;
        last_sequence = appended.last_sequence;
    }
    Ok((count, last_sequence))
}

fn stored(payload: Bytes) -> Result<StoredBatch, BackupError> {
    let batch = Batch::decode(&payload)?;
    Ok(StoredBatch {
        first_index: batch.first_index,
        last_index: batch.last_index(),
        sequence: 0,
        hash: Hash::of(&payload),
        previous_hash: batch.previous_hash,
        payload,
    })
}

/// An incarnation above the one before, and above what any earlier restore of the same backup began, so that workers of
/// none of them count here; two of one second differ by chance.
fn incarnation_behind(before: u64, now_ms: u64, chance: u32) -> u64 {
    let chance = u64::from(chance) % (1 << INCARNATION_CHANCE_BITS);
    let of_now = ((now_ms / 1000) << INCARNATION_CHANCE_BITS) + chance;
    // Where the clock was ahead once, chance alone tells them apart.
    of_now.max(before + 1 + chance)
}

/// Batches of the incarnation that begins: what was to stop has stopped, and whatever was placed has ended.
fn new_incarnation(
    shadow: &Shadow,
    operator: &OperatorId,
    incarnation: u64,
) -> Result<Vec<StoredBatch>, BackupError> {
    let taken_ms = shadow.fleet.time_ms;
    let begun = Entry::BackupRestored { operator: operator.clone(), taken_ms };
    let entries: Vec<Entry> = shadow.fleet.ends_of_all().into_iter().chain([begun]).collect();
    let mut position = shadow.position;
    let mut batches = Vec::new();
    for entries in entries.chunks(MAX_BATCH_ENTRIES / 4) {
        let batch = Batch {
            format: FORMAT,
            fleet: shadow.fleet_id.clone().unwrap_or_default(),
            incarnation,
            epoch: shadow.fleet.epoch,
            first_index: position.index + 1,
            time_ms: wall_ms().max(taken_ms),
            previous_hash: position.hash,
            // The stream of durable submissions is a new one.
            submit_sequence: 0,
            entries: entries.to_vec(),
        };
        let (payload, hash) = batch.encode()?;
        position.index = batch.last_index();
        position.hash = hash;
        batches.push(stored(payload)?);
    }
    Ok(batches)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_795_333_229_123;

    #[test]
    fn a_later_restore_has_the_higher_incarnation_and_clients_read_it_exactly() {
        let first = incarnation_behind(1, NOW_MS, u32::MAX);
        let later = incarnation_behind(1, NOW_MS + 1000, 0);
        assert!(later > first && first > 1, "{first}, {later}");
        let in_2106 = incarnation_behind(first, u64::from(u32::MAX) * 1000, u32::MAX);
        assert!(in_2106 < 1 << 53, "{in_2106}");
        let next = incarnation_behind(later, NOW_MS - 60_000, 7);
        assert_eq!(next, later + 8, "the clock was set back");
    }

    #[test]
    fn two_restores_of_one_second_differ_by_what_was_drawn() {
        assert_ne!(incarnation_behind(1, NOW_MS, 5), incarnation_behind(1, NOW_MS, 6));
    }
}
