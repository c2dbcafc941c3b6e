//! One VM as the fleet knows it: what was asked, what is desired, what was observed, what it holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use bioxen_protocol::alert::AtpWatch;
use bioxen_protocol::command::OnComplete;
use bioxen_protocol::id::{BootId, Generation, VmKey, WorkerId};
use bioxen_protocol::state::VmState;
use bioxen_protocol::worker::{
    CellAllocation, CellOrder, Desired, DesiredState, NumberedChange, ObservedState, ProcessEnd,
};
use serde::{Deserialize, Serialize};

use super::amounts::Amounts;
use super::checkpoint::{Lost, Named, Recovery};
use super::movement::Moving;
use super::package::InstalledPackage;

/// Why a VM is in its state, where the state alone does not say it.
pub const COMPLETED: &str = "completed";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Vm {
    pub key: VmKey,
    pub order: Arc<CellOrder>,
    /// The most that it may ever be allocated.
    pub most: CellAllocation,
    pub on_complete: OnComplete,
    pub labels: BTreeMap<String, String>,
    /// Its number, where it is a member of the ensemble that its name starts with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<u64>,
    pub state: VmState,
    pub reason: Option<String>,
    pub desired: DesiredState,
    /// What was last asked for and accepted.
    pub allocation: CellAllocation,
    /// What is in effect in the cell, as last confirmed.
    pub effective: CellAllocation,
    /// What is in effect in its checkpoint, or at minute 0 without one.
    pub checkpoint_allocation: CellAllocation,
    pub held: Amounts,
    /// Changes asked for while it ran that its checkpoint does not contain.
    pub changes: Vec<NumberedChange>,
    /// The highest ordinal given to a change.
    pub last_ordinal: u64,
    pub placement: Option<Placement>,
    /// Of its last placement, where that had a guest on a pool: the guest stays while the VM rests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_generation: Option<Generation>,
    /// It shall go to another worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moving: Option<Moving>,
    pub checkpoint: Option<Arc<[u8]>>,
    pub checkpoint_applied: u64,
    /// Where the cell stands in its checkpoint.
    #[serde(default)]
    pub checkpoint_tick: u64,
    /// Taken by name, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checkpoints: Vec<Named>,
    /// Its last placement, where that ended without a checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<Lost>,
    /// What was found of it, until it is placed again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Recovery>,
    /// Where a worker stored what it recorded, stretch by stretch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recorded: Vec<Generation>,
    /// Stretches of that which count only up to a tick: the VM was restored to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recorded_to: Vec<(Generation, u64)>,
    pub horizon_tick: Option<u64>,
    /// The last committed grid point that a worker told.
    pub tick: u64,
    /// The index at which it was queued, while it is.
    pub queued_at: Option<u64>,
    pub created_ms: u64,
    /// Process code that runs in it, or the last that did.
    #[serde(default)]
    pub process: Option<Process>,
    /// Scheduled calls whose start is journaled.
    #[serde(default)]
    pub calls_started: u64,
    /// How its energy fares, as last told.
    #[serde(default)]
    pub atp: AtpWatch,
    /// Seconds between samples; 0 where it is not monitored.
    #[serde(default)]
    pub monitor_seconds: u64,
    /// In the order in which they were accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<InstalledPackage>,
    /// The index of the last entry about it.
    pub index: u64,
}

/// Process code in one VM: one at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Counts with the ordinals of changes.
    pub number: u64,
    /// Of the code.
    pub digest: String,
    /// When its outcome is given up, in milliseconds since 1970.
    pub deadline_ms: u64,
    /// The placement that it was started in: in no other it is run. None while the VM leaves one: then it is the next.
    #[serde(default)]
    pub generation: Option<Generation>,
    /// Which scheduled call it is, where it is one.
    #[serde(default)]
    pub call: Option<u64>,
    /// How it ended; none while it runs.
    pub end: Option<ProcessEnd>,
}

