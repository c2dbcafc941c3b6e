//! The journal's batches held against those that the ledger keeps: which entry of whose account was altered, or is gone.
//!
//! It adds precision to what the chain alone says of a broken journal; it judges nothing.

use std::collections::BTreeSet;

use bioxen_protocol::reply::Difference;

use super::difference;
use crate::fleet::Fleet;
use crate::fleet::entry::Entry;
use crate::journal::{Batch, JournalBatch, ReadError};
use crate::ledger::StoredBatch;
use crate::rows;

/// Entries are shown up to here.
const SHOWN_CHARS: usize = 500;

/// The batches that a ledger keeps, in order.
#[derive(Debug, Default)]
pub(super) struct Kept(Vec<StoredBatch>);

impl Kept {
    pub(super) fn new(batches: Vec<StoredBatch>) -> Self {
        Self(batches)
    }

    /// The fleet that they fold to, and how many entries that took; None where they do not reach back to the first.
    pub(super) fn fold(&self) -> Option<(Fleet, u64)> {
        let mut fleet = Fleet::new(1);
        for stored in &self.0 {
            let batch = Batch::decode(&stored.payload).ok()?;
            if batch.first_index != fleet.next_index {
                return None;
            }
            rows::fold(&mut fleet, &batch);
        }
        let entries = fleet.next_index - 1;
        (entries > 0).then_some((fleet, entries))
    }

    /// What a batch of the journal says otherwise than the ledger's.
    pub(super) fn compare(&self, found: &JournalBatch) -> Option<Difference> {
        let first_index = found.batch.first_index;
        let at = self.0.binary_search_by_key(&first_index, |stored| stored.first_index).ok()?;
        let stored = self.0.get(at).filter(|stored| stored.hash != found.hash)?;
        let kept = Batch::decode(&stored.payload).ok()?;
        let (ours, theirs) = (&kept.entries, &found.batch.entries);
        let differing = (0..ours.len().max(theirs.len())).find(|at| ours.get(*at) != theirs.get(*at));
        let Some(at) = differing else {
            let (ours, theirs) = (header(&kept), header(&found.batch));
            return Some(difference("journal", "fleet", Some(first_index), &theirs, &ours));
        };
        let account = ours.get(at).or(theirs.get(at)).map(account_of).unwrap_or_default();
        let text = |entry: Option<&Entry>| entry.map_or_else(|| "no such entry".to_owned(), show);
        let index = first_index + at as u64;
        Some(difference("journal", &account, Some(index), &text(theirs.get(at)), &text(ours.get(at))))
    }

    /// The first entry of each account that a broken journal does not give, as far as the ledger keeps them.
    pub(super) fn lost(&self, broken: &ReadError) -> Vec<Difference> {
        match broken {
            ReadError::Gap { expected_index, found_index, .. } => self.missing(*expected_index, *found_index),
            ReadError::Undecodable { expected_index, .. } => {
                let batch = self.0.iter().find(|stored| stored.first_index == *expected_index);
                self.missing(*expected_index, batch.map_or(*expected_index, |stored| stored.last_index + 1))
            }
            ReadError::Repeated { found_index, .. } => self.repeated(*found_index),
            _ => Vec::new(),
        }
    }

    fn repeated(&self, first_index: u64) -> Vec<Difference> {
        let batch = self.0.iter().find(|stored| stored.first_index == first_index);
        let below = batch.map_or(first_index, |stored| stored.last_index + 1);
        let twice = |one| Difference { found: "the same entry once more".to_owned(), ..one };
        self.missing(first_index, below).into_iter().map(twice).collect()
    }

    /// The first entry of each account from one index to below another.
    pub(super) fn missing(&self, from: u64, below: u64) -> Vec<Difference> {
        let mut seen = BTreeSet::new();
        let mut differences = Vec::new();
        let touched = self.0.iter().filter(|stored| stored.last_index >= from && stored.first_index < below);
        for batch in touched.filter_map(|stored| Batch::decode(&stored.payload).ok()) {
            for (index, entry) in (batch.first_index..below).zip(&batch.entries).filter(|(at, _)| *at >= from)
            {
                let account = account_of(entry);
                if seen.insert(account.clone()) {
                    let found = "no such entry";
                    differences.push(difference("journal", &account, Some(index), found, &show(entry)));
                }
            }
        }
        differences
    }
}

/// Whose account an entry changes.
pub(super) fn account_of(entry: &Entry) -> String {
    match entry {
        Entry::Rejected(rejected) => rejected.user.to_string(),
        Entry::LimitsSet { user, .. } => user.to_string(),
        Entry::Registered { worker, .. } | Entry::Expired { worker, .. } => format!("worker {worker}"),
        entry => entry.key().map_or_else(|| "fleet".to_owned(), |key| key.user.to_string()),
    }
}

pub(super) fn show(entry: &Entry) -> String {
    format!("{entry:?}").chars().take(SHOWN_CHARS).collect()
}

fn header(batch: &Batch) -> String {
    let Batch { fleet, incarnation, epoch, time_ms, previous_hash, submit_sequence, .. } = batch;
    format!(
        "fleet {fleet}, incarnation {incarnation}, epoch {epoch}, time_ms {time_ms}, submit_sequence {submit_sequence}, after {previous_hash}"
    )
}
