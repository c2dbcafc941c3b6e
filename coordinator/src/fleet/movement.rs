//! VMs on their way from one worker to another, and workers that take no more.
//!
//! ```text
//!   running --Moving--> leaving: its worker is told to stop it --Observed: stopped--> over --Placed--> running, elsewhere
//! ```
//!
//! What users see stays as it was throughout, and what they ask for meanwhile is accepted: it takes effect where the VM
//! then is. Whatever was asked of a worker is never taken back; where the VM cannot go, it is placed where it came from.
//! Placing again is [`super::replacement`]'s business.

use bioxen_protocol::id::{BootId, OperatorId, VmKey, WorkerId};
use bioxen_protocol::state::VmState;
use bioxen_protocol::worker::ObservedState;
use serde::{Deserialize, Serialize};

use super::Fleet;
use super::entry::Entry;
use super::placement::no_room;
use super::rejection::Rejection;
use super::vm::Vm;
use super::worker::Worker;

/// VMs that leave one worker at once: each stands still for as long as its checkpoint travels.
const LEAVING_AT_ONCE: usize = 4;

/// That a VM shall go to another worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moving {
    /// Wherever there is room, where none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<WorkerId>,
    pub by: MovedBy,
}

/// Why a VM moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MovedBy {
    Operator(OperatorId),
    /// Its worker is drained, or about to end.
    Drain,
    /// A worker has joined.
    Balance,
}

/// Whether placement may choose a worker. An operator's word: it outlives the worker's process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cordon {
    #[default]
    Open,
    /// Takes no more VMs.
    Cordoned,
    /// Takes no more, and those that it has move away.
    Draining,
}

impl Vm {
    /// Whether its worker is told to give it up with its checkpoint. Not before the worker has said that it has it, and
    /// not while process code runs there.
    pub fn is_leaving(&self) -> bool {
        self.placement.as_ref().is_some_and(|at| {
            let stands = matches!(at.observed, ObservedState::Running | ObservedState::Paused);
            let process = self.running_process();
            let runs = process.is_some_and(|process| process.generation == Some(at.generation));
            self.moving.is_some() && !at.over && stands && !runs
        })
    }

    /// Whether it is between two workers: neither gives figures of it.
    pub fn is_on_its_way(&self) -> bool {
        let stands = matches!(self.state, VmState::Running | VmState::Paused);
        let absent = self.placement.as_ref().is_some_and(|at| at.observed == ObservedState::Absent);
        self.is_leaving() || (stands && absent)
    }

    /// Whether it runs, or would if its worker were there.
    pub(super) fn goes_on(&self) -> bool {
        matches!(self.state, VmState::Starting | VmState::Running | VmState::Paused | VmState::Unknown)
    }

    /// Whether its worker says with `seen` that it has given the VM up to another.
    pub(super) fn hands_over(&self, seen: ObservedState) -> bool {
        self.moving.is_some() && self.goes_on() && seen == ObservedState::Stopped
    }
}

impl Fleet {
    pub(super) fn decide_move(
        &self,
        operator: &OperatorId,
        key: &VmKey,
        to: Option<&WorkerId>,
    ) -> Result<Vec<Entry>, Rejection> {
        let Some(vm) = self.vm(key) else { return Err(Rejection::NotFound { vm: key.vm.clone() }) };
        let Some(at) = vm.placement.as_ref().filter(|_| vm.goes_on() && vm.state != VmState::Unknown) else {
            return Err(Rejection::NotMovable { vm: key.vm.clone(), state: vm.state });
        };
        if to == Some(&at.worker) && vm.moving.is_none() {
            return Ok(Vec::new());
        }
        let ribosomes = vm.held.ribosomes;
        match to {
            None => drop(self.place_but(&vm.order, ribosomes, Some((&at.worker, &at.boot)))?),
            Some(id) => {
                let worker = self.known_worker(id)?;
                if *id != at.worker
                    && let Some(reason) = no_room(worker, &vm.order, ribosomes)
                {
                    return Err(Rejection::NoWorker { reasons: vec![(id.clone(), reason)] });
                }
            }
        }
        let (to, by) = (to.cloned(), MovedBy::Operator(operator.clone()));
        Ok(vec![Entry::Moving { key: key.clone(), to, by }])
    }

