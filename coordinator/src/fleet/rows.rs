//! The fleet as rows, and back: what the ledger keeps, and what verification compares.
//!
//! Sums and indexes are not kept but added up again; an account's row states its sums so that they can be checked.

use std::collections::{BTreeMap, BTreeSet};

use bioxen_mutants::{Mutant, is_on};
use bioxen_protocol::config::ResourceConfig;
use bioxen_protocol::id::{RequestId, UserId, VmKey, WorkerId};
use bioxen_protocol::state::VmState;
use serde::{Deserialize, Serialize};

use super::Fleet;
use super::account::{Account, UserLimits};
use super::alerts::Measure;
use super::amounts::Amounts;
use super::ensemble::{Ensemble, Member};
use super::format::Format;
use super::idempotency::{Remembered, Requests};
use super::vm::Vm;
use super::worker::Worker;

/// Where the fold stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub incarnation: u64,
    pub epoch: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    #[serde(default, skip_serializing_if = "Format::is_first")]
    pub format: Format,
    pub next_index: u64,
    pub time_ms: u64,
    pub submit_sequence: u64,
    pub config: ResourceConfig,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub alerted: BTreeSet<Measure>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRow {
    pub limits: UserLimits,
    pub held: Amounts,
    pub queued: u64,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub alerted: BTreeSet<Measure>,
}

/// Every row of a fleet, decoded.
#[derive(Debug, Default)]
pub struct Rows {
    pub head: Option<Head>,
    pub accounts: Vec<(UserId, AccountRow)>,
    pub vms: Vec<Vm>,
    pub workers: Vec<(WorkerId, Worker)>,
    pub requests: Vec<(UserId, RequestId, Remembered)>,
    pub ensembles: Vec<Ensemble>,
    /// Under their ensemble's key.
    pub members: Vec<(VmKey, Member)>,
}

/// Rows that do not add up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowsDisagree {
    #[error("the ledger has no head row")]
    NoHead,
    #[error("account {user} has VMs or requests, but no row that tells its limits")]
    NoAccount { user: UserId },
    #[error("account {user}: its row says {row:?}, its VMs hold {sum:?}")]
    Account { user: UserId, row: Amounts, sum: Amounts },
}

impl Fleet {
    pub fn head(&self) -> Head {
        Head {
            incarnation: self.incarnation,
            epoch: self.epoch,
            leader: self.leader.clone(),
            format: self.format,
            next_index: self.next_index,
            time_ms: self.time_ms,
            submit_sequence: self.submit_sequence,
            config: self.config.clone(),
            alerted: self.alerted.clone(),
        }
    }

    pub fn account_row(&self, user: &UserId) -> Option<AccountRow> {
        let account = self.accounts.get(user)?;
        let (limits, held) = (account.limits.clone(), account.held);
        let alerted = account.alerted.clone();
        Some(AccountRow { limits, held, queued: account.places_taken(), alerted })
    }

    /// The fleet that the rows describe.
    pub fn restore(rows: Rows) -> Result<Self, RowsDisagree> {
        let head = rows.head.ok_or(RowsDisagree::NoHead)?;
        let mut fleet = Self {
            incarnation: head.incarnation,
            epoch: head.epoch,
            leader: head.leader,
            format: head.format,
            next_index: head.next_index,
            time_ms: head.time_ms,
            submit_sequence: head.submit_sequence,
            config: head.config,
            alerted: head.alerted,
            workers: rows.workers.into_iter().collect(),
            room_may_have_appeared: true,
            ends_may_be_due: true,
            places_may_be_due: true,
            unknown_may_have_room: true,
            balance_may_be_due: true,
            ..Self::default()
        };
        for (user, row) in &rows.accounts {
            let account =
                Account { limits: row.limits.clone(), alerted: row.alerted.clone(), ..Account::default() };
            fleet.accounts.insert(user.clone(), account);
        }
        let mut vms = rows.vms;
        vms.sort_by_key(|vm| vm.index);
        for vm in vms {
            fleet.book(&vm);
            let VmKey { user, vm: name } = vm.key.clone();
            let account = fleet.accounts.entry(user).or_default();
            if vm.state == VmState::Destroyed {
                account.destroyed.push_back(name.clone());
            }
            account.vms.insert(name, vm);
        }
        fleet.restore_ensembles(rows.ensembles, rows.members);
        let mut requests: BTreeMap<UserId, Vec<(RequestId, Remembered)>> = BTreeMap::new();
        let remembered = if is_on(Mutant::RequestsForgotten) { Vec::new() } else { rows.requests };
        for (user, id, request) in remembered {
            requests.entry(user).or_default().push((id, request));
        }
        for (user, requests) in requests {
            fleet.accounts.entry(user).or_default().requests = Requests::restore(requests);
        }
        let known: BTreeSet<&UserId> = rows.accounts.iter().map(|(user, _)| user).collect();
        if let Some(user) = fleet.accounts.keys().find(|user| !known.contains(user)) {
            return Err(RowsDisagree::NoAccount { user: user.clone() });
        }
        for (user, row) in rows.accounts {
            let sum = fleet.accounts.get(&user).map_or(Amounts::NOTHING, |account| account.held);
            if sum != row.held {
                return Err(RowsDisagree::Account { user, row: row.held, sum });
            }
        }
        Ok(fleet)
    }
}
