//! `ledger verify`: the ledger is read again from sled, the journal folded again from NATS, the audit stream read again.
//! Nothing of the leader's memory is believed.

mod batches;
mod reading;
mod snapshots;

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
use crate::journal::{Journal, JournalBatch, ReadError};
use crate::ledger::{Committer, Ledger, LedgerError, RowKey};
use crate::projector::Progress;
use crate::rows;
use batches::Kept;
use snapshots::Kept as Snapshots;

/// More differences than this are counted by the last one only.
const DIFFERENCES: usize = 1_000;
/// A crash leaves the ledger less than this behind the journal's end; one that is further behind went back.
const LONGEST_LAG_MS: u64 = 2_000;
/// What is said where the journal lost its beginning while it was read.
const COMPACTED: &str = "the journal was compacted meanwhile";
/// How often a verification begins anew for that.
const ATTEMPTS: u32 = 3;
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
        let mut verified = Err(COMPACTED.to_owned());
        for _ in 0..ATTEMPTS {
            let dump = self.committer.read(dump).await;
            verified = match dump {
                Ok(dump) => {
                    let told = self.progress.borrow().audit_index;
                    verify(&self.journal, &self.client, told, dump).await
                }
                Err(error) => Err(error.to_string()),
            };
            if verified.as_ref().err().is_none_or(|reason| reason != COMPACTED) {
                break;
            }
        }
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
    /// Rows that do not fit their checksum, and what is said of each.
    damaged: BTreeMap<RowKey, String>,
    /// What else is wrong, with the index where it is told.
    faults: Vec<(Option<u64>, String)>,
    kept: Kept,
    /// Nobody writes it while it is verified.
    stopped: bool,
}

/// Reads all of a ledger.
pub fn dump(ledger: &Ledger) -> Dump {
    let index = ledger.applied().map_or(0, |applied| applied.index);
    let (rows, damaged, faults) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    let mut dump = Dump { index, rows, damaged, faults, kept: Kept::default(), stopped: false };
    for row in ledger.rows() {
        match row {
            Ok((key, value)) => _ = dump.rows.insert(key, value),
            Err(fault) => dump.fault(&fault),
        }
    }
    for fault in ledger.verify().faults {
        dump.fault(&fault);
    }
    // Where they cannot be read, that is a fault already.
    dump.kept = Kept::new(ledger.batches_after(0).unwrap_or_default());
    dump
}

impl Dump {
    /// The same, of a ledger whose coordinator is stopped: it must stand near the journal's end.
    pub fn of_a_stopped_coordinator(self) -> Self {
        Self { stopped: true, ..self }
    }

    fn fault(&mut self, fault: &LedgerError) {
        let said = fault.to_string();
        let row = match fault {
            LedgerError::DamagedRow { key, .. } => row_named(key),
            _ => None,
        };
        match row {
            Some(key) => _ = self.damaged.insert(key, said),
            None if self.faults.iter().all(|(_, known)| *known != said) => {
                let at = said
                    .rsplit_once("index ")
                    .and_then(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok());
                self.faults.push((at, said));
            }
            None => {}
        }
    }

    /// Damaged rows where there is nothing to compare them with.
    fn tell_damaged(&self, differences: &mut Vec<Difference>) {
        for (key, said) in &self.damaged {
            let account = account_of(key);
            differences.push(difference("ledger", &account, Some(self.index), said, "what was written"));
        }
    }

    /// What to say where the ledger ought to hold this batch, and the batch's time.
    fn behind(&self, next: &crate::journal::Batch) -> Option<(u64, Difference)> {
        let first = next.entries.first().filter(|_| self.stopped)?;
        let found = format!("the ledger ends at index {}: it went back, or its disk stood still", self.index);
        let index = Some(next.first_index);
        let told = difference("ledger", &batches::account_of(first), index, &found, &batches::show(first));
        Some((next.time_ms, told))
    }

    fn tell_faults(&self, differences: &mut Vec<Difference>) {
        for (at, said) in &self.faults {
            let index = at.unwrap_or(self.index);
            differences.push(difference("ledger", "fleet", Some(index), said, "what was written"));
        }
    }
}

