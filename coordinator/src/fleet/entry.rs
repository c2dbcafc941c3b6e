//! Entries: facts of the journal. What an entry changes of a VM's holdings it states as `held`, the holdings after it,
//! so that any fold, also one written apart, can add them up.

use std::collections::BTreeMap;
use std::sync::Arc;

use bioxen_protocol::alert::AtpWatch;
use bioxen_protocol::command::{CheckpointId, OnComplete, Verb, VmType};
use bioxen_protocol::config::ResourceConfig;
use bioxen_protocol::error::Code;
use bioxen_protocol::id::{BootId, Generation, OperatorId, RequestId, UserId, VmId, VmKey, WorkerId};
use bioxen_protocol::package::VmPackage;
use bioxen_protocol::pool::XcpngPool;
use bioxen_protocol::state::VmState;
use bioxen_protocol::worker::{Capacity, CellAllocation, CellOrder, DesiredState, ObservedState, ProcessEnd};
use serde::{Deserialize, Serialize};

use super::account::UserLimits;
use super::alerts::Alerted;
use super::amounts::Amounts;
use super::checkpoint::Taken;
use super::format::Format;
use super::movement::{Cordon, MovedBy};

/// Who asked for what, on every entry that a command caused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    pub user: UserId,
    /// Set where an operator acted on the user's VM.
    pub operator: Option<OperatorId>,
    pub verb: Verb,
    pub request: Option<Request>,
}

/// A request id with the digest of what was asked under it (verb, target and decoded fields).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub id: RequestId,
    pub digest: String,
}

