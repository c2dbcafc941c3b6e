//! VMs that are placed again: those of a lost worker, and those that have left theirs to go elsewhere.
//!
//! ```text
//!   running --Expired--> unknown --what was packed is searched, where there is room--> Recovered, Placed: starting
//!   leaving --Observed: stopped--> over ----------------------------------------------> Placed: as it was
//! ```
//!
//! A placement that is over commits nothing more, and what its cell came to stands in the journal. Until the VM is placed
//! again it holds what it held, also at the worker that it left: so there is always a way back. A VM of a lost worker
//! stays with it until there is room elsewhere, for the worker may come back with the cell.

use std::ops::Bound::{Excluded, Unbounded};

use bioxen_protocol::id::{BootId, Generation, VmKey, WorkerId};
use bioxen_protocol::state::VmState;

use super::Fleet;
use super::checkpoint::{Lost, Taken};
use super::entry::Entry;
use super::placement::no_room;
use super::vm::Vm;

impl Vm {
    /// Whether it waits to be placed again, or to be looked for first.
    pub(super) fn is_displaced(&self) -> bool {
        self.state == VmState::Unknown || self.placement.as_ref().is_some_and(|at| at.over)
    }

    /// Whether nothing is left to be waited for: what its last placement came to is known. After a restored backup none
    /// is left of an unknown VM.
    fn may_be_placed(&self) -> bool {
        match &self.placement {
            Some(at) => at.over,
            None => self.state == VmState::Unknown && self.lost.is_none(),
        }
    }

    /// The placement whose newest packed checkpoint is to be looked for.
    fn is_unknown_in(&self, generation: Generation) -> bool {
        let at = self.placement.as_ref();
        self.state == VmState::Unknown && at.is_some_and(|at| !at.over && at.generation == generation)
    }
}

impl Fleet {
    /// VMs of which the newest packed checkpoint is to be looked for: those that were lost, and those of lost workers
    /// that could go on elsewhere, from the one behind `after` on and around; at most `most`.
    pub fn searched(&mut self, most: usize, after: Option<&VmKey>) -> Vec<(VmKey, Lost)> {
        let lost: Vec<_> = self.lost().take(most).map(|(key, lost)| (key.clone(), lost.clone())).collect();
        if !self.unknown_may_have_room {
            return lost;
        }
        let unknown =
            self.unknown_with_room(after).filter_map(|vm| Some((vm.key.clone(), vm.loss(self.time_ms)?)));
        let unknown: Vec<_> = unknown.take(most.saturating_sub(lost.len())).collect();
        self.unknown_may_have_room = !unknown.is_empty();
        lost.into_iter().chain(unknown).collect()
    }

    /// Whether [`Self::searched`] may have something.
    pub fn may_be_searched(&self) -> bool {
        self.has_lost() || self.unknown_may_have_room
    }

    /// VMs of lost workers go first where there is room for them.
    pub(super) fn holds_back_the_queue(&self) -> bool {
        self.unknown_may_have_room && self.sure_of_a_place().is_some()
    }

    /// A VM of a lost worker that can go on elsewhere whatever is found of it: what it may need at most to repeat its past
    /// fits. (With a newer checkpoint it needs less, often no more than it holds.)
    pub fn sure_of_a_place(&self) -> Option<&VmKey> {
        let fits = |vm: &&Vm| {
            let most = vm.holdings_to_start();
            let more = vm.held.lacks(most);
            self.check_limits(&vm.key.user, more).is_ok() && self.place(&vm.order, most.ribosomes).is_ok()
        };
        self.unknown_with_room(None).find(fits).map(|vm| &vm.key)
    }

    fn unknown_with_room(&self, after: Option<&VmKey>) -> impl Iterator<Item = &Vm> {
        let behind = self.displaced.range((after.map_or(Unbounded, Excluded), Unbounded));
        let before = after.into_iter().flat_map(|after| self.displaced.range(..=after));
        let displaced = behind.chain(before).filter_map(|key| self.vm(key));
        let unknown = displaced.filter(|vm| {
            let at = vm.placement.as_ref();
            at.is_some_and(|at| vm.is_unknown_in(at.generation) && !self.stands(&at.worker, &at.boot))
        });
        unknown.filter(|vm| self.place(&vm.order, vm.held.ribosomes).is_ok())
    }

