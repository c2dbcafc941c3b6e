//! What the leader and a worker tell each other, always in MessagePack.
//!
//! A worker reports (register, heartbeats, what it observed), the leader commands (grants of the lease, what it
//! desires of each VM). Desired and observed state are levels: each message says how things stand, so a lost or
//! repeated one costs a delay and nothing else. Every message names epoch or incarnation, every VM its generation.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alert::AtpWatch;
use crate::command::VmType;
use crate::id::{Generation, VmKey};
pub use crate::inventory::inventory_digest;
pub use crate::order::{CellAllocation, CellOrder, NumberedChange, OrderedChange, RecordOrder};
use crate::package::ModulesOf;
use crate::reply::{EffectiveAllocation, GuestStatus, Sample};

/// What a worker can hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    pub max_vms: u64,
    /// Allocation units before the hypervisor's overhead.
    pub total_ribosomes: u64,
    /// floor(total * (1 - hypervisor_overhead)): what placement may fill.
    pub usable_ribosomes: u64,
    /// Thousandths of `usable_ribosomes` above which the leader raises an alert.
    #[serde(default = "warning_permille")]
    pub warning_permille: u64,
    pub vm_types: Vec<VmType>,
    /// Imported chassis packs that it has: name, and SHA-256 of the pack.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub packs: BTreeMap<String, String>,
    /// XCP-ng pools that it reaches, by their names in its file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<String>,
    /// The id of the key that opens the passwords of pools that VMs bring along; absent: it takes none such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_pools: Option<String>,
}

fn warning_permille() -> u64 {
    crate::alert::WORKER_PERMILLE
}

/// From a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerReport {
    /// Sent until a grant or a refusal answers it.
    Register(Register),
    Heartbeat(Heartbeat),
    /// Changes as they are observed, at most [`crate::limits::OBSERVATIONS`].
    Observed {
        incarnation: u64,
        vms: Vec<Observation>,
    },
    /// VMs that stand still until their level is told again: they were held under an earlier registration, and may be
    /// another worker's by now. Told with heartbeats; an inventory leaves them out.
    Unconfirmed {
        vms: Vec<(VmKey, Generation)>,
    },
    /// It was told to end, and waits until its VMs have gone elsewhere; answered by [`WorkerCommand::Leave`].
    Leaving {},
    /// It has ended: nothing of it commits any more, and what its cells have come to is packed. Its lease need not be
    /// waited for.
    Goodbye {},
    /// Everything the worker holds, in parts; answers [`WorkerCommand::SendInventory`].
    Inventory {
        vms: Vec<Observation>,
    },
    /// Guests of this fleet that it finds on its pools and does not hold, each with the highest generation that claims
    /// it; at most [`crate::limits::GUESTS`]. Answered by [`WorkerCommand::Unowned`] where some are nobody's.
    Guests {
        incarnation: u64,
        vms: Vec<(VmKey, Generation)>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    pub capacity: Capacity,
    pub version: String,
    /// The heartbeat that the grant will answer.
    pub number: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Counts up in one boot; a grant names the one that it answers.
    pub number: u64,
    /// The highest epoch that this boot has seen.
    pub epoch: u64,
    /// [`inventory_digest`] of what the worker holds.
    pub inventory: u64,
}

/// How one VM stands at its worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    pub key: VmKey,
    pub generation: Generation,
    pub state: ObservedState,
    /// Committed simulated time, in ticks of 0.1 minute since creation.
    pub tick: u64,
    /// The highest ordinal of a change that is in effect.
    pub applied: u64,
    /// Grid points at which changes took effect that the leader has not yet confirmed: (ordinal, tick).
    pub applied_at: Vec<(u64, u64)>,
    /// Where it stopped or completed: what it can be continued from, elsewhere too.
    pub checkpoint: Option<Vec<u8>>,
    /// In words, where it failed.
    pub reason: Option<String>,
    /// A process that ended, until the leader has confirmed that; `checkpoint` then holds what it left.
    pub process: Option<ProcessEnd>,
    /// Where it completed: its metrics at the last minute, as a JSON object of at most
    /// [`crate::limits::SUMMARY_BYTES`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// How its energy has fared.
    #[serde(default)]
    pub atp: AtpWatch,
    /// The scheduled call whose minute has come: it stands still until the leader has it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_due: Option<u64>,
}

