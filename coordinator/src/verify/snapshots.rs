//! The snapshots that are kept, held against a fold of the journal: each must be the fleet at its index.

use std::collections::BTreeMap;

use bioxen_protocol::reply::Difference;

use super::{DIFFERENCES, account_of, difference};
use crate::fleet::Fleet;
use crate::journal::Journal;
use crate::ledger::RowKey;
use crate::rows;
use crate::snapshot::{SnapshotError, SnapshotStore};

/// Each snapshot's rows by its index, or why it cannot be read.
#[derive(Debug, Default)]
pub(super) struct Kept(BTreeMap<u64, Result<BTreeMap<RowKey, Vec<u8>>, String>>);

impl Kept {
    pub(super) async fn read(journal: &Journal) -> Result<Self, SnapshotError> {
        let mut kept = BTreeMap::new();
        let Some(store) = SnapshotStore::open(journal).await? else { return Ok(Self::default()) };
        for listed in store.list().await? {
            let rows = match store.get(listed.index).await {
                Ok(Some(snapshot)) => Ok(snapshot.rows.into_iter().collect()),
                Ok(None) => continue,
                Err(error @ SnapshotError::Store(_)) => return Err(error),
                Err(error) => Err(error.to_string()),
            };
            kept.insert(listed.index, rows);
        }
        Ok(Self(kept))
    }

    /// What the snapshot at this index says otherwise than the fold.
    pub(super) fn compare(&self, fleet: &Fleet, index: u64, differences: &mut Vec<Difference>) {
        let mut differ = |account: &str, found: &str, expected: &str| {
            if differences.len() < DIFFERENCES {
                differences.push(difference("snapshot", account, Some(index), found, expected));
            }
        };
        let found = match self.0.get(&index) {
            None => return,
            Some(Err(reason)) => return differ("fleet", reason, "the fleet at this index"),
            Some(Ok(found)) => found,
        };
        let expected = match rows::all(fleet) {
            Ok(rows) => rows,
            Err(error) => return differ("fleet", &error.to_string(), "rows that can be written"),
        };
        let mut others = found.clone();
        for (key, value) in expected {
            let was = others.remove(&key);
            if was == value {
                continue;
            }
            let shown = |value: &Option<Vec<u8>>| {
                value.as_ref().map_or_else(|| "no such row".to_owned(), |value| rows::show(&key, value))
            };
            differ(&account_of(&key), &shown(&was), &shown(&value));
        }
        for (key, value) in others {
            differ(&account_of(&key), &rows::show(&key, &value), "no such row");
        }
    }
}