    pub(super) fn decide_cordon(
        &self,
        operator: &OperatorId,
        worker: &WorkerId,
        cordon: Cordon,
    ) -> Result<Vec<Entry>, Rejection> {
        if self.known_worker(worker)?.cordon == cordon {
            return Ok(Vec::new());
        }
        let (operator, worker) = (operator.clone(), worker.clone());
        Ok(vec![Entry::Cordoned { operator, worker, cordon }])
    }

    /// A boot says that it is about to end.
    pub(super) fn decide_leaving(&self, worker: &WorkerId, boot: &BootId) -> Vec<Entry> {
        let known = self.workers.get(worker).filter(|known| known.boot == *boot);
        let is_news = known.is_some_and(|known| known.live && !known.leaving);
        let entry = || Entry::Leaving { worker: worker.clone(), boot: boot.clone() };
        is_news.then(entry).into_iter().collect()
    }

    fn known_worker(&self, id: &WorkerId) -> Result<&Worker, Rejection> {
        let unknown =
            || Rejection::UnknownWorker { worker: id.clone(), known: self.workers.keys().cloned().collect() };
        self.workers.get(id).ok_or_else(unknown)
    }

    /// The moves that are due now: off workers that are drained or about to end, then towards room that has appeared.
    pub fn next_moves(&self) -> Vec<Entry> {
        let emptied = self.workers.iter().filter(|(_, worker)| worker.live && worker.is_emptied());
        emptied.flat_map(|(id, worker)| self.moves_off(id, worker)).chain(self.next_balancing()).collect()
    }

    fn moves_off(&self, id: &WorkerId, worker: &Worker) -> Vec<Entry> {
        let under_way = self.leaving_from(id, &worker.boot);
        let here = self.placed_on(id, &worker.boot);
        let movable = here.filter(|vm| self.may_move_off(vm) && self.has_room_elsewhere(vm));
        let most = LEAVING_AT_ONCE.saturating_sub(under_way);
        let by = MovedBy::Drain;
        movable.take(most).map(|vm| Entry::Moving { key: vm.key.clone(), to: None, by: by.clone() }).collect()
    }

    /// VMs that are on their way from a boot.
    pub fn leaving_from(&self, worker: &WorkerId, boot: &BootId) -> usize {
        let moving = self.moving.iter().filter_map(|key| self.vm(key)?.placement.as_ref());
        moving.filter(|at| at.worker == *worker && at.boot == *boot).count()
    }

    /// Whether asking its worker for it now would not have to wait.
    pub(super) fn may_move_off(&self, vm: &Vm) -> bool {
        let stands = vm.placement.as_ref().is_some_and(|at| {
            matches!(at.observed, ObservedState::Running | ObservedState::Paused) && !at.over
        });
        stands && vm.moving.is_none() && vm.goes_on() && vm.running_process().is_none()
    }

    fn has_room_elsewhere(&self, vm: &Vm) -> bool {
        let here = vm.placement.as_ref().map(|at| (&at.worker, &at.boot));
        self.place_but(&vm.order, vm.held.ribosomes, here).is_ok()
    }

    /// Whether a boot that is about to end keeps nobody waiting: what it still has can go nowhere.
    pub fn may_go(&self, worker: &WorkerId, boot: &BootId) -> bool {
        self.placed_on(worker, boot).all(|vm| match vm.state {
            VmState::Stopping | VmState::Destroying => false,
            _ => vm.moving.is_none() && !self.has_room_elsewhere(vm),
        })
    }

    pub(super) fn moving(&mut self, index: u64, key: &VmKey, moving: Moving) {
        self.edit(index, key, |vm| {
            if vm.goes_on() && vm.placement.is_some() {
                vm.moving = Some(moving);
            }
        });
    }

    pub(super) fn cordoned(&mut self, index: u64, id: &WorkerId, cordon: Cordon) {
        let Some(worker) = self.workers.get_mut(id) else { return };
        (worker.cordon, worker.index) = (cordon, index);
        self.touched.workers.insert(id.clone());
        self.balance_may_be_due |= cordon == Cordon::Open;
        self.room_appeared();
    }

    pub(super) fn leaves(&mut self, index: u64, id: &WorkerId, boot: &BootId) {
        let Some(worker) = self.workers.get_mut(id).filter(|known| known.boot == *boot) else { return };
        (worker.leaving, worker.index) = (true, index);
        self.touched.workers.insert(id.clone());
    }
}
