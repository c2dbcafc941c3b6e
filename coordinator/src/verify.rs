//! `ledger verify`: the ledger is read again from sled, the journal folded again from NATS, the audit stream read again.
//! Nothing of the leader's memory is believed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use bioxen_protocol::error::{Code, ErrorBody};
use bioxen_protocol::reply::{Difference, Verified};
use tokio::sync::watch;

use crate::answer::Reply;
use crate::fleet::Fleet;
use crate::fleet::amounts::Amounts;
use crate::journal::{Journal, JournalBatch, Position, ReadError};
use crate::ledger::{Committer, Ledger, LedgerError, RowKey};
use crate::projector::Progress;
use crate::projector::verify::verify_audit;
use crate::rows;

/// More differences than this are counted by the last one only.
const DIFFERENCES: usize = 1_000;
/// How long one request to the bus may take.
const WAIT: Duration = Duration::from_secs(5);

/// What a verification reads.
#[derive(Debug, Clone)]
pub(crate) struct Verifier {
    pub(crate) journal: Journal,
    pub(crate) committer: Arc<Committer>,
    pub(crate) client: Client,
    /// How far the projector is: later records may be missing.
    pub(crate) progress: watch::Receiver<Progress>,
}

impl Verifier {
    pub(crate) async fn reply(&self) -> Reply {
        let dump = self.committer.read(dump).await;
        let verified = match dump {
            Ok(dump) => {
                let told = self.progress.borrow().audit_index;
                verify(&self.journal, &self.client, told, dump).await
            }
            Err(error) => Err(error.to_string()),
        };
        match verified {
            Ok(verified) => Reply::Verified(Box::new(verified)),
            Err(reason) => Reply::Error(ErrorBody::new(
                Code::Timeout,
                format!("the verification did not come to an end: {reason}; ask again"),
            )),
        }
    }
}

/// Every row of a ledger, and what is wrong with reading it.
#[derive(Debug)]
pub struct Dump {
    /// Index of the last entry that the rows contain.
    index: u64,
    rows: BTreeMap<RowKey, Vec<u8>>,
    faults: Vec<String>,
}

/// Reads all of a ledger.
pub fn dump(ledger: &Ledger) -> Dump {
    let index = ledger.applied().map_or(0, |applied| applied.index);
    let mut dump = Dump { index, rows: BTreeMap::new(), faults: Vec::new() };
    for row in ledger.rows() {
        match row {
            Ok((key, value)) => {
                dump.rows.insert(key, value);
            }
            Err(fault) => dump.faults.push(fault.to_string()),
        }
    }
    let kept: Vec<LedgerError> = ledger.verify().faults;
    for fault in kept.iter().map(ToString::to_string) {
        if !dump.faults.contains(&fault) {
            dump.faults.push(fault);
        }
    }
    dump
}

/// Compares a ledger, the journal and the audit stream.
///
/// # Errors
/// Where one of them cannot be read to its end, in words.
pub async fn verify(
    journal: &Journal,
    client: &Client,
    audited_index: u64,
    dump: Dump,
) -> Result<Verified, String> {
    let mut differences = Vec::new();
    let mut fleet = Fleet::new(1);
    let mut folded: Option<Fleet> = None;
    let mut entries = 0u64;
    let read = journal
        .read_after(Position::START, |batch: JournalBatch| {
            if batch.batch.first_index > dump.index && folded.is_none() {
                folded = Some(fleet.clone());
            }
            rows::fold(&mut fleet, &batch.batch);
            entries += batch.batch.entries.len() as u64;
            check_invariants(&fleet, batch.batch.last_index(), &mut differences);
        })
        .await;
    let broken = read.is_err();
    match read {
        Ok(_) => {}
        Err(ReadError::Api { sequence, source }) => {
            return Err(format!("the journal cannot be read at sequence {sequence}: {source}"));
        }
        Err(broken) => differences.push(broken_journal(&broken, entries)),
    }
    for fault in &dump.faults {
        differences.push(difference(
            "ledger",
            &account_in(fault),
            Some(dump.index),
            fault,
            "what was written",
        ));
    }
    let at_dump = folded.unwrap_or_else(|| fleet.clone());
    if at_dump.next_index == dump.index + 1 {
        compare_rows(&at_dump, &dump, &mut differences)?;
    } else if differences.is_empty() {
        let found = format!("the ledger stands at index {}", dump.index);
        let expected = format!("a batch of the journal that ends there; it ends at {}", fleet.next_index - 1);
        differences.push(difference("ledger", "fleet", Some(dump.index), &found, &expected));
    }
    // Without an unbroken journal there is nothing to hold the audit stream against.
    let audit_records = if broken {
        0
    } else {
        let audit = verify_audit(client, audited_index, WAIT).await.map_err(|error| error.to_string())?;
        differences.extend(audit.differences);
        audit.records
    };
    differences.truncate(DIFFERENCES);
    let rows = dump.rows.len() as u64;
    Ok(Verified { clean: differences.is_empty(), entries, rows, audit_records, differences })
}