/// Checks a ledger by itself, as where nothing else is left: its checksums, its chain, and its rows against the batches
/// that it keeps, where these reach back to the first. `entries` says how many were folded.
///
/// # Errors
/// Where the rows cannot be written again, in words.
pub fn verify_alone(dump: &Dump) -> Result<Verified, String> {
    let mut differences = Vec::new();
    dump.tell_faults(&mut differences);
    let folded = dump.kept.fold();
    let entries = folded.as_ref().map_or(0, |(_, entries)| *entries);
    match folded {
        Some((fleet, _)) => compare_rows(&fleet, dump, &mut differences)?,
        None => dump.tell_damaged(&mut differences),
    }
    differences.truncate(DIFFERENCES);
    let rows = dump.rows.len() as u64;
    Ok(Verified { clean: differences.is_empty(), entries, rows, audit_records: 0, differences })
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
    let begins = reading::oldest(journal).await?;
    let snapshots = Snapshots::read(journal).await.map_err(|error| error.to_string())?;
    let position = begins.position;
    let mut fleet = begins.fleet;
    let mut folded: Option<Fleet> = None;
    let mut entries = 0u64;
    let mut behind: Option<(u64, Difference)> = None;
    let read = journal
        .read_after(position, |batch: JournalBatch| {
            if batch.batch.first_index > dump.index && folded.is_none() {
                folded = Some(fleet.clone());
                behind = dump.behind(&batch.batch);
            }
            differences.extend(dump.kept.compare(&batch));
            rows::fold(&mut fleet, &batch.batch);
            entries += batch.batch.entries.len() as u64;
            check_invariants(&fleet, batch.batch.last_index(), &mut differences);
            snapshots.compare(&fleet, batch.batch.last_index(), &mut differences);
        })
        .await;
    let broken = read.is_err();
    match read {
        Ok(_) => {}
        Err(ReadError::Api { sequence, source }) => {
            return Err(format!("the journal cannot be read at sequence {sequence}: {source}"));
        }
        Err(ReadError::Gap { .. }) if reading::is_compacted_beyond(journal, position.index).await => {
            return Err(COMPACTED.to_owned());
        }
        Err(broken) => {
            differences.extend(dump.kept.lost(&broken));
            differences.push(broken_journal(&broken, position.index + entries));
        }
    }
    if let Some((first_ms, difference)) = behind
        && fleet.time_ms.saturating_sub(first_ms) > LONGEST_LAG_MS
    {
        differences.push(difference);
    }
    dump.tell_faults(&mut differences);
    let mut at_dump = folded.unwrap_or_else(|| fleet.clone());
    if at_dump.next_index <= dump.index && !broken {
        differences.extend(dump.kept.missing(at_dump.next_index, dump.index + 1));
        let found = format!("the ledger stands at index {}", dump.index);
        let expected = format!("a batch of the journal that ends there; it ends at {}", fleet.next_index - 1);
        differences.push(difference("ledger", "fleet", Some(dump.index), &found, &expected));
    }
    // The rows of a journal that is no more can still be those of the batches that the ledger keeps.
    if at_dump.next_index != dump.index + 1
        && let Some((fleet, _)) = dump.kept.fold()
    {
        at_dump = fleet;
    }
    if at_dump.next_index == dump.index + 1 {
        compare_rows(&at_dump, &dump, &mut differences)?;
    } else {
        dump.tell_damaged(&mut differences);
    }
    // Without an unbroken journal there is nothing to hold the audit stream against.
    let audit_records = if broken {
        0
    } else {
        let audit = reading::audit(client, audited_index).await?;
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
                let damaged = || dump.damaged.get(key).cloned().unwrap_or_else(|| "no such row".to_owned());
                let found = found.map_or_else(damaged, |bytes| rows::show(key, bytes));
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
        let (found, index) = (rows::show(key, value), rows::index_in(value).unwrap_or(dump.index));
        differences.push(difference("ledger", &account_of(key), Some(index), &found, "no such row"));
    }
    for (key, said) in dump.damaged.iter().filter(|(key, _)| !expected.contains_key(key)) {
        differences.push(difference("ledger", &account_of(key), Some(dump.index), said, "no such row"));
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
        RowKey::Account(user)
        | RowKey::Vm { user, .. }
        | RowKey::Request { user, .. }
        | RowKey::Ensemble { user, .. }
        | RowKey::Member { user, .. } => user.clone(),
        RowKey::Worker(worker) => format!("worker {worker}"),
    }
}

/// The key that a damaged row's error names.
fn row_named(name: &str) -> Option<RowKey> {
    let (kind, rest) = name.split_once(' ')?;
    let two = || rest.split_once('/').map(|(first, second)| (first.to_owned(), second.to_owned()));
    match kind {
        "meta" => Some(RowKey::Meta(rest.to_owned())),
        "account" => Some(RowKey::Account(rest.to_owned())),
        "worker" => Some(RowKey::Worker(rest.to_owned())),
        "vm" => two().map(|(user, vm)| RowKey::Vm { user, vm }),
        "request" => two().map(|(user, request)| RowKey::Request { user, request }),
        "ensemble" => two().map(|(user, name)| RowKey::Ensemble { user, name }),
        "member" => {
            let (user, rest) = two()?;
            let (name, number) = rest.rsplit_once('/')?;
            Some(RowKey::Member { user, name: name.to_owned(), number: number.parse().ok()? })
        }
        _ => None,
    }
}

fn difference(place: &str, account: &str, index: Option<u64>, found: &str, expected: &str) -> Difference {
    let (place, account) = (place.to_owned(), account.to_owned());
    Difference { place, account, index, found: found.to_owned(), expected: expected.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_row_is_found_by_the_name_in_its_error() {
        let (user, vm) = ("alice".to_owned(), "c1".to_owned());
        for key in [
            RowKey::Meta("head".to_owned()),
            RowKey::Account(user.clone()),
            RowKey::Worker("w1".to_owned()),
            RowKey::Vm { user: user.clone(), vm },
            RowKey::Member { user: user.clone(), name: "sweep".to_owned(), number: 7 },
            RowKey::Request { user, request: "a/b c".to_owned() },
        ] {
            assert_eq!(row_named(&key.to_string()), Some(key));
        }
        assert_eq!(row_named("batch up to index 7"), None);
    }
}
