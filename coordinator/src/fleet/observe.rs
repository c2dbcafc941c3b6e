//! What a worker said of a VM: decided against the VM's generation, folded into its state.

use bioxen_mutants::{Mutant, is_on};
use bioxen_protocol::alert::AtpWatch;
use bioxen_protocol::command::OnComplete;
use bioxen_protocol::id::{BootId, WorkerId};
use bioxen_protocol::state::VmState;
use bioxen_protocol::worker::{Observation, ObservedState, ProcessEnd};

use super::Fleet;
use super::amounts::Amounts;
use super::entry::{Entry, Observed};
use super::process::call_due;
use super::vm::{COMPLETED, Placement, Vm};

/// What is said where lease and grace ended before the worker could confirm.
const LEASE_OVER: &str = "its worker's lease and grace were over";

impl Fleet {
    /// The entry for an observation, or none where it is stale or says nothing new.
    pub(super) fn decide_observation(
        &self,
        worker: &WorkerId,
        boot: &BootId,
        seen: &Observation,
    ) -> Vec<Entry> {
        if !self.is_current(worker, boot, &seen.key, seen.generation) {
            return Vec::new();
        }
        let Some(vm) = self.vm(&seen.key) else { return Vec::new() };
        let Some(at) = &vm.placement else { return Vec::new() };
        let live = self.workers.get(worker).is_some_and(|known| known.live && known.boot == *boot);
        if !live && matches!(seen.state, ObservedState::Running | ObservedState::Paused) {
            // It may not commit any more; what it says of an end still stands.
            return Vec::new();
        }
        let unconfirmed =
            |ordinal: u64| vm.changes.iter().any(|change| change.ordinal == ordinal && change.tick.is_none());
        let applied = seen.applied.clamp(at.applied, vm.last_ordinal.max(at.applied));
        let news = at.observed != seen.state
            || next_state(vm, seen.state) != vm.state
            || applied > at.applied
            || ended_process(vm, seen).is_some()
            || news_of_energy(vm, seen).is_some()
            || (seen.checkpoint.is_some() && applied > vm.checkpoint_applied);
        let called = call_due(vm, seen);
        if !news {
            return called.into_iter().collect();
        }
        let observed = Entry::Observed(Box::new(Observed {
            key: seen.key.clone(),
            generation: seen.generation,
            state: seen.state,
            tick: seen.tick.max(vm.tick),
            applied,
            applied_at: seen
                .applied_at
                .iter()
                .copied()
                .filter(|(ordinal, _)| unconfirmed(*ordinal))
                .collect(),
            checkpoint: seen.checkpoint.as_deref().map(Into::into),
            checkpoint_tick: seen.checkpoint.as_ref().and(Some(seen.tick)).filter(|tick| *tick < vm.tick),
            reason: seen.reason.clone(),
            summary: seen.summary.as_deref().map(Into::into),
            held: held_after(vm, seen.state, applied),
            process: ended_process(vm, seen).cloned(),
            atp: news_of_energy(vm, seen),
        }));
        std::iter::once(observed).chain(called).collect()
    }

    /// The end of a boot's lease and grace.
    pub(super) fn decide_expiry(&self, worker: &WorkerId, boot: &BootId) -> Vec<Entry> {
        let known = self.workers.get(worker);
        if known.is_none_or(|known| known.boot != *boot || !known.live) {
            return Vec::new();
        }
        vec![Entry::Expired { worker: worker.clone(), boot: boot.clone() }]
    }

    /// Ends VMs that an expired boot was to stop or give up, without its word: at most `most`, the rest when asked again.
    pub fn ends_of_expired(&mut self, most: usize) -> Vec<Entry> {
        if !self.ends_may_be_due {
            return Vec::new();
        }
        let due = self.vms().filter(|vm| matches!(vm.state, VmState::Stopping | VmState::Destroying));
        let gone = due.filter_map(|vm| {
            let at = vm.placement.as_ref()?;
            let worker = self.workers.get(&at.worker);
            let commits = worker.is_some_and(|worker| worker.boot == at.boot && worker.live);
            (!commits).then(|| end_of(vm, at))
        });
        let entries: Vec<Entry> = gone.take(most).collect();
        self.ends_may_be_due = entries.len() == most;
        entries
    }

    /// Whether [`Self::ends_of_expired`] may have something.
    pub fn ends_are_due(&self) -> bool {
        self.ends_may_be_due
    }

