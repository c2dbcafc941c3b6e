//! Desired against held: what the leader wants of each VM, brought to the backend level by level.
//!
//! ```text
//!   Desired --generation lower than seen--> refused: told Absent
//!           --new-------------------------> placed
//!           --held, live------------------> adjusted (state, changes, horizon)
//!           --held, ended-----------------> its last observation once more
//!           --Absent----------------------> forgotten, told absent
//!                   \--the backend still ends what it has outside--> ending --gone--> told absent, once
//! ```
//!
//! A VM that stopped, completed or failed stays here as its last observation, checkpoint included, until the leader
//! desires it Absent or places it anew: a lost report costs a delay, not a checkpoint. Repeats change nothing. One that
//! is ending stays in the inventory as it was last told of, for so the leader has it: what it holds is given back when
//! it is told absent. The agent owns this; it knows no bus and no clock.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bioxen_mutants::{Mutant, is_on};
use bioxen_protocol::id::{Generation, VmKey};
use bioxen_protocol::worker::{
    Desired, DesiredState, LiveVm, Observation, ObservedState, QueryExtra, VmQueryReply, inventory_digest,
};

use crate::backend::Backend;

/// VMs that were forgotten and whose generation is still remembered, so that a stale order cannot bring one back.
/// Orders are stale for seconds; the oldest are dropped first.
const REMEMBERED_GENERATIONS: usize = 65_536;

/// VMs that ended and of which figures are still given after the leader has had them forgotten: seconds' worth, a
/// checkpoint each.
const JUST_ENDED: usize = 64;

/// The VMs of this boot.
#[derive(Debug)]
pub struct Vms {
    backend: Arc<dyn Backend>,
    max_vms: u64,
    held: BTreeMap<VmKey, Held>,
    gone: BTreeMap<VmKey, Generation>,
    gone_by_age: BTreeSet<(Generation, VmKey)>,
    /// How those that were forgotten last had ended: somebody may ask on what the leader knew a moment ago.
    just_ended: VecDeque<Observation>,
}

#[derive(Debug)]
struct Held {
    generation: Generation,
    /// As last told; none until its cell is made.
    observation: Option<Observation>,
    /// Whether the backend holds it.
    is_live: bool,
    /// Not since the boot was registered anew, until its level is told again.
    is_confirmed: bool,
    /// It is desired Absent, and the backend still ends what it had in this generation.
    ending: Option<Generation>,
}

impl Vms {
    pub fn new(backend: Arc<dyn Backend>, max_vms: u64) -> Self {
        let (held, gone, gone_by_age) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        Self { backend, max_vms, held, gone, gone_by_age, just_ended: VecDeque::new() }
    }

    /// The boot was registered anew: what it holds may be another worker's by now, and stands still until its level is told
    /// again.
    pub fn stand_still(&mut self) {
        self.backend.freeze();
        for held in self.held.values_mut().filter(|held| held.is_live) {
            held.is_confirmed = false;
        }
    }

    /// What stands still until its level is told again.
    pub fn unconfirmed(&self) -> impl Iterator<Item = (VmKey, Generation)> {
        let unconfirmed = self.held.iter().filter(|(_, held)| held.is_live && !held.is_confirmed);
        unconfirmed.map(|(key, held)| (key.clone(), held.generation))
    }

    /// Takes up what is desired of one VM; returns what can be told at once.
    pub fn desire(&mut self, desired: Desired) -> Option<Observation> {
        let (key, generation) = (desired.key.clone(), desired.generation);
        let highest = self.held.get(&key).map(|held| held.generation).max(self.gone.get(&key).copied());
        let is_stale = highest.is_some_and(|highest| generation < highest);
        if is_stale && !is_on(Mutant::GenerationUnchecked) {
            tracing::warn!(vm.id = %key, vm.generation = %generation, "refused: a higher generation was seen");
            return Some(Observation::absent(key, generation));
        }
        if desired.state == DesiredState::Absent {
            return self.give_up(&desired);
        }
        if self.held.get(&key).is_some_and(|held| held.generation < generation) {
            self.forget(&key);
        }
        match (self.held.get_mut(&key), desired.state) {
            // Its level was told before it was desired Absent, and came after.
            (Some(held), _) if held.ending.is_some() => None,
            (Some(held), _) if held.is_live => {
                held.is_confirmed = true;
                self.backend.adjust(&desired);
                None
            }
            (Some(held), _) => held.observation.clone(),
            (None, DesiredState::Running | DesiredState::Paused) if desired.order.is_some() => {
                self.place(desired)
            }
            // Nothing to make it from, or nothing to stop: the leader sees that it is not here. It counts on that, so an
            // earlier order that comes later must not bring it.
            (None, _) => {
                if !is_on(Mutant::LateOrderPlaced) {
                    self.remember(key.clone(), generation);
                }
                Some(Observation::absent(key, generation))
            }
        }
    }

    /// A generation that is desired Absent: told to be so when nothing is left of it.
    fn give_up(&mut self, desired: &Desired) -> Option<Observation> {
        let Desired { key, generation, .. } = desired;
        // With its order it is told of a VM that is destroyed, without one of a generation that is nobody's (any more).
        let is_destroyed = desired.order.is_some();
        self.remember(key.clone(), *generation);
        let absent = Observation::absent(key.clone(), *generation);
        let Some(held) = self.held.remove(key) else { return Some(absent) };
        let of = held.ending.unwrap_or(held.generation);
        if held.ending.is_none() {
            match is_destroyed {
                true => self.backend.destroy(key, of),
                false => self.backend.forget(key),
            }
        }
        if !self.backend.is_ending(key, of) {
            self.note_ended(held);
            return Some(absent);
        }
        // As the leader has it: not at all where it asked for another generation, or counts on this one no more.
        let observation = held.observation.filter(|_| is_destroyed && held.generation == *generation);
        let (generation, ending) = (*generation, Some(of));
        let ending = Held { generation, observation, is_live: false, is_confirmed: true, ending };
        self.held.insert(key.clone(), ending);
        None
    }

