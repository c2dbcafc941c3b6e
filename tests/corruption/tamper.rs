//! How a store is changed behind everybody's back, with every checksum as it should be.

use std::path::Path;

use async_nats::Client;
use bioxen_coordinator::fleet::entry::Entry;
use bioxen_coordinator::journal::batch::FORMAT;
use bioxen_coordinator::journal::{Batch, Journal, Patience};
use bioxen_coordinator::ledger::{Ledger, LedgerWrite, RowKey};
use bioxen_coordinator::rows;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Where the ledger stands.
pub(crate) fn ledger_index(path: &Path) -> u64 {
    Ledger::open_existing(path).unwrap().applied().unwrap().index
}

pub(crate) fn read<T: DeserializeOwned>(path: &Path, key: &RowKey) -> T {
    let ledger = Ledger::open_existing(path).unwrap();
    let row = ledger.rows().map(Result::unwrap).find(|(found, _)| found == key);
    rmp_serde::from_slice(&row.unwrap().1).unwrap()
}

pub(crate) fn row<T: Serialize>(key: RowKey, value: &T) -> (RowKey, Option<Vec<u8>>) {
    (key, Some(rmp_serde::to_vec_named(value).unwrap()))
}

/// Appends a tick to the journal, and writes it to the ledger with lies beside.
pub(crate) async fn write_rows(client: &Client, path: &Path, lies: Vec<(RowKey, Option<Vec<u8>>)>) {
    let mut ledger = Ledger::open_existing(path).unwrap();
    let applied = ledger.applied().unwrap().clone();
    let mut fleet = rows::load(ledger.rows(), applied.index).unwrap();
    let batch = Batch {
        format: FORMAT,
        fleet: applied.fleet,
        incarnation: applied.incarnation,
        epoch: fleet.epoch,
        first_index: applied.index + 1,
        time_ms: fleet.time_ms,
        previous_hash: applied.hash,
        submit_sequence: fleet.submit_sequence,
        entries: vec![Entry::Tick],
    };
    let (payload, hash) = batch.encode().unwrap();
    let journal = Journal::new(client.clone(), Patience::default());
    let sequence = journal.append(payload.clone(), &hash, applied.sequence).await.unwrap();
    let touched = rows::fold(&mut fleet, &batch);
    let mut all = rows::changed(&fleet, &touched).unwrap();
    all.extend(lies);
    ledger.commit(&[LedgerWrite::new(&batch, sequence, hash, payload, all)]).unwrap();
}

/// Appends bytes to the journal, whatever they are.
pub(crate) async fn publish_to_journal(client: &Client, payload: impl AsRef<[u8]>) {
    let answer = client.request("bioxen.v1.journal", payload.as_ref().to_vec().into()).await.unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&answer.payload).unwrap();
    assert_eq!(answer["stream"], "BIOXEN_JOURNAL", "{answer}");
}

pub(crate) fn flip_byte(file: &Path, at: u64) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::options().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}