impl Observation {
    /// That its worker has nothing of this generation.
    pub fn absent(key: VmKey, generation: Generation) -> Self {
        Self {
            key,
            generation,
            state: ObservedState::Absent,
            tick: 0,
            applied: 0,
            applied_at: Vec::new(),
            checkpoint: None,
            reason: None,
            process: None,
            summary: None,
            atp: AtpWatch::default(),
            call_due: None,
        }
    }
}

/// Process code for one VM, told once by the leader and again until the worker says how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessOrder {
    /// Counts with the ordinals of changes: it runs after those below it.
    pub number: u64,
    /// The change that must be in effect before it runs; 0 where there is none.
    pub after: u64,
    pub code: String,
    pub timeout_ms: u64,
    /// What a script's `set_allocation` may not exceed.
    pub reservation: CellAllocation,
    /// Whose modules a script may use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<ModulesOf>,
    /// Which scheduled call of the VM it is, counted from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<u64>,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessEnd {
    pub number: u64,
    pub status: ProcessStatus,
    /// `call` or `script`; what failed before that was known is `code`.
    pub execution_type: String,
    /// The result as JSON text, at most [`crate::limits::PROCESS_RESULT_BYTES`]; empty where it failed.
    pub output: String,
    /// Why it failed, in words.
    pub reason: Option<String>,
    /// Names that are known and near to the one that is not.
    pub nearest: Vec<String>,
    pub execution_us: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessStatus {
    Completed,
    Failed,
    /// The VM's chassis has no such thing.
    Unsupported,
    /// Nobody can say whether it took effect.
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObservedState {
    Running,
    Paused,
    /// By command; the checkpoint is attached and the worker has forgotten the cell.
    Stopped,
    /// At its horizon; as `Stopped`.
    Completed,
    Failed,
    /// The worker does not hold it (any more).
    Absent,
}

/// From the leader.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerCommand {
    /// The lease, counted from when the worker *sent* the heartbeat named. `registration` is the index of the entry that
    /// registered the boot: a higher one than before means that its lease was over meanwhile.
    Grant {
        incarnation: u64,
        epoch: u64,
        heartbeat: u64,
        lease_ms: u64,
        registration: u64,
        /// The fleet's id, by which its guests are known on a pool.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        fleet: String,
    },
    /// Another boot of this name holds the lease; ask again after the time given.
    BootRefused { epoch: u64, holder: String, retry_after_ms: u64 },
    /// Not (or no longer) registered: register anew.
    RegisterAgain { epoch: u64 },
    Desire {
        epoch: u64,
        /// The registration under which it is told: what was told under an earlier one may be long out of date.
        registration: u64,
        vms: Vec<Desired>,
    },
    /// The digest of a heartbeat differs from the journal's view.
    SendInventory { epoch: u64 },
    /// A new leader leads: send a heartbeat at once.
    Beat { epoch: u64 },
    /// Request and reply: [`VmQueryReply`].
    Query { key: VmKey, generation: Generation, with: QueryExtra },
    /// Process code for a VM that it holds.
    Execute { epoch: u64, key: VmKey, generation: Generation, process: ProcessOrder },
    /// A worker that is about to end may do so now, for nothing that it has goes elsewhere (any more); or is to wait.
    Leave { epoch: u64, may_go: bool },
    /// Request and reply: rows of what the VM has recorded in this generation, [`VmQueryReply::Trace`].
    QueryTrace { key: VmKey, generation: Generation, row: u64 },
    /// Of the guests that the worker found, those that no VM of the fleet is served by. They may be destroyed where no
    /// higher generation has claimed them meanwhile.
    Unowned { epoch: u64, vms: Vec<(VmKey, Generation)> },
}

/// What a query wants beside the figures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueryExtra {
    #[default]
    Nothing,
    Checkpoint,
    /// So many of the newest samples.
    History(u64),
}

