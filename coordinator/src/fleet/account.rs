//! A user's account: limits, holdings, VMs, remembered requests.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bioxen_protocol::config::ResourceConfig;
use bioxen_protocol::id::VmId;
use bioxen_protocol::quantity::AtpPercent;
use serde::{Deserialize, Serialize};

use super::alerts::Measure;
use super::amounts::Amounts;
use super::ensemble::Ensemble;
use super::idempotency::Requests;
use super::vm::Vm;

/// What an operator set for one user; what is absent is the fleet's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserLimits {
    pub max_vms: Option<u64>,
    pub max_queued: Option<u64>,
    pub max_atp: Option<AtpPercent>,
    pub max_ribosomes: Option<u64>,
    pub max_commands_per_second: Option<u64>,
}

/// The limits in force for one user; None is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitsInForce {
    pub max_vms: u64,
    pub max_queued: u64,
    pub max_atp: Option<AtpPercent>,
    pub max_ribosomes: Option<u64>,
    pub max_commands_per_second: Option<u64>,
}

impl UserLimits {
    pub fn in_force(&self, config: &ResourceConfig) -> LimitsInForce {
        LimitsInForce {
            max_vms: self.max_vms.unwrap_or(config.max_vms_per_user),
            max_queued: self.max_queued.unwrap_or(config.max_queued_per_user),
            max_atp: self.max_atp.or(config.max_atp_per_user),
            max_ribosomes: self.max_ribosomes.or(config.max_ribosomes_per_user),
            max_commands_per_second: self.max_commands_per_second.or(config.max_commands_per_second_per_user),
        }
    }
}

/// Everything of one user. `held` is the sum of what its VMs hold (I3).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Account {
    pub limits: UserLimits,
    pub vms: BTreeMap<VmId, Vm>,
    pub held: Amounts,
    pub ensembles: BTreeMap<VmId, Ensemble>,
    /// VMs that wait for room, and ensembles with members that do: (priority, index at which they were queued, name).
    pub queued: BTreeSet<(u8, u64, VmId)>,
    /// Members of ensembles that wait to be made.
    pub waiting_members: u64,
    /// Destroyed VMs that are still remembered, oldest first.
    pub destroyed: VecDeque<VmId>,
    pub requests: Requests,
    /// Of what its holdings are above the threshold, and have not recovered since.
    pub alerted: BTreeSet<Measure>,
}

impl Account {
    /// Places that are taken in the user's backlog.
    pub fn places_taken(&self) -> u64 {
        let waiting = self.ensembles.values().filter(|ensemble| ensemble.waiting() > 0).count();
        (self.queued.len() - waiting) as u64 + self.waiting_members
    }
}
