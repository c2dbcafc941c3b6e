//! Snapshots of fleets of random histories: they read back as they were, and damage is found.

use super::*;
use crate::fleet::Fleet;
use crate::fleet::entry::Entry;
use crate::journal::{Batch, JournalBatch};

fn shadow() -> Shadow {
    let mut shadow = Shadow::first();
    for epoch in 1..=20 {
        let leader = Entry::Leader { epoch, coordinator: format!("c{epoch}") };
        let batch = Batch {
            format: crate::journal::batch::FORMAT,
            fleet: "lab".to_owned(),
            incarnation: 1,
            epoch,
            first_index: shadow.position.index + 1,
            time_ms: 1_700_000_000_000 + epoch,
            previous_hash: shadow.position.hash,
            submit_sequence: epoch,
            entries: vec![leader, Entry::Tick],
        };
        let (payload, hash) = batch.encode().unwrap();
        let batch = JournalBatch { sequence: epoch, hash, payload, batch };
        assert!(shadow.fold(&batch).unwrap());
        assert!(shadow.fold(&batch).unwrap(), "one that was folded already changes nothing");
    }
    shadow
}

#[test]
fn a_snapshot_reads_back_as_it_was_written() {
    let shadow = shadow();
    let written = shadow.snapshot().unwrap();
    assert_eq!((written.head.index, written.head.audit_number), (40, 20));
    let read = decode(&encode(&written).unwrap()).unwrap();
    assert_eq!(read, written);
    let fleet: Fleet = read.load().unwrap();
    assert_eq!(fleet.head(), shadow.fleet.head());
}

#[test]
fn a_gap_is_not_folded() {
    let mut shadow = shadow();
    let position = shadow.position;
    let entries = vec![Entry::Tick];
    let (format, fleet) = (crate::journal::batch::FORMAT, "lab".to_owned());
    let (time_ms, first_index) = (1_800_000_000_000, position.index + 2);
    let (incarnation, epoch, previous_hash, submit_sequence) = (1, 20, position.hash, 0);
    let batch = Batch {
        format,
        fleet,
        incarnation,
        epoch,
        first_index,
        time_ms,
        previous_hash,
        submit_sequence,
        entries,
    };
    let (payload, hash) = batch.encode().unwrap();
    assert!(!shadow.fold(&JournalBatch { sequence: 30, hash, payload, batch }).unwrap());
    assert_eq!(shadow.position, position);
}

#[test]
fn any_flipped_byte_and_any_cut_are_found() {
    let bytes = encode(&shadow().snapshot().unwrap()).unwrap();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        assert!(decode(&damaged).is_err(), "byte {at}");
        assert!(decode(&bytes[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn an_unknown_format_is_named() {
    let mut bytes = encode(&shadow().snapshot().unwrap()).unwrap();
    bytes[7] = 9;
    assert!(matches!(decode(&bytes), Err(SnapshotError::UnknownFormat { found: 9 })));
}

#[test]
fn rows_that_are_no_fleet_are_refused() {
    let mut snapshot = shadow().snapshot().unwrap();
    snapshot.head.index += 1;
    assert!(snapshot.load().is_err());
    let mut snapshot = shadow().snapshot().unwrap();
    snapshot.rows.clear();
    assert!(snapshot.load().is_err());
}
