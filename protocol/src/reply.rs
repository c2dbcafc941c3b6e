//! Replies: what each verb answers.

mod checkpoints;
mod fleet;
mod storage;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::command::VmType;
use crate::id::{Generation, VmId, WorkerId};
use crate::package::PackageId;
use crate::quantity::AtpPercent;
use crate::state::VmState;

pub use checkpoints::{CheckpointInfo, Checkpointed, Restored};
pub use fleet::{
    Difference, FleetTotals, Moving, OperationStatistics, Performance, Quota, Verified, WorkerInfo,
};
pub use storage::{BackupSurvey, SnapshotInfo, SnapshotTaken, Stored};

/// What a VM is given: percent of the energy supply, allocation units, KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AllocationReply {
    pub atp_percentage: AtpPercent,
    pub ribosomes: u64,
    pub memory_kb: u64,
}

/// Doubling times that the model predicts, at this allocation and at the chassis' most.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Predicted {
    pub doubling_time_min: Option<f64>,
    pub unlimited_doubling_time_min: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Created {
    pub vm_id: VmId,
    /// Always "created": the command took effect.
    pub status: String,
    pub state: VmState,
    pub biological_type: String,
    pub vm_type: VmType,
    pub seed: u64,
    pub queue_position: Option<u64>,
    pub predicted: Option<Predicted>,
    /// Settings that were accepted and have no effect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// The answer of start, stop, pause, resume and destroy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StateReached {
    pub vm_id: VmId,
    pub state: VmState,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Allocated {
    pub vm_id: VmId,
    pub state: VmState,
    pub allocation: AllocationReply,
}

/// A package in a VM: the answer of install names the VM too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PackageReply {
    pub package: PackageId,
    /// Of the archive's bytes.
    pub digest: String,
    /// What it costs in balance with the chassis' unlimited growth: heterologous transcription, 1/min.
    pub load: f64,
}

/// The answer of install.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Installed {
    pub vm_id: VmId,
    pub package: PackageId,
    /// Of the archive's bytes.
    pub digest: String,
    /// As in [`PackageReply`].
    pub load: f64,
}

/// The answer of execute, transcription and operons: how the process ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Executed {
    /// Always "completed": what fails is answered with BX016.
    pub status: String,
    pub vm_id: VmId,
    /// Seconds.
    pub execution_time: f64,
    /// What the code returned; null where an answer is repeated and its output is no longer kept.
    pub biological_output: serde_json::Value,
    /// `call` or `script`.
    pub execution_type: String,
}

/// The answer of monitor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Monitored {
    pub vm_id: VmId,
    pub state: VmState,
    /// 0 where it is not monitored any more.
    pub interval_seconds: u64,
    /// Where samples are published.
    pub subject: String,
}

/// The answer of history: what monitoring has seen since the VM came to its worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct History {
    pub vm_id: VmId,
    pub interval_seconds: u64,
    pub samples: Vec<Sample>,
}

/// The metrics of a monitored VM at a moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sample {
    pub time_ms: u64,
    pub metrics: serde_json::Map<String, serde_json::Value>,
}

/// One allocation that was tried, with the steady state that the model predicts for it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TriedAllocation {
    pub atp_percentage: AtpPercent,
    pub ribosomes: u64,
    pub growth_rate_per_min: f64,
    pub doubling_time_min: Option<f64>,
    /// Growth per allocated energy: 1/min for each percent.
    pub growth_per_atp_percent: f64,
}

/// The answer of optimize: the allocation with the best growth per ATP that the VM's limits allow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Optimized {
    pub vm_id: VmId,
    pub current: TriedAllocation,
    pub best: TriedAllocation,
    /// growth_per_atp_percent of the best over the current one's.
    pub gain: f64,
    /// How many allocations the model was asked about.
    pub tried: Vec<TriedAllocation>,
    pub applied: bool,
}