/// What the leader desires of one VM: the whole level.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Desired {
    pub key: VmKey,
    pub generation: Generation,
    pub state: DesiredState,
    /// What the cell is made from; absent where the VM is only to be given up.
    pub order: Option<Arc<CellOrder>>,
    /// Changes asked for while it ran, in order: those with a tick are past facts, the others take effect at the next
    /// grid point.
    pub changes: Vec<NumberedChange>,
    /// Where to continue from; it already contains the changes up to `checkpoint_applied`.
    pub checkpoint: Option<Vec<u8>>,
    pub checkpoint_applied: u64,
    /// The horizon in force (a start may have raised the order's).
    pub horizon_tick: Option<u64>,
    /// How far the journal knows that it has come. A cell that starts before it is brought here as fast as possible, and
    /// takes changes without a tick no earlier.
    pub reached_tick: u64,
    /// The highest number of a process whose end the journal has.
    pub process_confirmed: u64,
    /// Scheduled calls that have ended, one way or another: none of them is run again.
    #[serde(default)]
    pub calls_done: u64,
    /// How its energy had fared when the journal last heard of it.
    #[serde(default)]
    pub atp: AtpWatch,
    /// Seconds between samples for telemetry and history; 0 where nobody monitors it.
    pub monitor_seconds: u64,
}

impl Desired {
    /// That this generation shall be given up.
    pub fn absent(key: VmKey, generation: Generation) -> Self {
        Self {
            key,
            generation,
            state: DesiredState::Absent,
            order: None,
            changes: Vec::new(),
            checkpoint: None,
            checkpoint_applied: 0,
            horizon_tick: None,
            reached_tick: 0,
            process_confirmed: 0,
            calls_done: 0,
            atp: AtpWatch::default(),
            monitor_seconds: 0,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DesiredState {
    Running,
    Paused,
    /// Checkpoint, report and forget.
    Stopped,
    /// Forget.
    Absent,
}

/// The answer to [`WorkerCommand::Query`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VmQueryReply {
    Vm(Box<LiveVm>),
    /// As many rows as fit a message, in the cell library's bytes, and how many there are in all.
    Trace {
        rows: u64,
        bytes: Vec<u8>,
    },
    /// Not held in that generation.
    Absent,
}

/// A VM as its worker has it now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LiveVm {
    pub state: ObservedState,
    pub tick: u64,
    pub lag_minutes: f64,
    pub uptime_seconds: f64,
    pub cpu_seconds: f64,
    pub memory_kb: u64,
    /// What is in effect in the cell, which a script may have set below what the VM holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective: Option<EffectiveAllocation>,
    /// The metrics of CONTRACT section 4, keys and values, made by the hypervisor.
    pub metrics: serde_json::Map<String, serde_json::Value>,
    /// The highest ordinal of a change that is in effect.
    #[serde(default)]
    pub applied: u64,
    /// Where it was asked for.
    pub checkpoint: Option<Vec<u8>>,
    /// Samples, oldest first, where they were asked for.
    pub history: Vec<Sample>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest: Option<GuestStatus>,
}

/// The object of bucket [`RESULTS_BUCKET`] that holds what a VM recorded in one generation.
pub fn results_object(key: &VmKey, generation: Generation) -> String {
    format!("{}/{}/{}-{}", key.user, key.vm, generation.incarnation, generation.index)
}

/// Where workers put recordings before they report that a VM has ended.
pub const RESULTS_BUCKET: &str = "BIOXEN_RESULTS";

/// One second of a worker, on its telemetry subject, in JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TelemetryFrame {
    pub worker: String,
    pub boot: String,
    pub time_ms: u64,
    pub vms: u64,
    pub running: u64,
    pub paused: u64,
    pub ribosomes_used: u64,
    pub ribosomes_usable: u64,
    /// Simulated minutes committed since the boot.
    pub simulated_minutes: f64,
    pub quanta: u64,
    pub quanta_discarded: u64,
    pub worst_lag_minutes: f64,
    pub cpu_seconds: f64,
}