    pub(super) fn observed(&mut self, index: u64, seen: &Observed) {
        let current = self.vm(&seen.key).and_then(|vm| vm.placement.as_ref());
        let is_other = |at: &Placement| at.generation != seen.generation && !is_on(Mutant::ReleaseTwice);
        if current.is_none_or(is_other) {
            return;
        }
        let Some(was) = self.vm(&seen.key).map(|vm| vm.state) else { return };
        let Some(next) = self.vm(&seen.key).map(|vm| next_state(vm, seen.state)) else { return };
        let ended = matches!(next, VmState::Stopped | VmState::Failed | VmState::Destroyed);
        if ended && seen.state != ObservedState::Absent {
            self.forget(&seen.key);
        }
        let time_ms = self.time_ms;
        self.edit(index, &seen.key, |vm| {
            note_applied(vm, seen);
            if let Some(end) = &seen.process {
                vm.end_process(end);
            }
            if next != vm.state || seen.reason.is_some() {
                vm.reason.clone_from(&seen.reason);
            }
            if seen.state == ObservedState::Completed && next != VmState::Destroying {
                vm.reason = Some(COMPLETED.to_owned());
            }
            let stores = matches!(
                seen.state,
                ObservedState::Stopped | ObservedState::Completed | ObservedState::Failed
            );
            // What process code let pass was stored before its end was told.
            let left = seen.checkpoint.is_some();
            let is_known = vm.recorded.last() == Some(&seen.generation);
            if (stores || left) && vm.order.record.is_some() && !is_known {
                vm.recorded.push(seen.generation);
            }
            vm.state = next;
            vm.atp = seen.atp.unwrap_or(vm.atp);
            vm.tick = seen.tick;
            vm.held = seen.held;
            if ended && seen.checkpoint.is_none() {
                vm.lose_placement(time_ms);
            } else if ended {
                vm.placement = None;
            } else if let Some(at) = &mut vm.placement {
                at.observed = seen.state;
                at.applied = seen.applied;
            }
        });
        let failed = matches!(seen.state, ObservedState::Failed | ObservedState::Absent)
            && !matches!(was, VmState::Stopping | VmState::Destroying);
        self.member_changed(index, &seen.key, was, seen.summary.as_ref(), failed);
    }
}

fn end_of(vm: &Vm, at: &Placement) -> Entry {
    Entry::Observed(Box::new(Observed {
        key: vm.key.clone(),
        generation: at.generation,
        state: ObservedState::Absent,
        tick: vm.tick,
        applied: at.applied,
        applied_at: Vec::new(),
        checkpoint: None,
        checkpoint_tick: None,
        reason: Some(LEASE_OVER.to_owned()),
        summary: None,
        held: held_after(vm, ObservedState::Absent, at.applied),
        process: None,
        atp: None,
    }))
}

/// Never fewer crossings than are known: what says nothing of its energy says none.
fn news_of_energy(vm: &Vm, seen: &Observation) -> Option<AtpWatch> {
    let is_news = seen.atp != vm.atp && seen.atp.crossings >= vm.atp.crossings;
    Some(seen.atp).filter(|_| is_news && seen.state != ObservedState::Absent)
}

/// The end of the process that runs, where the worker tells it.
fn ended_process<'a>(vm: &Vm, seen: &'a Observation) -> Option<&'a ProcessEnd> {
    let running = vm.running_process()?.number;
    seen.process.as_ref().filter(|end| end.number == running)
}

fn note_applied(vm: &mut Vm, seen: &Observed) {
    for (ordinal, tick) in &seen.applied_at {
        if let Some(change) = vm.changes.iter_mut().find(|change| change.ordinal == *ordinal)
            && !is_on(Mutant::TickForgotten)
        {
            change.tick.get_or_insert(*tick);
        }
    }
    if let Some(change) = vm.changes.iter().rfind(|change| change.ordinal <= seen.applied) {
        vm.effective = change.allocation;
    }
    if let Some(checkpoint) = &seen.checkpoint {
        vm.checkpoint = Some(checkpoint.clone());
        vm.checkpoint_applied = seen.applied;
        vm.checkpoint_tick = seen.checkpoint_tick.unwrap_or(seen.tick);
        vm.checkpoint_allocation = vm.effective;
        vm.changes.retain(|change| change.ordinal > seen.applied);
    }
}

/// The state that follows where a worker tells `seen`.
fn next_state(vm: &Vm, seen: ObservedState) -> VmState {
    use ObservedState as Seen;
    use VmState::{Destroyed, Destroying, Failed, Paused, Running, Stopped, Stopping};
    match (vm.state, seen) {
        (Destroying, Seen::Absent) => Destroyed,
        (Destroying, _) => Destroying,
        (_, Seen::Completed) if vm.on_complete == OnComplete::Release => Destroyed,
        (_, Seen::Stopped | Seen::Completed) | (Stopping, Seen::Absent | Seen::Failed) => Stopped,
        (Stopping, _) => Stopping,
        (_, Seen::Running) => Running,
        (_, Seen::Paused) => Paused,
        // A member that failed would keep the slot that those behind it wait for; what it came to stands in its ensemble.
        (_, Seen::Failed | Seen::Absent) if vm.member.is_some() && vm.on_complete == OnComplete::Release => {
            Destroyed
        }
        // A worker that gave up what it should run has failed it.
        (_, Seen::Failed | Seen::Absent) => Failed,
    }
}

/// What the VM then holds: a release is a confirmed end, never an intention (I7).
fn held_after(vm: &Vm, seen: ObservedState, applied: u64) -> Amounts {
    match next_state(vm, seen) {
        VmState::Destroyed => Amounts::NOTHING,
        VmState::Stopped | VmState::Failed => Amounts::SLOT,
        VmState::Running | VmState::Paused => vm.holdings_at(applied),
        _ => vm.held,
    }
}
