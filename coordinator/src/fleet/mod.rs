//! The fleet core: what may happen, and what follows from what happened. Pure: no clock, no randomness, no I/O, no async.
//!
//! ```text
//!   Command --decide--> Ok(entries, answer) --journal--> acknowledged
//!                  \--> Err(Rejection)                       |
//!   Entry   --evolve--> the fleet after it, and what it touched: rows for the ledger, levels for the workers
//! ```
//!
//! `decide` reads, `evolve` writes. Recovery, followers and verification use `evolve` alone, so a later version may
//! decide differently without rewriting history. Nothing here may depend on anything but the entries.

pub mod account;
pub mod alerts;
pub mod amounts;
mod balance;
pub mod checkpoint;
pub mod command;
mod decide;
pub mod ensemble;
pub mod entry;
mod evolve;
pub mod format;
mod guests;
pub mod home;
pub mod idempotency;
mod incarnation;
mod levels;
mod limits;
pub mod movement;
mod observe;
pub mod package;
mod placement;
mod process;
mod queue;
pub mod rejection;
mod remember;
mod replacement;
pub mod rows;
pub mod vm;
pub mod worker;

use std::collections::{BTreeMap, BTreeSet};

use bioxen_mutants::{Mutant, is_on};
use bioxen_protocol::config::ResourceConfig;
use bioxen_protocol::id::{BootId, Generation, RequestId, UserId, VmKey, WorkerId};
use bioxen_protocol::worker::ObservedState;

pub(crate) use decide::within_most;
pub use process::{code_digest, lost as lost_process};

use account::Account;
use alerts::Measure;
use amounts::Amounts;
use entry::Entry;
use format::Format;
use vm::Vm;
use worker::Worker;

/// Everything that the journal says, folded.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fleet {
    pub incarnation: u64,
    pub epoch: u64,
    /// The coordinator that leads in this epoch; none before the first, and where the last has resigned.
    pub leader: Option<String>,
    /// What may be written into the journal.
    pub format: Format,
    /// The index that the next entry gets; the first is 1.
    pub next_index: u64,
    /// Time of the last entry, in milliseconds since 1970; never goes back.
    pub time_ms: u64,
    /// The last message of the submit stream that was decided on.
    pub submit_sequence: u64,
    pub config: ResourceConfig,
    pub accounts: BTreeMap<UserId, Account>,
    pub workers: BTreeMap<WorkerId, Worker>,
    /// What all VMs hold (I3).
    pub held: Amounts,
    /// Users with waiting VMs.
    waiting_users: BTreeSet<UserId>,
    queued_by_priority: BTreeMap<u8, u64>,
    /// Something was given back or arrived since the queue was last found blocked.
    room_may_have_appeared: bool,
    /// Ensembles that were stopped or destroyed by name and whose members may not all have been told.
    ensembles_ending: BTreeSet<VmKey>,
    /// A boot expired, and VMs that it was to stop or give up may not have been ended yet.
    ends_may_be_due: bool,
    /// Of what all holdings are above the threshold, and have not recovered since.
    pub alerted: BTreeSet<Measure>,
    /// VMs in which process code runs, by when its outcome is given up.
    processes: BTreeSet<(u64, VmKey)>,
    /// VMs whose last placement ended without a checkpoint.
    lost: BTreeSet<VmKey>,
    /// VMs that wait to be placed again.
    displaced: BTreeSet<VmKey>,
    /// VMs that shall go to another worker.
    moving: BTreeSet<VmKey>,
    /// As `room_may_have_appeared`, for VMs whose placement is over.
    places_may_be_due: bool,
    /// The same, for VMs of lost workers.
    unknown_may_have_room: bool,
    /// A worker has joined, and VMs may still be spread better.
    balance_may_be_due: bool,
    touched: Touched,
}

