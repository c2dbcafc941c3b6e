//! What is answered of users' limits, of the fleet and of its workers.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Reservation;
use crate::command::VmType;
use crate::id::{BootId, UserId, VmId, WorkerId};
use crate::quantity::AtpPercent;
use crate::state::VmState;

/// A user's limits and what is used of them; a limit that is null is unlimited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Quota {
    pub user: UserId,
    pub max_vms: u64,
    pub max_queued: u64,
    pub max_atp_percentage: Option<AtpPercent>,
    pub max_ribosomes: Option<u64>,
    pub max_commands_per_second: Option<u64>,
    pub used: Reservation,
    pub queued: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FleetTotals {
    pub active_vms: u64,
    pub max_concurrent_vms: u64,
    pub global_atp_used: AtpPercent,
    pub global_atp_limit: AtpPercent,
    pub global_ribosomes_used: u64,
    pub global_ribosome_limit: u64,
    pub queued: u64,
    pub workers: u64,
    pub vm_types: BTreeMap<String, u64>,
    pub biological_types: BTreeMap<String, u64>,
    pub states: BTreeMap<VmState, u64>,
    pub epoch: u64,
    pub incarnation: u64,
    /// The journal's index of the last entry that the answer has seen.
    pub index: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Performance {
    pub total_operations: u64,
    pub success_rate: f64,
    pub error_rate: f64,
    /// Seconds from intake to answer, summed.
    pub total_time: f64,
    pub vm_operations: u64,
    pub operation_statistics: BTreeMap<String, OperationStatistics>,
    pub resource_utilization: BTreeMap<String, f64>,
    pub uptime_hours: f64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OperationStatistics {
    pub count: u64,
    pub failures: u64,
    pub total_time: f64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerInfo {
    pub worker: WorkerId,
    pub boot: BootId,
    /// registered, expired (its lease ended), or refused.
    pub state: String,
    pub vm_types: Vec<VmType>,
    /// XCP-ng pools that it reaches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<String>,
    /// The id of the key that opens the passwords of pools that VMs bring along.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_pools: Option<String>,
    pub vms: u64,
    pub max_vms: u64,
    pub ribosomes_used: u64,
    pub ribosomes_usable: u64,
    pub total_ribosomes: u64,
    /// An operator has it take no more VMs.
    #[serde(default)]
    pub cordoned: bool,
    /// Its VMs move away: an operator drains it, or it is about to end.
    #[serde(default)]
    pub draining: bool,
    /// VMs on their way from it.
    #[serde(default)]
    pub leaving: u64,
}

/// The answer of an operator's `move`: accepted, and under way as soon as nothing hinders it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Moving {
    pub user: UserId,
    pub vm_id: VmId,
    pub state: VmState,
    pub from: WorkerId,
    /// Null where the fleet chooses when the VM has left its worker.
    pub to: Option<WorkerId>,
}

/// What `verify` found: nothing listed means that all agree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verified {
    pub clean: bool,
    /// Entries of the journal that were folded again.
    pub entries: u64,
    /// Rows of the ledger that were read again.
    pub rows: u64,
    pub audit_records: u64,
    pub differences: Vec<Difference>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// journal, ledger, audit or invariant.
    pub place: String,
    /// The account (user, or a worker or the fleet) that it concerns.
    pub account: String,
    pub index: Option<u64>,
    pub found: String,
    pub expected: String,
}
