//! Why the core refuses: a reason with its figures, never a text. The edge turns it into the error that clients see.

use bioxen_protocol::command::Verb;
use bioxen_protocol::id::{RequestId, VmId, WorkerId};
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
    /// BX006: process code runs in it already.
    Busy { vm: VmId, state: VmState },
    /// BX006: a completed VM was started without a later horizon.
    HorizonReached { vm: VmId, tick: u64, horizon_tick: Option<u64> },
    /// BX005: its schedule changes the allocation; `allocate` would contradict it.
    Scheduled { vm: VmId },
    /// BX002
    AboveMost { resource: Resource, requested: u64, most: u64 },
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    Vms,
    Queued,
    Ensembles,
    /// In thousandths of a percent.
    Atp,
    Ribosomes,
    MemoryKb,
}

/// Why a worker was not chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRoom {
    /// Lease and grace are over.
    Expired,
    VmType,
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