/// Where a VM is, and what its worker last said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    pub worker: WorkerId,
    pub boot: BootId,
    pub generation: Generation,
    pub observed: ObservedState,
    pub applied: u64,
    /// When its worker's lease and grace were over, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired_ms: Option<u64>,
    /// It commits nothing more, and what the cell came to stands in the journal.
    #[serde(default, skip_serializing_if = "is_false")]
    pub over: bool,
}

fn is_false(is: &bool) -> bool {
    !is
}

impl Vm {
    pub(super) fn queue(&mut self, index: u64, held: Amounts, horizon_tick: Option<u64>) {
        (self.state, self.reason) = (VmState::Queued, None);
        self.held = held;
        self.horizon_tick = horizon_tick.or(self.horizon_tick);
        self.queued_at = Some(index);
    }

    pub(super) fn allocate(&mut self, ordinal: u64, allocation: CellAllocation, held: Amounts) {
        (self.allocation, self.held) = (allocation, held);
        if ordinal == 0 {
            self.effective = allocation;
            self.checkpoint_allocation = allocation;
            Arc::make_mut(&mut self.order).allocation = allocation;
        } else {
            self.last_ordinal = ordinal;
            self.changes.push(NumberedChange { ordinal, allocation, tick: None, package: None });
        }
    }

    pub fn is_completed(&self) -> bool {
        self.state == VmState::Stopped && self.reason.as_deref() == Some(COMPLETED)
    }

    /// What it must hold while its worker has confirmed the changes up to `applied`: what is in effect there until less
    /// is confirmed, and whatever was asked for since. Past changes count until they are repeated: a cell that is computed
    /// again goes through each of them, and must not have to take back what others hold by then.
    pub fn holdings_at(&self, applied: u64) -> Amounts {
        let in_effect = self.changes.iter().rfind(|change| change.ordinal <= applied);
        let in_effect = in_effect.map_or(self.effective, |change| change.allocation);
        let pending = self.changes.iter().filter(|change| change.ordinal > applied);
        pending.fold(Amounts::of(in_effect), |held, change| held.most_of(Amounts::of(change.allocation)))
    }

    /// What it must hold to be started: the most that it holds while its past is made good, so that nothing is taken
    /// later that was not counted.
    pub fn holdings_to_start(&self) -> Amounts {
        let base = Amounts::of(self.checkpoint_allocation).most_of(Amounts::of(self.allocation));
        self.changes.iter().fold(base, |held, change| held.most_of(Amounts::of(change.allocation)))
    }

    /// Whether its worker has said that things stand as desired.
    pub fn is_settled(&self) -> bool {
        self.placement.as_ref().is_some_and(|at| {
            let reached = match self.desired {
                DesiredState::Running => at.observed == ObservedState::Running,
                DesiredState::Paused => at.observed == ObservedState::Paused,
                DesiredState::Stopped | DesiredState::Absent => false,
            };
            reached
                && !self.is_leaving()
                && at.applied >= self.changes.last().map_or(0, |change| change.ordinal)
        }) && self.running_process().is_none()
    }

    /// The process that has not ended.
    pub fn running_process(&self) -> Option<&Process> {
        self.process.as_ref().filter(|process| process.end.is_none())
    }

    /// The level that its worker is told.
    pub fn desired_level(&self, generation: Generation) -> Desired {
        Desired {
            key: self.key.clone(),
            generation,
            state: if self.is_leaving() { DesiredState::Stopped } else { self.desired },
            order: Some(Arc::clone(&self.order)),
            changes: self.changes.clone(),
            checkpoint: self.checkpoint.as_ref().map(|bytes| bytes.to_vec()),
            checkpoint_applied: self.checkpoint_applied,
            horizon_tick: self.horizon_tick,
            reached_tick: self.tick,
            process_confirmed: match &self.process {
                Some(process) if process.end.is_some() => process.number,
                Some(process) => process.number - 1,
                None => 0,
            },
            calls_done: self.calls_done(),
            atp: self.atp,
            monitor_seconds: self.monitor_seconds,
        }
    }
}
