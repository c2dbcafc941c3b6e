//! Why the core refuses: a reason with its figures, never a text. The edge turns it into the error that clients see.

use bioxen_protocol::command::{CheckpointId, Verb};
use bioxen_protocol::id::{RequestId, VmId, WorkerId};
use bioxen_protocol::package::PackageId;
use bioxen_protocol::pool::XcpngPool;
use bioxen_protocol::state::VmState;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// BX015: the request id stands for another body.
    RequestConflict { request: RequestId },
    /// BX015
    VmExists { vm: VmId, state: VmState },
    /// BX015: the name is kept for a member of an ensemble.
    MemberName { vm: VmId, ensemble: VmId },
    /// BX006: the name is an ensemble's, and the verb is for VMs.
    IsEnsemble { name: VmId, verb: Verb },
    /// BX010
    NotFound { vm: VmId },
    /// BX006
    State { vm: VmId, state: VmState, verb: Verb },
    /// BX006: it is on no worker that could give it up.
    NotMovable { vm: VmId, state: VmState },
    /// BX008
    UnknownWorker { worker: WorkerId, known: Vec<WorkerId> },
    /// BX006: process code runs in it already.
    Busy { vm: VmId, state: VmState },
    /// No checkpoint can be taken, or gone back to.
    Checkpoint { vm: VmId, why: NoCheckpoint },
    /// BX006: a completed VM was started without a later horizon.
    HorizonReached { vm: VmId, tick: u64, horizon_tick: Option<u64> },
    /// BX005: an entry that a coordinator of an older version could not read.
    OlderCoordinator,
    /// BX005: its schedule changes the allocation; `allocate` would contradict it.
    Scheduled { vm: VmId },
    /// BX002
    AboveMost { resource: Resource, requested: u64, most: u64 },
    /// BX015, BX017, BX019
    Package(PackageRefusal),
    /// BX002: more than any registered worker offers.
    AboveAnyWorker { requested: u64, most: u64 },
    /// BX004
    FleetSlots { limit: u64, used: u64 },
    /// BX011
    User { resource: Resource, limit: u64, used: u64, requested: u64 },
    /// BX009
    Fleet { resource: Resource, limit: u64, used: u64, requested: u64 },
    /// BX013
    NoWorker { reasons: Vec<(WorkerId, NoRoom)> },
}

/// Why there is no checkpoint to take or to go back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoCheckpoint {
    /// BX006: the VM records, and what it recorded is stored when it stops.
    Records,
    /// BX014: its worker did not give the cell in time, or another has it now.
    Moved,
    /// BX014: what its lost worker had packed of it is still being looked for.
    Searching,
    /// BX006: its cell is still made from its order.
    AtStart,
    /// BX008: the VM keeps none of this name (any more).
    Unknown { checkpoint: CheckpointId, kept: Vec<CheckpointId> },
}

/// Why a package is not put into a VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PackageRefusal {
    /// BX015: it has the package in another version, or with other bytes.
    There { vm: VmId, asked: PackageId, known: PackageId },
    /// BX017: the edge could not read it, and says why.
    Unread { package: PackageId },
    /// BX017: another VM has that version with other bytes.
    Changed { package: PackageId, pinned: String, found: String },
    /// BX019
    Chassis { package: PackageId, chassis: String, fits: Vec<String> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    Vms,
    Queued,
    Ensembles,
    /// In thousandths of a percent.
    Atp,
    Ribosomes,
    MemoryKb,
    Packages,
    /// In millionths of the model's transcription a minute.
    PackageLoad,
}

/// Why a worker was not chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoRoom {
    /// Lease and grace are over.
    Expired,
    /// An operator has it take no more.
    Cordoned,
    /// It is about to end.
    Leaves,
    /// The VM is there, and shall go elsewhere.
    ComesFrom,
    VmType,
    /// Its file does not have the XCP-ng pool that the VM names, or the key that opens the password of the VM's own.
    Pool {
        pool: XcpngPool,
    },
    /// It lacks the imported chassis' pack, or has another one of that name.
    Pack,
    Vms {
        used: u64,
        max: u64,
    },
    Ribosomes {
        used: u64,
        usable: u64,
        requested: u64,
    },
}