    fn place(&mut self, desired: Desired) -> Option<Observation> {
        let (key, generation) = (desired.key.clone(), desired.generation);
        if self.gone.get(&key) == Some(&generation) {
            return Some(Observation::absent(key, generation));
        }
        self.forget(&key);
        if self.live() >= self.max_vms {
            let max_vms = self.max_vms;
            let reason = format!("this worker holds its max_vms of {max_vms}; place it on another worker");
            let failed = Observation {
                state: ObservedState::Failed,
                reason: Some(reason),
                ..Observation::absent(key.clone(), generation)
            };
            self.held.insert(
                key,
                Held {
                    generation,
                    observation: Some(failed.clone()),
                    is_live: false,
                    is_confirmed: true,
                    ending: None,
                },
            );
            return Some(failed);
        }
        tracing::info!(vm.id = %key, vm.generation = %generation, "placed");
        let held = Held { generation, observation: None, is_live: true, is_confirmed: true, ending: None };
        self.held.insert(key, held);
        self.backend.place(desired);
        None
    }

    /// What the backend observed since the last call, to be told to the leader.
    pub fn observe(&mut self) -> Vec<Observation> {
        let told = self.backend.observe();
        told.into_iter().filter_map(|observation| self.take(observation)).collect()
    }

    fn take(&mut self, observation: Observation) -> Option<Observation> {
        let held = self.held.get_mut(&observation.key)?;
        if let Some(of) = held.ending {
            let is_gone = observation.state == ObservedState::Absent && observation.generation == of;
            let held = if is_gone { self.held.remove(&observation.key)? } else { return None };
            tracing::info!(vm.id = %observation.key, vm.generation = %of, "ended");
            return Some(Observation::absent(observation.key, held.generation));
        }
        if held.generation != observation.generation {
            return None;
        }
        let is_new_state = held.observation.as_ref().map(|before| before.state) != Some(observation.state);
        if is_new_state {
            let Observation { key, generation, state, tick, reason, .. } = &observation;
            tracing::info!(vm.id = %key, vm.generation = %generation, vm.tick = tick, reason, "{state:?}");
        }
        held.is_live = matches!(observation.state, ObservedState::Running | ObservedState::Paused);
        held.observation = Some(observation.clone());
        Some(observation)
    }

    /// Everything held, as last observed, but for what stands still.
    pub fn inventory(&self) -> impl Iterator<Item = &Observation> {
        let known = self.held.values().filter(|held| !held.is_live || held.is_confirmed);
        known.filter_map(|held| held.observation.as_ref())
    }

    /// Every VM that the leader may ask for, with its generation: also such as have ended, until it has heard.
    pub fn generations(&self) -> BTreeMap<VmKey, Generation> {
        self.held.iter().map(|(key, held)| (key.clone(), held.generation)).collect()
    }

    /// The digest of [`Self::inventory`].
    pub fn digest(&self) -> u64 {
        inventory_digest(self.inventory().map(|vm| (&vm.key, vm.generation, vm.state, vm.applied, vm.atp)))
    }

    /// A VM as it stands, or as it ended until the leader knows; none where it is not held in that generation.
    pub fn query(&self, key: &VmKey, generation: Generation, with: QueryExtra) -> Option<LiveVm> {
        let Some(held) = self.held.get(key).filter(|held| held.generation == generation) else {
            let ended =
                self.just_ended.iter().rfind(|last| last.key == *key && last.generation == generation);
            return self.backend.ended(ended?);
        };
        match &held.observation {
            Some(last) if !held.is_live => self.backend.ended(last),
            _ => self.backend.query(key, with),
        }
    }

    /// Rows that a VM has recorded; none where it is not held in that generation, or records nothing.
    pub fn rows(&self, key: &VmKey, generation: Generation, row: u64) -> Option<VmQueryReply> {
        self.held.get(key).filter(|held| held.generation == generation)?;
        let (rows, window) = self.backend.rows(key, usize::try_from(row).ok()?)?;
        Some(VmQueryReply::Trace { rows: rows as u64, bytes: window.encode() })
    }

    /// VMs that the backend runs or will.
    pub fn live(&self) -> u64 {
        self.held.values().filter(|held| held.is_live).count() as u64
    }

    fn forget(&mut self, key: &VmKey) {
        let Some(held) = self.held.remove(key) else { return };
        if held.ending.is_none() {
            self.backend.forget(key);
        }
        self.remember(key.clone(), held.generation);
        self.note_ended(held);
    }

    /// Of what had ended before it was forgotten, figures are still given for a while.
    fn note_ended(&mut self, held: Held) {
        if let Some(last) = held.observation.filter(|last| !held.is_live && last.checkpoint.is_some()) {
            if self.just_ended.len() >= JUST_ENDED {
                self.just_ended.pop_front();
            }
            self.just_ended.push_back(last);
        }
    }

    fn remember(&mut self, key: VmKey, generation: Generation) {
        if let Some(before) = self.gone.insert(key.clone(), generation) {
            self.gone_by_age.remove(&(before, key.clone()));
        }
        self.gone_by_age.insert((generation, key));
        if self.gone_by_age.len() > REMEMBERED_GENERATIONS
            && let Some((_, key)) = self.gone_by_age.pop_first()
        {
            self.gone.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests;
