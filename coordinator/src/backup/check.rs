//! Checking a backup before anything is done with it: digests, the chain of batches, the fleet that they give, and the
//! audit records.

use bioxen_protocol::audit::AuditRecord;
use bytes::Bytes;

use super::create::digest_of_rows;
use super::{Archive, BackupError, Part, PartKind};
use crate::journal::api::Stored;
use crate::journal::{JournalBatch, Position};
use crate::projector::Chain;
use crate::snapshot::{Shadow, decode};

/// Reads every part, and folds the fleet that the backup holds.
///
/// # Errors
/// At the first thing that is not what was written.
pub fn check(archive: &Archive) -> Result<Shadow, BackupError> {
    for part in archive.parts(PartKind::Object) {
        archive.read(part)?;
    }
    let shadow = fold(archive)?;
    let manifest = archive.manifest();
    let (rows, hash) = (digest_of_rows(&shadow)?, shadow.position.hash.to_string());
    if (shadow.position.index, hash, rows)
        != (manifest.index, manifest.hash.clone(), manifest.rows_sha256.clone())
    {
        let found = shadow.position.index;
        return Err(archive.wrong(format!(
            "its batches give another fleet, at index {found}, than its manifest says of index {}",
            manifest.index
        )));
    }
    check_audit(archive, &shadow)?;
    Ok(shadow)
}

fn fold(archive: &Archive) -> Result<Shadow, BackupError> {
    let mut shadow = Shadow::first();
    for part in archive.parts(PartKind::Snapshot) {
        shadow = Shadow::at_its_own(&decode(&archive.read(part)?)?)?;
    }
    for part in archive.parts(PartKind::Journal) {
        for payload in batches(archive, part)? {
            let stored = Stored { sequence: shadow.position.sequence + 1, payload };
            shadow.fold(&JournalBatch::prove(stored, &shadow.position)?)?;
        }
    }
    Ok(shadow)
}

/// The batches of a part, verbatim.
pub(super) fn batches(archive: &Archive, part: &Part) -> Result<Vec<Bytes>, BackupError> {
    let mut rest = Bytes::from(archive.read(part)?);
    let mut batches = Vec::new();
    while !rest.is_empty() {
        let length = rest.first_chunk::<4>().map(|length| u32::from_be_bytes(*length) as usize);
        let length = length.filter(|length| rest.len() - 4 >= *length);
        let length = length.ok_or_else(|| archive.damaged(part, "a batch is cut short"))?;
        let _ = rest.split_to(4);
        batches.push(rest.split_to(length));
    }
    Ok(batches)
}

/// The records of a part, and each one's bytes.
pub(super) fn records(archive: &Archive, part: &Part) -> Result<Vec<(AuditRecord, Bytes)>, BackupError> {
    let bytes = Bytes::from(archive.read(part)?);
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let record = serde_json::from_slice(line);
            let record = record.map_err(|_| archive.damaged(part, "it holds what is no audit record"))?;
            Ok((record, bytes.slice_ref(line)))
        })
        .collect()
}

fn check_audit(archive: &Archive, shadow: &Shadow) -> Result<(), BackupError> {
    let mut chain = Chain::start();
    for part in archive.parts(PartKind::Audit) {
        for (record, _) in records(archive, part)? {
            let hash = record.expected_hash()?;
            if record.number != chain.number + 1 || record.previous_hash != chain.hash || record.hash != hash
            {
                let number = record.number;
                return Err(archive.damaged(part, &format!("its chain breaks at audit record {number}")));
            }
            chain = Chain { number: record.number, hash };
        }
    }
    if chain.number == shadow.chain.number && chain != shadow.chain {
        return Err(archive.wrong("its audit records are not those of its journal".to_owned()));
    }
    Ok(())
}

/// Where its batches begin to be appended, in an empty stream.
pub(super) const EMPTY_STREAM: u64 = Position::START.sequence;