    fn stands(&self, worker: &WorkerId, boot: &BootId) -> bool {
        self.workers.get(worker).is_some_and(|known| known.boot == *boot && known.live)
    }

    /// The entries for what was found of a VM: where a lost worker had it, with its placing elsewhere, and none where
    /// there is no room (any more) or the VM has gone other ways since.
    pub fn found(
        &self,
        key: &VmKey,
        generation: Generation,
        taken: Option<Taken>,
        lost_ticks: Option<u64>,
    ) -> Option<Vec<Entry>> {
        if let Some(entry) = self.recovery_of(key, generation, taken.clone(), lost_ticks) {
            return Some(vec![entry]);
        }
        let vm = self.vm(key).filter(|vm| vm.is_unknown_in(generation))?;
        let at = vm.placement.as_ref().filter(|at| !self.stands(&at.worker, &at.boot))?;
        let found = vm.recovery(at.generation, taken, lost_ticks);
        let mut after = vm.clone();
        after.recover(&found);
        let placed = self.again(&after)?;
        Some(std::iter::once(Entry::Recovered(Box::new(found))).chain(placed).collect())
    }

    /// The entries that place the next VM whose placement is over, where there is room for one.
    pub fn next_replacement(&self) -> Option<Vec<Entry>> {
        if !self.places_may_be_due {
            return None;
        }
        let displaced = self.displaced.iter().filter_map(|key| self.vm(key));
        displaced.filter(|vm| vm.may_be_placed() && vm.goes_on()).find_map(|vm| self.again(vm))
    }

    /// Called when [`Self::next_replacement`] and [`Self::next_moves`] found nothing, so that they are not searched again
    /// for nothing.
    pub fn places_are_blocked(&mut self) {
        self.places_may_be_due = false;
        self.balance_may_be_due = self.still_balances();
    }

    /// The placing of a VM whose placement is over. Process code that was started there is never run elsewhere.
    fn again(&self, vm: &Vm) -> Option<Vec<Entry>> {
        let held = vm.holdings_to_start();
        self.check_limits(&vm.key.user, vm.held.lacks(held)).ok()?;
        let (worker, boot) = self.place_again(vm, held.ribosomes)?;
        let process = vm.running_process().filter(|process| process.generation.is_some());
        let lost = process.map(|process| Entry::ProcessLost { key: vm.key.clone(), number: process.number });
        let placed = Entry::Placed { key: vm.key.clone(), worker, boot, held };
        Some(lost.into_iter().chain([placed]).collect())
    }

    /// Where it was asked to go, else wherever there is room, else where it came from: there its room was kept.
    fn place_again(&self, vm: &Vm, ribosomes: u64) -> Option<(WorkerId, BootId)> {
        let Some(at) = &vm.placement else { return self.place(&vm.order, ribosomes).ok() };
        let came_from = (at.worker.clone(), at.boot.clone());
        let keeps_room = self.stands(&at.worker, &at.boot) && ribosomes <= vm.held.ribosomes;
        let back = Some(came_from.clone()).filter(|_| keeps_room);
        let asked = vm.moving.as_ref().and_then(|moving| moving.to.as_ref());
        if let Some((id, worker)) = asked.and_then(|id| Some((id, self.workers.get(id)?))) {
            if *id == at.worker && back.is_some() {
                return back;
            }
            if no_room(worker, &vm.order, ribosomes).is_none() {
                return Some((id.clone(), worker.boot.clone()));
            }
        }
        self.place_but(&vm.order, ribosomes, Some((&came_from.0, &came_from.1))).ok().or(back)
    }

    /// Room, on a worker or in a limit: whoever waits for it is looked at again.
    pub(super) fn room_appeared(&mut self) {
        self.room_may_have_appeared = true;
        self.places_may_be_due = true;
        self.unknown_may_have_room = true;
    }
}