/// I3, after every batch.
fn check_invariants(fleet: &Fleet, index: u64, differences: &mut Vec<Difference>) {
    if differences.len() >= DIFFERENCES {
        return;
    }
    let over = |what: &str, account: &str, used: u64, limit: u64, differences: &mut Vec<Difference>| {
        if used > limit {
            let (found, expected) = (format!("{used} {what}"), format!("at most {limit}"));
            differences.push(difference("invariant", account, Some(index), &found, &expected));
        }
    };
    let config = &fleet.config;
    over("VMs", "fleet", fleet.held.slots, config.max_concurrent_vms, differences);
    over(
        "thousandths of a percent of ATP",
        "fleet",
        fleet.held.atp_millipercent,
        config.global_atp_limit.0,
        differences,
    );
    over("ribosome units", "fleet", fleet.held.ribosomes, config.global_ribosome_limit, differences);
}

fn compare_rows(fleet: &Fleet, dump: &Dump, differences: &mut Vec<Difference>) -> Result<(), String> {
    let expected = rows::all(fleet).map_err(|error| error.to_string())?;
    let expected: BTreeMap<RowKey, Vec<u8>> =
        expected.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    for (key, value) in &expected {
        match dump.rows.get(key) {
            Some(found) if found == value => {}
            found => {
                let found = found.map_or_else(|| "no such row".to_owned(), |bytes| rows::show(key, bytes));
                let index = rows::index_of(fleet, key).or(Some(dump.index));
                differences.push(difference(
                    "ledger",
                    &account_of(key),
                    index,
                    &found,
                    &rows::show(key, value),
                ));
            }
        }
    }
    for (key, value) in dump.rows.iter().filter(|(key, _)| !expected.contains_key(key)) {
        let found = rows::show(key, value);
        differences.push(difference("ledger", &account_of(key), Some(dump.index), &found, "no such row"));
    }
    for (user, account) in &fleet.accounts {
        let sum = account.vms.values().map(|vm| vm.held).fold(Amounts::NOTHING, Amounts::plus);
        if sum != account.held {
            let (found, expected) = (format!("{:?}", account.held), format!("{sum:?}"));
            differences.push(difference("invariant", user.as_str(), Some(dump.index), &found, &expected));
        }
    }
    Ok(())
}

fn broken_journal(broken: &ReadError, entries: u64) -> Difference {
    let index = match broken {
        ReadError::Gap { expected_index, .. }
        | ReadError::Repeated { expected_index, .. }
        | ReadError::Undecodable { expected_index, .. } => *expected_index,
        ReadError::ChainBroken { index, .. } => *index,
        ReadError::Regressed { .. } | ReadError::Api { .. } => entries + 1,
    };
    difference("journal", "fleet", Some(index), &broken.to_string(), "an unbroken chain")
}

/// The account that a row belongs to.
fn account_of(key: &RowKey) -> String {
    match key {
        RowKey::Meta(_) => "fleet".to_owned(),
        RowKey::Account(user) | RowKey::Vm { user, .. } | RowKey::Request { user, .. } => user.clone(),
        RowKey::Worker(worker) => format!("worker {worker}"),
    }
}

/// A damaged row's error names its key.
fn account_in(fault: &str) -> String {
    let after = |name: &str| {
        let (_, rest) = fault.split_once(name)?;
        rest.split('"').nth(1).map(str::to_owned)
    };
    after("user: ")
        .or_else(|| after("Account("))
        .or_else(|| after("Worker("))
        .unwrap_or_else(|| "fleet".to_owned())
}

fn difference(place: &str, account: &str, index: Option<u64>, found: &str, expected: &str) -> Difference {
    let (place, account) = (place.to_owned(), account.to_owned());
    Difference { place, account, index, found: found.to_owned(), expected: expected.to_owned() }
}
