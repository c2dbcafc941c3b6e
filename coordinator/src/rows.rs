//! The fleet's rows as the ledger keys them: which changed with a batch, and the fleet from all of them.

use bioxen_protocol::id::VmKey;
use serde::Serialize;

use crate::fleet::Fleet;
use crate::fleet::Touched;
use crate::fleet::rows::{Head, Rows, RowsDisagree};
use crate::journal::Batch;
use crate::ledger::{LedgerError, RowKey};

const HEAD: &str = "head";

/// A row and its new value; None where it is gone.
pub type RowChange = (RowKey, Option<Vec<u8>>);

/// Why rows are not a fleet.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(
        "the ledger, at index {index}, has a row of {key} that cannot be read ({reason}); delete its directory, it is rebuilt from the journal"
    )]
    Undecodable { index: u64, key: RowKey, reason: String },
    #[error(
        "the ledger, at index {index}, does not add up: {source}; delete its directory, it is rebuilt from the journal"
    )]
    Disagree { index: u64, source: RowsDisagree },
    #[error(
        "the ledger stands at index {index}, its head row says that index {next_index} comes next; delete its directory, it is rebuilt from the journal"
    )]
    Head { index: u64, next_index: u64 },
    #[error("a row cannot be encoded: {0}")]
    Unencodable(#[from] rmp_serde::encode::Error),
}

/// Folds one batch, and tells what it touched.
pub fn fold(fleet: &mut Fleet, batch: &Batch) -> Touched {
    fleet.incarnation = batch.incarnation;
    for entry in &batch.entries {
        fleet.evolve(batch.time_ms, entry);
    }
    fleet.submit_sequence = batch.submit_sequence;
    fleet.take_touched()
}

/// The rows that a batch changed.
pub fn changed(fleet: &Fleet, touched: &Touched) -> Result<Vec<RowChange>, RowsError> {
    let mut rows = vec![(RowKey::Meta(HEAD.to_owned()), Some(encode(&fleet.head())?))];
    for user in &touched.accounts {
        let row = fleet.account_row(user).map(|row| encode(&row)).transpose()?;
        rows.push((RowKey::Account(user.to_string()), row));
    }
    for key in touched.vms.iter().chain(&touched.gone_vms) {
        let row = fleet.vm(key).map(encode).transpose()?;
        rows.push((RowKey::Vm { user: key.user.to_string(), vm: key.vm.to_string() }, row));
    }
    for worker in &touched.workers {
        let row = fleet.workers.get(worker).map(encode).transpose()?;
        rows.push((RowKey::Worker(worker.to_string()), row));
    }
    for (user, request) in &touched.requests {
        let account = fleet.accounts.get(user);
        let known = account.and_then(|account| account.requests.find(request));
        let key = RowKey::Request { user: user.to_string(), request: request.to_string() };
        rows.push((key, known.map(encode).transpose()?));
    }
    for key in &touched.ensembles {
        let row = fleet.ensemble(key).map(encode).transpose()?;
        rows.push((RowKey::Ensemble { user: key.user.to_string(), name: key.vm.to_string() }, row));
    }
    for (key, number) in &touched.members {
        let member = usize::try_from(*number).ok().and_then(|number| number.checked_sub(1));
        let member = member.and_then(|at| fleet.ensemble(key)?.made.get(at));
        let (user, name) = (key.user.to_string(), key.vm.to_string());
        rows.push((RowKey::Member { user, name, number: *number }, member.map(encode).transpose()?));
    }
    Ok(rows)
}

/// Every row of a fleet, as the ledger must hold it.
pub fn all(fleet: &Fleet) -> Result<Vec<RowChange>, RowsError> {
    let mut touched = Touched::default();
    for (user, account) in &fleet.accounts {
        touched.accounts.insert(user.clone());
        touched.vms.extend(account.vms.values().map(|vm| vm.key.clone()));
        touched.requests.extend(account.requests.iter().map(|(id, _)| (user.clone(), id.clone())));
    }
    touched.workers.extend(fleet.workers.keys().cloned());
    for ensemble in fleet.ensembles() {
        touched.ensembles.insert(ensemble.key.clone());
        touched.members.extend(ensemble.made.iter().map(|member| (ensemble.key.clone(), member.number)));
    }
    changed(fleet, &touched)
}

