//! What the core decides on: commands already decoded and validated, in whole numbers, with the ids that they may need.

use std::collections::BTreeMap;
use std::sync::Arc;

use bioxen_protocol::command::{AllocationRequest, CheckpointId, OnComplete, OnFull, VmType};
use bioxen_protocol::id::{BootId, OperatorId, UserId, VmId, VmKey, WorkerId};
use bioxen_protocol::package::PackageId;
use bioxen_protocol::state::VmState;
use bioxen_protocol::worker::{Capacity, CellAllocation, CellOrder, Observation};

use super::account::UserLimits;
use super::checkpoint::{Live, TakenAs};
use super::entry::Cause;
use super::home::Home;
use super::movement::Cordon;
use super::package::{PackageOffer, PackageSummary};

/// Something that asks the fleet to change.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// A user's verb (or an operator's on a user's VM).
    User {
        cause: Cause,
        vm: VmId,
        ask: Ask,
    },
    /// A worker's boot offers itself; leases were checked before.
    Register {
        worker: WorkerId,
        boot: BootId,
        capacity: Capacity,
    },
    /// Lease and grace of a boot are over.
    Expire {
        worker: WorkerId,
        boot: BootId,
    },
    /// How a VM stands at a worker.
    Observe {
        worker: WorkerId,
        boot: BootId,
        observation: Box<Observation>,
    },
    /// A boot says that it is about to end.
    Leave {
        worker: WorkerId,
        boot: BootId,
    },
    /// An operator has a VM go to another worker; without `to` the fleet chooses.
    Move {
        operator: OperatorId,
        key: VmKey,
        to: Option<WorkerId>,
    },
    Cordon {
        operator: OperatorId,
        worker: WorkerId,
        cordon: Cordon,
    },
    SetLimits {
        operator: OperatorId,
        user: UserId,
        limits: UserLimits,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    Create(Box<NewVm>),
    Ensemble(NewEnsemble),
    Start {
        on_full: OnFull,
        horizon_tick: Option<u64>,
    },
    Pause,
    Resume,
    Stop,
    Destroy,
    Allocate(AllocationRequest),
    /// Process code, by its digest: the code itself stays at the edge.
    Execute {
        digest: String,
        timeout_ms: u64,
    },
    Monitor {
        interval_seconds: u64,
    },
    /// Where a worker has the cell, as it gave it.
    Checkpoint {
        live: Option<Box<Live>>,
    },
    /// `home` where it shall run elsewhere than before.
    Restore {
        checkpoint: CheckpointId,
        home: Option<Home>,
    },
    /// None where it could not be read.
    Install {
        package: PackageId,
        offer: Option<PackageOffer>,
    },
}

/// A VM to be made. `order.allocation` holds the amounts asked for, defaults filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct NewVm {
    pub order: Arc<CellOrder>,
    pub most: CellAllocation,
    pub on_complete: OnComplete,
    pub labels: BTreeMap<String, String>,
    pub auto_start: bool,
    pub on_full: OnFull,
}

/// An ensemble to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEnsemble {
    /// As JSON, its seed filled in.
    pub body: Arc<str>,
    pub seed: u64,
    pub members: u64,
    pub priority: u8,
}

impl NewVm {
    pub fn vm_type(&self) -> VmType {
        self.order.vm_type
    }
}

/// What a user's command is answered with, once its batch is acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Created {
        vm: VmId,
        state: VmState,
        queue_position: Option<u64>,
    },
    Ensemble {
        name: VmId,
        members: u64,
    },
    Allocated {
        vm: VmId,
        state: VmState,
        allocation: CellAllocation,
    },
    Monitored {
        vm: VmId,
        state: VmState,
        interval_seconds: u64,
    },
    Checkpointed {
        vm: VmId,
        checkpoint: CheckpointId,
        taken: TakenAs,
    },
    Restored {
        vm: VmId,
        state: VmState,
        checkpoint: CheckpointId,
        tick: u64,
        allocation: CellAllocation,
    },
    Installed {
        vm: VmId,
        installed: PackageSummary,
    },
    /// Wait until the process ends.
    Process {
        vm: VmId,
        number: u64,
    },
    /// Wait until the VM reaches a state in which the verb is done.
    Reach {
        vm: VmId,
        goal: Goal,
    },
    /// Nobody waits: workers' messages, operators' settings.
    Nothing,
}

/// When a waiting verb is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    Running,
    Paused,
    Stopped,
    Destroyed,
}

impl Goal {
    /// Reached, or out of reach for good.
    pub fn is_done(self, state: VmState) -> bool {
        use VmState::{Destroyed, Failed, Paused, Queued, Running, Stopped};
        match self {
            Self::Running => matches!(state, Running | Queued | Failed | Stopped | Destroyed),
            Self::Paused => matches!(state, Paused | Failed | Stopped | Destroyed),
            Self::Stopped => matches!(state, Stopped | Failed | Destroyed),
            Self::Destroyed => state == Destroyed,
        }
    }
}
