//! What runs VMs, behind one small trait: `basic` has the cells in this process.
//!
//! `cells` holds and commits them in either; `xcpng` has them computed in guests of a pool. A backend knows nothing of the bus, and decides neither what is admitted nor
//! which generation is the right one: `vms` does.

pub mod basic;
pub mod cells;
pub mod xcpng;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bioxen_hypervisor::trace::Trace;
use bioxen_protocol::command::VmType;
use bioxen_protocol::id::{Generation, VmKey};
use bioxen_protocol::reply::Sample;
use bioxen_protocol::worker::{Desired, LiveVm, Observation, ProcessOrder, QueryExtra};
use tokio::sync::Notify;

/// What a worker asks of the thing that runs its VMs. No call waits: effects are told by [`Backend::observe`].
pub trait Backend: Send + Sync + fmt::Debug {
    /// The kind of VM that it runs.
    fn vm_type(&self) -> VmType;

    /// Begins to hold a VM that it does not hold, from its order and past changes.
    fn place(&self, desired: Desired);

    /// Brings a VM that it holds to what is desired, and tells how it then stands, also where nothing changed.
    fn adjust(&self, desired: &Desired);

    /// Nothing that it holds commits before [`Backend::adjust`] confirms it.
    fn freeze(&self);

    /// Forgets a VM; what was being computed for it is dropped, and nothing more is told of it.
    fn forget(&self, key: &VmKey);

    /// As [`Backend::forget`], of a VM that nobody shall have any more: what it has outside this process, a guest and its
    /// disks, goes too. Called once for a placement, also where the VM has ended here; [`Backend::is_ending`] while it does.
    fn destroy(&self, key: &VmKey, _generation: Generation) {
        self.forget(key);
    }

    /// Whether something of a VM that was forgotten or destroyed in that generation is still being ended. When it is gone,
    /// [`Backend::observe`] tells once that the VM is absent in that generation; before, the leader is told nothing, for
    /// what the VM holds is given back with it. The VM may be placed anew meanwhile, in a higher generation.
    fn is_ending(&self, _key: &VmKey, _generation: Generation) -> bool {
        false
    }

    /// XCP-ng pools that it reaches, by name.
    fn pools(&self) -> Vec<String> {
        Vec::new()
    }

    /// The id of the key that opens the passwords of pools that VMs bring along; none where it takes no such pool.
    fn own_pools(&self) -> Option<String> {
        None
    }

    /// The fleet's id, told with every grant before [`Backend::lease`]; empty where the leader is of an older version.
    fn fleet(&self, _fleet: &str) {}

    /// Guests of this fleet that are on its pools and that it does not hold, each with the highest generation that claims
    /// it. It is asked every half minute, and first some seconds after a registration.
    fn guests(&self) -> Vec<(VmKey, Generation)> {
        Vec::new()
    }

    /// Of those, such as no VM of the fleet is served by. One may be destroyed where that generation is still the highest
    /// that claims it.
    fn unowned(&self, _vms: &[(VmKey, Generation)]) {}

    /// Nothing commits at or after `until` (on the clock that counts sleep) unless the lease is prolonged.
    fn lease(&self, until: Duration);

    /// The VMs whose observation changed since the last call. A VM that stopped, completed or failed is told of
    /// once and is no longer held.
    fn observe(&self) -> Vec<Observation>;

    /// Notified when [`Backend::observe`] or [`Backend::broken`] has something to tell.
    fn changed(&self) -> &Notify;

    /// A VM at its last committed grid point; none where it is not held.
    fn query(&self, key: &VmKey, with: QueryExtra) -> Option<LiveVm>;

    /// Runs process code in a VM that it holds in that generation, once however often it is told; the end is observed.
    fn execute(&self, key: &VmKey, generation: Generation, process: ProcessOrder);

    /// Samples of monitored VMs that are due now.
    fn take_samples(&self, time_ms: u64) -> Vec<(VmKey, Sample)>;

    /// A VM that is no longer held, as its last observation has it; none without a checkpoint.
    fn ended(&self, last: &Observation) -> Option<LiveVm>;

    /// What VMs recorded that have ended, each once; their ends are told after [`Backend::stored`].
    fn recordings(&self) -> Vec<Recording> {
        Vec::new()
    }

    /// A recording is safe.
    fn stored(&self, _key: &VmKey, _generation: Generation) {}

    /// Rows that a VM has recorded in this placement, from `row` on, as many as fit a message, and how many there are.
    fn rows(&self, _key: &VmKey, _row: usize) -> Option<(usize, Trace)> {
        None
    }

    /// Where the cells stand that may be packed; those that record may not, for what they recorded is not stored yet.
    fn standing(&self) -> Vec<Standing> {
        Vec::new()
    }

    /// A cell that it holds in that generation, as it stands now, and where.
    fn checkpoint(&self, _key: &VmKey, _generation: Generation) -> Option<(Standing, Vec<u8>)> {
        None
    }

    /// Counts for telemetry.
    fn figures(&self) -> Figures;

    /// Why the backend no longer runs; the process has to stop then.
    fn broken(&self) -> Option<String>;
}

/// Where a VM's cell stands, as last committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub key: VmKey,
    pub generation: Generation,
    pub tick: u64,
    /// The highest ordinal of a change that it contains.
    pub applied: u64,
}

/// What a VM recorded in one placement.
#[derive(Debug, Clone)]
pub struct Recording {
    pub key: VmKey,
    pub generation: Generation,
    pub trace: Arc<Trace>,
}

/// What a backend did since the start of the process, and how it stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    pub vms: u64,
    pub running: u64,
    pub paused: u64,
    /// Ordered and not made yet.
    pub starting: u64,
    /// Allocation units of all VMs held.
    pub ribosomes: u64,
    pub committed_ticks: u64,
    pub quanta: u64,
    pub quanta_discarded: u64,
    /// Grid points by which the latest VM lags behind its pace.
    pub worst_lag_ticks: u64,
    /// CPU time of the simulation threads.
    pub cpu: Duration,
    /// For how long the longest quantum in work has been computed.
    pub longest_in_work: Duration,
    /// By how much the thread that took work last was late for it.
    pub scheduler_lag: Duration,
}