/// What entries changed since it was last taken.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Touched {
    pub vms: BTreeSet<VmKey>,
    pub accounts: BTreeSet<UserId>,
    pub workers: BTreeSet<WorkerId>,
    pub requests: BTreeSet<(UserId, RequestId)>,
    /// Ensembles, also such as are gone.
    pub ensembles: BTreeSet<VmKey>,
    /// Members of ensembles, by the ensemble and their number; also such as are gone.
    pub members: BTreeSet<(VmKey, u64)>,
    pub gone_vms: BTreeSet<VmKey>,
    /// VMs of which their workers must be told anew.
    pub levels: BTreeSet<VmKey>,
    /// What workers still hold and shall give up.
    pub forget: Vec<Forget>,
}

/// A generation that its worker shall give up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forget {
    pub worker: WorkerId,
    pub boot: BootId,
    pub key: VmKey,
    pub generation: Generation,
}

impl Fleet {
    /// The fleet before its first entry.
    pub fn new(incarnation: u64) -> Self {
        Self { incarnation, next_index: 1, ..Self::default() }
    }

    pub fn vm(&self, key: &VmKey) -> Option<&Vm> {
        self.accounts.get(&key.user)?.vms.get(&key.vm)
    }

    pub fn vms(&self) -> impl Iterator<Item = &Vm> {
        self.accounts.values().flat_map(|account| account.vms.values())
    }

    pub fn take_touched(&mut self) -> Touched {
        std::mem::take(&mut self.touched)
    }

    /// The time of the next entry: the wall clock, but never earlier than the entry before.
    pub fn time_of_next(&self, wall_ms: u64) -> u64 {
        if is_on(Mutant::TimeGoesBack) { wall_ms } else { wall_ms.max(self.time_ms) }
    }

    /// Called when [`Self::next_from_queue`] found nothing, so that it is not searched again for nothing.
    pub fn queue_is_blocked(&mut self) {
        self.room_may_have_appeared = self.holds_back_the_queue();
    }

    pub fn queued(&self) -> u64 {
        self.queued_by_priority.values().sum()
    }

    /// What a new leader journals first: that it leads, and the limits where they are others than before.
    pub fn first_of_leader(&self, coordinator: &str, config: &ResourceConfig) -> Vec<Entry> {
        let leader = Entry::Leader { epoch: self.epoch + 1, coordinator: coordinator.to_owned() };
        let is_new = self.next_index == 1 || self.config != *config;
        let configured = is_new.then(|| Entry::Configured { config: config.clone() });
        std::iter::once(leader).chain(configured).collect()
    }

    /// The VMs placed on one boot.
    pub fn placed_on(&self, worker: &WorkerId, boot: &BootId) -> impl Iterator<Item = &Vm> {
        self.vms().filter(move |vm| {
            vm.placement.as_ref().is_some_and(|at| at.worker == *worker && at.boot == *boot)
        })
    }

    /// The index of the entry that registered this boot last; 0 where it is not registered.
    pub fn registration(&self, worker: &WorkerId, boot: &BootId) -> u64 {
        let known = self.workers.get(worker).filter(|known| known.boot == *boot);
        known.map_or(0, |known| known.registration)
    }

    /// Whether a worker's generation is the one that the fleet knows for the VM.
    pub fn is_current(&self, worker: &WorkerId, boot: &BootId, key: &VmKey, generation: Generation) -> bool {
        let placement = self.vm(key).and_then(|vm| vm.placement.as_ref());
        placement.is_some_and(|at| {
            let same = at.generation == generation || is_on(Mutant::ReleaseTwice);
            same && at.worker == *worker && at.boot == *boot && !at.over
        })
    }

    /// The digest that a worker's heartbeat shows when it holds what the journal says.
    pub fn inventory_of(&self, worker: &WorkerId, boot: &BootId) -> u64 {
        let held = self.placed_on(worker, boot).filter_map(|vm| {
            let at = vm.placement.as_ref()?;
            let is_there = at.observed != ObservedState::Absent;
            is_there.then_some((&vm.key, at.generation, at.observed, at.applied, vm.atp))
        });
        bioxen_protocol::worker::inventory_digest(held)
    }
}

#[cfg(test)]
mod tests;