/// A fact. Variants are only ever added, and written only once every live coordinator knows them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Entry {
    /// A coordinator leads from here on.
    Leader { epoch: u64, coordinator: String },
    /// The leader has ended what it had taken and leads no longer: the last entry of its epoch.
    Resign { epoch: u64, coordinator: String },
    /// Every live coordinator knows this format: it may be written from here on, and is never taken back.
    Activate { format: Format },
    /// The leader lives; also the entry of a batch that only moves the submit cursor.
    Tick,
    /// The limits that hold from here on.
    Configured { config: ResourceConfig },
    /// A VM exists; `queued` where it waits for room and holds nothing.
    Created(Box<Created>),
    /// An ensemble exists; its members follow as `Created` and `Placed`, as room appears.
    Ensemble(Box<Ensembled>),
    /// The next member of an ensemble could not be made.
    MemberRefused { key: VmKey, number: u64, reason: String },
    /// An ensemble was stopped or destroyed by its name.
    EnsembleDesired { cause: Cause, key: VmKey, desired: DesiredState },
    /// An existing VM waits for room and holds nothing.
    Queued { cause: Cause, key: VmKey, held: Amounts, horizon_tick: Option<u64> },
    /// The command `start` was accepted; `Placed` follows in the same batch.
    Started { cause: Cause, key: VmKey, horizon_tick: Option<u64> },
    /// A worker was chosen; the generation is (incarnation, this entry's index).
    Placed { key: VmKey, worker: WorkerId, boot: BootId, held: Amounts },
    /// The VM shall go to another worker; `Placed` follows when its own has given it up.
    Moving { key: VmKey, to: Option<WorkerId>, by: MovedBy },
    /// Pause, resume, stop or destroy was accepted.
    Desired { cause: Cause, key: VmKey, desired: DesiredState, held: Amounts },
    /// A new allocation was accepted; `ordinal` 0 where the VM had not started and it took effect at once.
    Allocated { cause: Cause, key: VmKey, ordinal: u64, allocation: CellAllocation, held: Amounts },
    /// Process code was accepted; of the code itself the journal keeps the digest.
    ProcessStarted { cause: Cause, key: VmKey, number: u64, digest: String, timeout_ms: u64 },
    /// The minute of a scheduled call has come: its code, which stands in the VM's order, runs from here on.
    CallStarted { key: VmKey, call: u64, tick: u64, number: u64, digest: String, timeout_ms: u64 },
    /// Nobody said in time how a process ended: whether it took effect is unknown, and it is never run again.
    ProcessLost { key: VmKey, number: u64 },
    /// A package was accepted; `ordinal` 0 where the VM had not started and has it from minute 0.
    Installed { cause: Cause, key: VmKey, ordinal: u64, package: Arc<VmPackage> },
    /// Use of something limited rose above its threshold, or has recovered from that.
    Alerted(Box<Alerted>),
    /// The VM is sampled every so many seconds, or not any more where 0.
    Monitored { cause: Cause, key: VmKey, interval_seconds: u64 },
    /// The cell is kept as it stands, under this entry's index.
    Checkpointed(Box<Checkpointed>),
    /// The VM is put back to one of its checkpoints; what came after it never happened.
    Restored { cause: Cause, key: VmKey, checkpoint: CheckpointId, tick: u64, allocation: CellAllocation },
    /// A VM at rest has another type, or another pool; in the batch of what caused it.
    Rehomed { key: VmKey, vm_type: VmType, pool: Option<XcpngPool> },
    /// What was found of a VM whose placement ended without a checkpoint.
    Recovered(Box<Recovered>),
    /// A worker said how the VM stands.
    Observed(Box<Observed>),
    /// A boot of a worker was admitted.
    Registered { worker: WorkerId, boot: BootId, capacity: Capacity },
    /// Lease and grace of a boot are over: it commits nothing any more.
    Expired { worker: WorkerId, boot: BootId },
    /// An operator said whether a worker may take VMs.
    Cordoned { operator: OperatorId, worker: WorkerId, cordon: Cordon },
    /// A boot is about to end: its VMs move away.
    Leaving { worker: WorkerId, boot: BootId },
    /// An operator set a user's limits.
    LimitsSet { operator: OperatorId, user: UserId, limits: UserLimits },
    /// A backup of that time was restored: a new incarnation begins, and what the one before had placed has ended.
    BackupRestored { operator: OperatorId, taken_ms: u64 },
    /// Refused commands: one, or as many as `count` says.
    Rejected(Box<Rejected>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Created {
    pub cause: Cause,
    pub key: VmKey,
    pub order: Arc<CellOrder>,
    /// The most that this VM may ever be allocated.
    pub most: CellAllocation,
    pub on_complete: OnComplete,
    pub labels: BTreeMap<String, String>,
    pub queued: bool,
    pub held: Amounts,
    /// The state and place that were answered, for a repeat of the request.
    pub answered_state: VmState,
    pub queue_position: Option<u64>,
    /// Its number, where it is a member of the ensemble that its name starts with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ensembled {
    pub cause: Cause,
    pub key: VmKey,
    /// As JSON, its seed filled in.
    pub body: Arc<str>,
    pub seed: u64,
    pub members: u64,
    pub priority: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpointed {
    pub cause: Cause,
    pub key: VmKey,
    pub taken: Taken,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovered {
    pub key: VmKey,
    /// Of the placement that ended.
    pub generation: Generation,
    /// The newest that its worker had packed; none where there is none newer than the VM's own.
    pub taken: Option<Taken>,
    /// Ticks that are computed again, at most; none where nobody can say.
    pub lost_ticks: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    pub key: VmKey,
    pub generation: Generation,
    pub state: ObservedState,
    pub tick: u64,
    /// The highest ordinal in effect.
    pub applied: u64,
    pub applied_at: Vec<(u64, u64)>,
    pub checkpoint: Option<Arc<[u8]>>,
    /// Where the cell stands in it, where that is not `tick`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_tick: Option<u64>,
    pub reason: Option<String>,
    /// Where it completed: its final metrics, as a JSON object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Arc<str>>,
    pub held: Amounts,
    /// A process that ended with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessEnd>,
    /// How its energy fares, where that is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub atp: Option<AtpWatch>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    pub user: UserId,
    pub operator: Option<OperatorId>,
    /// None where the verb itself was not understood.
    pub verb: Option<Verb>,
    pub vm: Option<VmId>,
    pub code: Code,
    pub request_id: Option<RequestId>,
    pub message: String,
    pub count: u64,
}

impl Entry {
    /// The VM that the entry is about.
    pub fn key(&self) -> Option<&VmKey> {
        match self {
            Self::Created(created) => Some(&created.key),
            Self::Ensemble(asked) => Some(&asked.key),
            Self::Queued { key, .. }
            | Self::MemberRefused { key, .. }
            | Self::EnsembleDesired { key, .. }
            | Self::Started { key, .. }
            | Self::Placed { key, .. }
            | Self::Moving { key, .. }
            | Self::Desired { key, .. }
            | Self::ProcessStarted { key, .. }
            | Self::CallStarted { key, .. }
            | Self::ProcessLost { key, .. }
            | Self::Monitored { key, .. }
            | Self::Restored { key, .. }
            | Self::Rehomed { key, .. }
            | Self::Installed { key, .. }
            | Self::Allocated { key, .. } => Some(key),
            Self::Observed(observed) => Some(&observed.key),
            Self::Checkpointed(taken) => Some(&taken.key),
            Self::Recovered(found) => Some(&found.key),
            Self::Leader { .. }
            | Self::Resign { .. }
            | Self::Activate { .. }
            | Self::Tick
            | Self::Configured { .. }
            | Self::Registered { .. }
            | Self::Expired { .. }
            | Self::Cordoned { .. }
            | Self::Leaving { .. }
            | Self::LimitsSet { .. }
            | Self::Alerted(_)
            | Self::BackupRestored { .. }
            | Self::Rejected(_) => None,
        }
    }

    /// The command that caused it.
    pub fn cause(&self) -> Option<&Cause> {
        match self {
            Self::Created(created) => Some(&created.cause),
            Self::Ensemble(asked) => Some(&asked.cause),
            Self::Checkpointed(taken) => Some(&taken.cause),
            Self::EnsembleDesired { cause, .. }
            | Self::Restored { cause, .. }
            | Self::Queued { cause, .. }
            | Self::Started { cause, .. }
            | Self::Desired { cause, .. }
            | Self::ProcessStarted { cause, .. }
            | Self::Monitored { cause, .. }
            | Self::Installed { cause, .. }
            | Self::Allocated { cause, .. } => Some(cause),
            _ => None,
        }
    }
}
