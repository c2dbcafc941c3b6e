//! The projector's own fold of the journal: entry by entry, with the VMs that each entry changes, before and after.
//! Nothing here publishes.

use bioxen_protocol::id::{Generation, VmKey, WorkerId};
use bioxen_protocol::package::PackageId;
use bioxen_protocol::state::VmState;
use bioxen_protocol::worker::{CellAllocation, NumberedChange};

use crate::fleet::Fleet;
use crate::fleet::checkpoint::Recovery;
use crate::fleet::ensemble::{Counts, Ensemble, name_in};
use crate::fleet::entry::Entry;
use crate::fleet::movement::Moving;
use crate::fleet::vm::{COMPLETED, Vm};

/// What events and audit records tell of a VM.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Glance {
    pub(super) state: VmState,
    pub(super) reason: Option<String>,
    pub(super) generation: Option<Generation>,
    /// The highest ordinal that its worker has confirmed, while it is placed.
    pub(super) applied: u64,
    pub(super) changes: Vec<NumberedChange>,
    pub(super) tick: u64,
    pub(super) recovery: Option<Recovery>,
    pub(super) worker: Option<WorkerId>,
    pub(super) moving: Option<Moving>,
    pub(super) alerts: u64,
}

impl Glance {
    fn of(vm: &Vm) -> Self {
        Self {
            state: vm.state,
            reason: vm.reason.clone(),
            generation: vm.placement.as_ref().map(|at| at.generation),
            applied: vm.placement.as_ref().map_or(0, |at| at.applied),
            changes: vm.changes.clone(),
            tick: vm.tick,
            recovery: vm.recovery,
            worker: vm.placement.as_ref().map(|at| at.worker.clone()),
            moving: vm.moving.clone(),
            alerts: vm.atp.crossings,
        }
    }

    pub(super) fn is_completed(&self) -> bool {
        self.state == VmState::Stopped && self.reason.as_deref() == Some(COMPLETED)
    }
}

/// A VM before and after an entry.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Change {
    pub(super) key: VmKey,
    pub(super) before: Option<Glance>,
    pub(super) after: Option<Glance>,
}

impl Change {
    /// The state that the entry brought about, where it brought one.
    pub(super) fn new_state(&self) -> Option<VmState> {
        let state = |glance: &Option<Glance>| glance.as_ref().map(|glance| glance.state);
        state(&self.after).filter(|after| state(&self.before) != Some(*after))
    }

    /// The placement that the entry is about: where it ended with the entry, the one that ended.
    pub(super) fn generation(&self) -> Option<Generation> {
        let of = |glance: &Option<Glance>| glance.as_ref().and_then(|glance| glance.generation);
        of(&self.after).or_else(|| of(&self.before))
    }
}

/// One entry, where it stands, and what it changed.
#[derive(Debug)]
pub(super) struct Step<'a> {
    pub(super) incarnation: u64,
    pub(super) index: u64,
    pub(super) time_ms: u64,
    pub(super) entry: &'a Entry,
    /// In the order of user and VM; of one VM but for `Expired` and `BackupRestored`.
    pub(super) changes: Vec<Change>,
    /// The ensemble whose last member ended with the entry.
    pub(super) completed: Option<Completed>,
}

/// An ensemble of which every member has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Completed {
    pub(super) key: VmKey,
    pub(super) counts: Counts,
}

/// A change of a VM that its worker says is in effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Confirmed {
    pub(super) ordinal: u64,
    pub(super) allocation: CellAllocation,
    /// The package that it put in; the allocation then stays.
    pub(super) package: Option<PackageId>,
    /// The grid point, where the worker named it.
    pub(super) tick: Option<u64>,
}

impl Step<'_> {
    /// The changes that the entry confirms as in effect for the first time, in order.
    pub(super) fn confirmed(&self) -> Vec<Confirmed> {
        let (Entry::Observed(seen), [Change { before: Some(before), .. }]) = (self.entry, &self.changes[..])
        else {
            return Vec::new();
        };
        if before.generation != Some(seen.generation) {
            return Vec::new();
        }
        let tick_of = |ordinal| seen.applied_at.iter().find(|(at, _)| *at == ordinal).map(|(_, tick)| *tick);
        // A change with a tick was confirmed in a placement before this one, and is only carried out again.
        let is_new = |change: &&NumberedChange| {
            change.tick.is_none() && change.ordinal > before.applied && change.ordinal <= seen.applied
        };
        let confirmed = before.changes.iter().filter(is_new).map(|change| Confirmed {
            ordinal: change.ordinal,
            allocation: change.allocation,
            package: change.package.as_ref().map(|package| package.package.clone()),
            tick: tick_of(change.ordinal),
        });
        confirmed.collect()
    }
}

/// Applies the next entry to the fleet.
pub(super) fn step<'a>(fleet: &mut Fleet, time_ms: u64, entry: &'a Entry) -> Step<'a> {
    let keys: Vec<VmKey> = match entry {
        Entry::Expired { worker, boot } => fleet.placed_on(worker, boot).map(|vm| vm.key.clone()).collect(),
        Entry::BackupRestored { .. } => {
            fleet.vms().filter(|vm| vm.placement.is_some()).map(|vm| vm.key.clone()).collect()
        }
        Entry::Rejected(rejected) => {
            let key = |vm: &_| VmKey { user: rejected.user.clone(), vm: Clone::clone(vm) };
            rejected.vm.iter().map(key).collect()
        }
        _ => entry.key().cloned().into_iter().collect(),
    };
    let glance = |fleet: &Fleet, key: &VmKey| fleet.vm(key).map(Glance::of);
    let before: Vec<Option<Glance>> = keys.iter().map(|key| glance(fleet, key)).collect();
    let index = fleet.next_index;
    let ensemble = ensemble_key(fleet, entry).filter(|key| !is_completed(fleet, key));
    fleet.evolve(time_ms, entry);
    // Rows and levels are others' business.
    drop(fleet.take_touched());
    let changes = keys
        .into_iter()
        .zip(before)
        .map(|(key, before)| Change { after: glance(fleet, &key), key, before })
        .collect();
    let completed = ensemble.filter(|key| is_completed(fleet, key));
    let counts = |key: VmKey| {
        let counts = fleet.ensemble(&key).map(Ensemble::counts).unwrap_or_default();
        Completed { key, counts }
    };
    let completed = completed.map(counts);
    Step { incarnation: fleet.incarnation, index, time_ms: fleet.time_ms, entry, changes, completed }
}

/// The ensemble that an entry may complete.
fn ensemble_key(fleet: &Fleet, entry: &Entry) -> Option<VmKey> {
    match entry {
        Entry::MemberRefused { key, .. } => Some(key.clone()),
        Entry::Observed(_) | Entry::Desired { .. } => {
            let key = entry.key()?;
            fleet.vm(key)?.member?;
            Some(VmKey { user: key.user.clone(), vm: name_in(&key.vm)? })
        }
        _ => None,
    }
}

fn is_completed(fleet: &Fleet, key: &VmKey) -> bool {
    fleet.ensemble(key).is_some_and(Ensemble::is_completed)
}