/// The answer of recommendations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Recommendations {
    pub vm_id: VmId,
    pub current: TriedAllocation,
    pub recommendations: Vec<Recommendation>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Recommendation {
    /// `warning` or `allocation`.
    pub kind: String,
    pub text: String,
    pub allocation: Option<TriedAllocation>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    pub vm_id: VmId,
    pub state: VmState,
    pub reason: Option<String>,
    pub biological_type: String,
    pub vm_type: VmType,
    /// Seconds in its present placement, on the worker's clock.
    pub uptime_seconds: f64,
    /// Seconds of a simulation thread.
    pub cpu_time_used: f64,
    pub ribosome_allocation: u64,
    pub atp_percentage: AtpPercent,
    pub memory_kb: u64,
    pub priority: u8,
    /// healthy, unreachable (its worker does not answer), failed, or idle.
    pub health_status: String,
    pub worker: Option<WorkerId>,
    pub generation: Option<Generation>,
    pub simulated_minutes: f64,
    pub lag_minutes: f64,
    pub queue_position: Option<u64>,
    pub seed: u64,
    pub predicted: Option<Predicted>,
    /// What is in effect in the cell, where its worker was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective: Option<EffectiveAllocation>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What it may be restored to, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checkpoints: Vec<CheckpointInfo>,
    /// Accepted, in order.
    #[serde(default)]
    pub packages: Vec<PackageReply>,
    /// Where it runs in a guest that has come up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest: Option<GuestStatus>,
}

/// The guest that a VM of `vm_type: xcpng` runs in, and what the host that it is on measures of it; nothing of that
/// measures the cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GuestStatus {
    /// As on the pool.
    pub name: String,
    /// Where its VM's worker reaches it.
    pub address: String,
    /// The newest figures; absent where its host told none in the last minute.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<GuestMeasured>,
}

/// Mean figures of some seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GuestMeasured {
    /// Of the guest's virtual processors together: 100 is all of them fully at work.
    pub cpu_percent: f64,
    /// What its host has given it, used or not.
    pub memory_bytes: u64,
    /// Since 1970, by the worker's clock.
    pub measured_at_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Listed {
    pub vm_id: VmId,
    pub state: VmState,
    pub biological_type: String,
    pub worker: Option<WorkerId>,
    pub priority: u8,
    pub queue_position: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VmList {
    pub vms: Vec<Listed>,
    /// Ask again with it for the next page; null at the end.
    pub cursor: Option<String>,
    /// On the first page: the user's ensembles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ensembles: Vec<EnsembleStatus>,
}

/// The answer of `ensemble`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EnsembleAccepted {
    pub name: VmId,
    pub members: u64,
    pub queued: u64,
}

/// The answer of `status` where the name is an ensemble's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EnsembleStatus {
    pub name: VmId,
    /// queued, running, stopping, destroying; stopped when no member is left to run.
    pub state: VmState,
    /// completed, where every member was made and has ended.
    pub reason: Option<String>,
    pub members: u64,
    /// Not made yet.
    pub queued: u64,
    pub running: u64,
    pub completed: u64,
    pub failed: u64,
    /// Stopped or destroyed by command.
    pub stopped: u64,
    pub priority: u8,
    pub seed: u64,
}

/// A chunk of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ResultsChunk {
    pub vm_id: VmId,
    /// recording (a row a recorded point), ensemble (a row a member) or summary (one row: the metrics of the last minute).
    pub kind: String,
    pub format: crate::command::TableFormat,
    pub columns: Vec<String>,
    pub offset: u64,
    /// Rows (bytes of parquet) in all, as far as there are any now.
    pub total: u64,
    /// The offset of the next chunk; null at the end.
    pub next: Option<u64>,
    /// Whether more may come: the VM or the ensemble has not ended.
    pub growing: bool,
    /// csv: text, its first line the columns where offset is 0. json: a list of rows, each a list of values.
    /// parquet: bytes of the file in base64.
    pub data: serde_json::Value,
}

/// The answer of `results` that names a member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MemberBody {
    pub vm_id: VmId,
    pub member: u64,
    /// A `create` body; sent under another vm_id it gives the same bytes.
    pub create: serde_json::Value,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Resources {
    pub vm_id: VmId,
    pub allocation: AllocationReply,
    pub most: AllocationReply,
    /// What is in effect in the cell, where its worker was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective: Option<EffectiveAllocation>,
    /// What the cell uses now: active ribosomes (molecules), ATP level, KiB of trace.
    pub usage: Usage,
    /// What the ledger holds for the VM.
    pub reservation: Reservation,
    /// As in [`Status`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest: Option<GuestStatus>,
}

/// What a cell is given now: below what its VM holds where a script's `set_allocation` took less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EffectiveAllocation {
    pub atp_percentage: AtpPercent,
    /// None where there is no cap.
    pub ribosomes: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    pub ribosomes_active: Option<f64>,
    pub ribosomes_total: Option<f64>,
    pub atp_level: Option<f64>,
    pub memory_kb: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reservation {
    pub slots: u64,
    pub atp_percentage: AtpPercent,
    pub ribosomes: u64,
    pub memory_kb: u64,
}