/// The fleet that the ledger's rows describe, where the ledger stands at this index.
pub fn load(
    rows: impl Iterator<Item = Result<(RowKey, Vec<u8>), LedgerError>>,
    index: u64,
) -> Result<Fleet, RowsError> {
    let mut all = Rows::default();
    for row in rows {
        let (key, value) = row?;
        let id_error = |reason: bioxen_protocol::id::InvalidId| RowsError::Undecodable {
            index,
            key: key.clone(),
            reason: reason.to_string(),
        };
        let decode_error = |error: rmp_serde::decode::Error| RowsError::Undecodable {
            index,
            key: key.clone(),
            reason: error.to_string(),
        };
        match &key {
            RowKey::Meta(name) if name == HEAD => {
                all.head = Some(rmp_serde::from_slice::<Head>(&value).map_err(decode_error)?);
            }
            RowKey::Meta(_) => {}
            RowKey::Account(user) => {
                let row = rmp_serde::from_slice(&value).map_err(decode_error)?;
                all.accounts.push((user.parse().map_err(id_error)?, row));
            }
            RowKey::Vm { .. } => all.vms.push(rmp_serde::from_slice(&value).map_err(decode_error)?),
            RowKey::Worker(worker) => {
                let row = rmp_serde::from_slice(&value).map_err(decode_error)?;
                all.workers.push((worker.parse().map_err(id_error)?, row));
            }
            RowKey::Request { user, request } => {
                let row = rmp_serde::from_slice(&value).map_err(decode_error)?;
                let (user, request) = (user.parse().map_err(id_error)?, request.parse().map_err(id_error)?);
                all.requests.push((user, request, row));
            }
            RowKey::Ensemble { .. } => {
                all.ensembles.push(rmp_serde::from_slice(&value).map_err(decode_error)?);
            }
            RowKey::Member { user, name, .. } => {
                let row = rmp_serde::from_slice(&value).map_err(decode_error)?;
                let (user, vm) = (user.parse().map_err(id_error)?, name.parse().map_err(id_error)?);
                all.members.push((VmKey { user, vm }, row));
            }
        }
    }
    let fleet = Fleet::restore(all).map_err(|source| RowsError::Disagree { index, source })?;
    if fleet.next_index != index + 1 {
        return Err(RowsError::Head { index, next_index: fleet.next_index });
    }
    Ok(fleet)
}

fn encode<T: Serialize>(row: &T) -> Result<Vec<u8>, RowsError> {
    Ok(rmp_serde::to_vec_named(row)?)
}

/// A row for people: what differs is found by reading both.
pub fn show(key: &RowKey, value: &[u8]) -> String {
    const SHOWN_CHARS: usize = 2_000;
    let decoded = rmp_serde::from_slice::<serde_json::Value>(value);
    let text = decoded.map_or_else(|error| format!("unreadable: {error}"), |row| row.to_string());
    let name = match key {
        RowKey::Vm { vm, .. } => format!("VM {vm}"),
        RowKey::Account(_) => "account".to_owned(),
        RowKey::Request { request, .. } => format!("request {request}"),
        RowKey::Worker(_) => "worker".to_owned(),
        RowKey::Ensemble { name, .. } => format!("ensemble {name}"),
        RowKey::Member { name, number, .. } => format!("member {number} of ensemble {name}"),
        RowKey::Meta(name) => name.clone(),
    };
    format!("{name} {}", text.chars().take(SHOWN_CHARS).collect::<String>())
}

/// The index that a row itself names.
pub fn index_in(value: &[u8]) -> Option<u64> {
    rmp_serde::from_slice::<serde_json::Value>(value).ok()?.get("index")?.as_u64()
}

/// The index of the last entry about what a row describes.
pub fn index_of(fleet: &Fleet, key: &RowKey) -> Option<u64> {
    let account = |user: &String| fleet.accounts.get(&user.parse().ok()?);
    match key {
        RowKey::Vm { user, vm } => Some(account(user)?.vms.get(&vm.parse().ok()?)?.index),
        RowKey::Account(user) => account(user)?.vms.values().map(|vm| vm.index).max(),
        RowKey::Request { user, request } => {
            Some(account(user)?.requests.find(&request.parse().ok()?)?.index)
        }
        RowKey::Worker(worker) => Some(fleet.workers.get(&worker.parse().ok()?)?.index),
        RowKey::Ensemble { user, name } => Some(account(user)?.ensembles.get(&name.parse().ok()?)?.index),
        RowKey::Member { user, name, number } => {
            let at = usize::try_from(*number).ok()?.checked_sub(1)?;
            Some(account(user)?.ensembles.get(&name.parse().ok()?)?.made.get(at)?.index)
        }
        RowKey::Meta(_) => None,
    }
}
