//! Limits and settings that operators set, with their defaults.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::quantity::AtpPercent;

/// What the fleet as a whole, and each user by default, may hold. Journaled, so that every fold uses the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResourceConfig {
    pub max_concurrent_vms: u64,
    /// Sum of percent over all VMs.
    pub global_atp_limit: AtpPercent,
    pub global_ribosome_limit: u64,
    pub max_vms_per_user: u64,
    pub max_queued_per_user: u64,
    /// Per user; absent is unlimited.
    pub max_atp_per_user: Option<AtpPercent>,
    pub max_ribosomes_per_user: Option<u64>,
    pub max_commands_per_second_per_user: Option<u64>,
    pub placement: Placement,
    /// Whether VMs move to a worker that joins; with `spread` only.
    #[serde(skip_serializing_if = "is_true")]
    pub rebalance: bool,
    /// By chassis; one that is not named keeps its own most.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub chassis: ChassisLimits,
}

fn is_true(is: &bool) -> bool {
    *is
}

/// What operators set for single chassis.
pub type ChassisLimits = BTreeMap<String, ChassisLimit>;

/// What an operator sets for one chassis.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChassisLimit {
    /// The most that one VM may be allocated, in place of the chassis' own; above 0, at most 100.
    pub max_atp: Option<AtpPercent>,
}

/// How a worker is chosen among those with room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// The one with most room: a lost worker takes few VMs with it.
    #[default]
    Spread,
    /// The fullest that fits: workers can be given back.
    BinPack,
}

impl Default for ResourceConfig {
    fn default() -> Self {
        Self {
            max_concurrent_vms: 100,
            global_atp_limit: AtpPercent(1_000_000),
            global_ribosome_limit: 500,
            max_vms_per_user: 10,
            max_queued_per_user: 10_000,
            max_atp_per_user: None,
            max_ribosomes_per_user: None,
            max_commands_per_second_per_user: None,
            placement: Placement::Spread,
            rebalance: true,
            chassis: ChassisLimits::new(),
        }
    }
}

/// What one worker offers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkerConfig {
    pub max_vms: u64,
    pub total_ribosomes: u64,
    pub hypervisor_overhead: f64,
    pub emergency_ribosome_reserve: u64,
    pub resource_warning_threshold: f64,
    pub scheduling_quantum_ms: u64,
    /// How often the changed checkpoints of all VMs are stored: what a lost worker costs at most.
    pub checkpoint_interval_seconds: u64,
    /// Simulation threads; absent: one for each core.
    pub threads: Option<usize>,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            max_vms: 4,
            total_ribosomes: 80,
            hypervisor_overhead: 0.15,
            emergency_ribosome_reserve: 10,
            resource_warning_threshold: 0.85,
            scheduling_quantum_ms: 100,
            checkpoint_interval_seconds: 30,
            threads: None,
        }
    }
}

/// Why a worker's figures do not fit together.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvalidWorkerConfig {
    #[error("hypervisor_overhead is {0}: expected a share from 0 to less than 1")]
    Overhead(f64),
    #[error(
        "emergency_ribosome_reserve {reserve} is above the {held_back} units that hypervisor_overhead holds back of {total}: lower the reserve or raise the overhead"
    )]
    Reserve { reserve: u64, held_back: u64, total: u64 },
    #[error("scheduling_quantum_ms is {0}: expected 1 to 10000")]
    Quantum(u64),
    #[error("resource_warning_threshold is {0}: expected a share from 0 to 1")]
    Threshold(f64),
    #[error("checkpoint_interval_seconds is {0}: expected 1 to 3600")]
    CheckpointInterval(u64),
    #[error("threads is 0: expected at least one simulation thread")]
    Threads,
}

impl WorkerConfig {
    /// `resource_warning_threshold` in thousandths.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share from 0 to 1")]
    pub fn warning_permille(&self) -> u64 {
        (self.resource_warning_threshold.clamp(0.0, 1.0) * 1000.0).round() as u64
    }

    /// Units that placement may fill: floor(total * (1 - overhead)).
    pub fn usable_ribosomes(&self) -> Result<u64, InvalidWorkerConfig> {
        if !(0.0..1.0).contains(&self.hypervisor_overhead) {
            return Err(InvalidWorkerConfig::Overhead(self.hypervisor_overhead));
        }
        if !(1..=10_000).contains(&self.scheduling_quantum_ms) {
            return Err(InvalidWorkerConfig::Quantum(self.scheduling_quantum_ms));
        }
        if !(0.0..=1.0).contains(&self.resource_warning_threshold) {
            return Err(InvalidWorkerConfig::Threshold(self.resource_warning_threshold));
        }
        if !(1..=3600).contains(&self.checkpoint_interval_seconds) {
            return Err(InvalidWorkerConfig::CheckpointInterval(self.checkpoint_interval_seconds));
        }
        if self.threads == Some(0) {
            return Err(InvalidWorkerConfig::Threads);
        }
        // 1 - 0.15 is a hair above 0.85: a small allowance keeps 80 units at 68 and 100 at 85.
        let usable = (self.total_ribosomes as f64 * (1.0 - self.hypervisor_overhead) + 1e-9).floor();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from 0 to total_ribosomes"
        )]
        let usable = usable as u64;
        let held_back = self.total_ribosomes - usable;
        if self.emergency_ribosome_reserve > held_back {
            return Err(InvalidWorkerConfig::Reserve {
                reserve: self.emergency_ribosome_reserve,
                held_back,
                total: self.total_ribosomes,
            });
        }
        Ok(usable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_worker_may_be_filled_to_68_of_80_units() {
        assert_eq!(WorkerConfig::default().usable_ribosomes(), Ok(68));
    }

    #[test]
    fn a_reserve_beyond_what_is_held_back_is_refused() {
        let config = WorkerConfig { emergency_ribosome_reserve: 13, ..WorkerConfig::default() };
        assert!(matches!(config.usable_ribosomes(), Err(InvalidWorkerConfig::Reserve { .. })));
    }
}
