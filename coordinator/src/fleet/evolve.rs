//! `evolve`: what follows from one entry. Total: it never refuses, and an entry about what is not there changes nothing.

use bioxen_protocol::id::{BootId, Generation, UserId, VmKey, WorkerId};
use bioxen_protocol::limits::PROCESS_GRACE_MS;
use bioxen_protocol::state::VmState;
use bioxen_protocol::worker::{Capacity, DesiredState, NumberedChange, ObservedState};

use super::Fleet;
use super::amounts::Amounts;
use super::ensemble::name_in;
use super::entry::{Cause, Created, Entry};
use super::idempotency::Remembered;
use super::process::lost;
use super::vm::{Placement, Process, Vm};
use super::worker::Worker;

/// Destroyed VMs that a user's account remembers, so that a late destroy is answered `destroyed`.
pub(super) const DESTROYED_PER_USER: usize = 1_000;

impl Fleet {
    /// Applies the entry with the next index; `time_ms` is its batch's.
    pub fn evolve(&mut self, time_ms: u64, entry: &Entry) {
        let index = self.next_index;
        self.next_index += 1;
        self.time_ms = self.time_ms.max(time_ms);
        match entry {
            Entry::Leader { epoch, .. } => self.epoch = *epoch,
            Entry::Tick | Entry::Rejected(_) => {}
            Entry::Configured { config } => {
                self.config = config.clone();
                self.room_may_have_appeared = true;
            }
            Entry::LimitsSet { user, limits, .. } => {
                self.accounts.entry(user.clone()).or_default().limits = limits.clone();
                self.touched.accounts.insert(user.clone());
                self.room_may_have_appeared = true;
            }
            Entry::Registered { worker, boot, capacity } => self.registered(index, worker, boot, capacity),
            Entry::Expired { worker, boot } => self.expire(index, worker, boot),
            Entry::Created(created) => self.created(index, created),
            Entry::Ensemble(asked) => self.ensembled(index, asked),
            Entry::MemberRefused { key, number, reason } => {
                self.member_refused(index, key, *number, reason);
            }
            Entry::EnsembleDesired { cause, key, desired } => {
                self.ensemble_desired(index, cause, key, *desired)
            }
            Entry::Queued { key, held, horizon_tick, .. } => self.edit(index, key, |vm| {
                vm.state = VmState::Queued;
                vm.reason = None;
                vm.held = *held;
                vm.horizon_tick = horizon_tick.or(vm.horizon_tick);
                vm.queued_at = Some(index);
            }),
            Entry::Started { key, horizon_tick, .. } => self.edit(index, key, |vm| {
                vm.reason = None;
                vm.horizon_tick = horizon_tick.or(vm.horizon_tick);
            }),
            Entry::Placed { key, worker, boot, held } => self.placed(index, key, (worker, boot), *held),
            Entry::Desired { key, desired, held, .. } => self.desire(index, key, *desired, *held),
            Entry::Allocated { key, ordinal, allocation, held, .. } => self.edit(index, key, |vm| {
                vm.allocation = *allocation;
                vm.held = *held;
                if *ordinal == 0 {
                    vm.effective = *allocation;
                    vm.checkpoint_allocation = *allocation;
                    std::sync::Arc::make_mut(&mut vm.order).allocation = *allocation;
                } else {
                    vm.last_ordinal = *ordinal;
                    let change = NumberedChange { ordinal: *ordinal, allocation: *allocation, tick: None };
                    vm.changes.push(change);
                }
            }),
            Entry::ProcessStarted { key, number, digest, timeout_ms, .. } => {
                self.process_started(index, key, *number, digest, *timeout_ms);
            }
            Entry::ProcessLost { key, number } => self.edit(index, key, |vm| vm.end_process(&lost(*number))),
            Entry::Monitored { key, interval_seconds, .. } => {
                self.edit(index, key, |vm| vm.monitor_seconds = *interval_seconds);
            }
            Entry::Observed(observed) => self.observed(index, observed),
        }
        if let Some(key) = entry.key().filter(|_| changes_level(entry)) {
            self.touched.levels.insert(key.clone());
        }
        if let (Some(cause), Some(key)) = (entry.cause(), entry.key()) {
            self.remember(index, cause, key, entry);
        }
    }

    fn process_started(&mut self, index: u64, key: &VmKey, number: u64, digest: &str, timeout_ms: u64) {
        let deadline_ms = self.time_ms.saturating_add(timeout_ms).saturating_add(PROCESS_GRACE_MS);
        self.edit(index, key, |vm| {
            vm.last_ordinal = number;
            vm.process = Some(Process { number, digest: digest.to_owned(), deadline_ms, end: None });
        });
    }

    fn registered(&mut self, index: u64, worker: &WorkerId, boot: &BootId, capacity: &Capacity) {
        // Not always nothing: a boot that was out of reach may come back with its VMs.
        let placed = self.placed_on(worker, boot).map(|vm| vm.held);
        let used = placed.fold(Amounts::NOTHING, Amounts::plus);
        let now = Worker { boot: boot.clone(), capacity: capacity.clone(), live: true, index, used };
        self.workers.insert(worker.clone(), now);
        self.touched.workers.insert(worker.clone());
        self.room_may_have_appeared = true;
    }

    fn created(&mut self, index: u64, created: &Created) {
        let key = &created.key;
        let account = self.accounts.entry(key.user.clone()).or_default();
        account.vms.remove(&key.vm);
        account.destroyed.retain(|vm| *vm != key.vm);
        self.touched.gone_vms.remove(key);
        let vm = Vm {
            key: key.clone(),
            order: created.order.clone(),
            most: created.most,
            on_complete: created.on_complete,
            labels: created.labels.clone(),
            member: created.member,
            state: if created.queued { VmState::Queued } else { VmState::Created },
            reason: None,
            desired: DesiredState::Paused,
            allocation: created.order.allocation,
            effective: created.order.allocation,
            checkpoint_allocation: created.order.allocation,
            held: created.held,
            changes: Vec::new(),
            last_ordinal: 0,
            placement: None,
            checkpoint: None,
            checkpoint_applied: 0,
            recorded: Vec::new(),
            horizon_tick: created.order.horizon_tick,
            tick: 0,
            queued_at: created.queued.then_some(index),
            created_ms: self.time_ms,
            process: None,
            monitor_seconds: 0,
            index,
        };
        self.book(&vm);
        self.touch(key);
        self.accounts.entry(key.user.clone()).or_default().vms.insert(key.vm.clone(), vm);
        if let Some((number, name)) = created.member.zip(name_in(&key.vm)) {
            self.member_made(index, &VmKey { user: key.user.clone(), vm: name }, number, None);
        }
    }

    fn placed(&mut self, index: u64, key: &VmKey, (worker, boot): (&WorkerId, &BootId), held: Amounts) {
        let generation = Generation { incarnation: self.incarnation, index };
        self.edit(index, key, |vm| {
            let (worker, boot) = (worker.clone(), boot.clone());
            let observed = ObservedState::Absent;
            let applied = vm.checkpoint_applied;
            vm.placement = Some(Placement { worker, boot, generation, observed, applied });
            vm.state = VmState::Starting;
            vm.reason = None;
            vm.desired = DesiredState::Running;
            vm.held = held;
            vm.effective = vm.checkpoint_allocation;
            vm.queued_at = None;
        });
    }

    fn desire(&mut self, index: u64, key: &VmKey, desired: DesiredState, held: Amounts) {
        let was = self.vm(key).map(|vm| vm.state);
        let placed = self.vm(key).is_some_and(|vm| vm.placement.is_some());
        // Where decide gave everything back at once, no worker is left to confirm.
        let at_once = !placed || self.vm(key).is_some_and(|vm| held.lacks(vm.held) != Amounts::NOTHING);
        if at_once {
            self.forget(key);
        }
        self.edit(index, key, |vm| {
            vm.desired = desired;
            vm.held = held;
            vm.queued_at = None;
            if at_once {
                vm.placement = None;
            }
            vm.state = match (desired, at_once) {
                (DesiredState::Running | DesiredState::Paused, _) => vm.state,
                (DesiredState::Stopped, true) => VmState::Stopped,
                (DesiredState::Stopped, false) => VmState::Stopping,
                (DesiredState::Absent, true) => VmState::Destroyed,
                (DesiredState::Absent, false) => VmState::Destroying,
            };
            if !matches!(desired, DesiredState::Running | DesiredState::Paused) {
                vm.reason = None;
            }
        });
        if let Some(was) = was {
            self.member_changed(index, key, was, None, false);
        }
    }

    fn expire(&mut self, index: u64, worker: &WorkerId, boot: &BootId) {
        let Some(known) = self.workers.get_mut(worker).filter(|known| known.boot == *boot) else { return };
        known.live = false;
        known.index = index;
        self.ends_may_be_due = true;
        self.touched.workers.insert(worker.clone());
        let placed: Vec<VmKey> = self.placed_on(worker, boot).map(|vm| vm.key.clone()).collect();
        for key in placed {
            self.edit(index, &key, |vm| {
                // Should the boot come back, its word is asked for.
                if let Some(at) = &mut vm.placement {
                    at.observed = ObservedState::Absent;
                }
                if matches!(vm.state, VmState::Starting | VmState::Running | VmState::Paused) {
                    vm.state = VmState::Unknown;
                    vm.reason = Some("its worker's lease is over".to_owned());
                }
            });
        }
    }

    /// The one way in which a VM changes: its holdings are taken off every sum before, and put back after.
    pub(super) fn edit(&mut self, index: u64, key: &VmKey, change: impl FnOnce(&mut Vm)) {
        let account = self.accounts.get_mut(&key.user);
        let Some(mut vm) = account.and_then(|account| account.vms.remove(&key.vm)) else { return };
        let held_before = vm.held;
        let was_destroyed = vm.state == VmState::Destroyed;
        self.unbook(&vm);
        change(&mut vm);
        vm.index = index;
        self.book(&vm);
        self.touch(key);
        if vm.held.lacks(held_before) != Amounts::NOTHING || vm.state == VmState::Queued {
            self.room_may_have_appeared = true;
        }
        let destroyed = vm.state == VmState::Destroyed && !was_destroyed;
        let Some(account) = self.accounts.get_mut(&key.user) else { return };
        account.vms.insert(key.vm.clone(), vm);
        if destroyed {
            account.destroyed.push_back(key.vm.clone());
            if account.destroyed.len() > DESTROYED_PER_USER
                && let Some(oldest) = account.destroyed.pop_front()
            {
                account.vms.remove(&oldest);
                let gone = VmKey { user: key.user.clone(), vm: oldest };
                self.touched.vms.remove(&gone);
                self.touched.gone_vms.insert(gone);
            }
        }
    }

    fn touch(&mut self, key: &VmKey) {
        self.touched.vms.insert(key.clone());
        self.touched.accounts.insert(key.user.clone());
    }

    pub(super) fn book(&mut self, vm: &Vm) {
        let account = self.accounts.entry(vm.key.user.clone()).or_default();
        account.held = account.held.plus(vm.held);
        if let Some(queued_at) = vm.queued_at {
            self.enqueue(&vm.key, (vm.order.priority, queued_at), 1);
        }
        self.held = self.held.plus(vm.held);
        if let Some(worker) = self.worker_of(vm) {
            worker.used = worker.used.plus(vm.held);
        }
        if let Some(process) = vm.running_process() {
            self.processes.insert((process.deadline_ms, vm.key.clone()));
        }
    }

    fn unbook(&mut self, vm: &Vm) {
        if let Some(process) = vm.running_process() {
            self.processes.remove(&(process.deadline_ms, vm.key.clone()));
        }
        self.held = self.held.minus(vm.held);
        if let Some(worker) = self.worker_of(vm) {
            worker.used = worker.used.minus(vm.held);
        }
        let Some(account) = self.accounts.get_mut(&vm.key.user) else { return };
        account.held = account.held.minus(vm.held);
        if let Some(queued_at) = vm.queued_at {
            self.dequeue(&vm.key, (vm.order.priority, queued_at), 1);
        }
    }

    fn worker_of(&mut self, vm: &Vm) -> Option<&mut Worker> {
        let at = vm.placement.as_ref()?;
        self.workers.get_mut(&at.worker).filter(|worker| worker.boot == at.boot)
    }

    /// Has the VM's worker give up the generation that it holds.
    pub(super) fn forget(&mut self, key: &VmKey) {
        if let Some(at) = self.vm(key).and_then(|vm| vm.placement.clone()) {
            let Placement { worker, boot, generation, .. } = at;
            self.touched.forget.push(super::Forget { worker, boot, key: key.clone(), generation });
        }
    }

    fn remember(&mut self, index: u64, cause: &Cause, key: &VmKey, entry: &Entry) {
        let Some(request) = &cause.request else { return };
        let vm = self.vm(key);
        let (state, queue_position, members) = match entry {
            Entry::Created(created) => (created.answered_state, created.queue_position, None),
            Entry::Ensemble(asked) => (VmState::Queued, None, Some(asked.members)),
            Entry::EnsembleDesired { .. } => (VmState::Destroying, None, None),
            _ => match vm {
                Some(vm) => (vm.state, None, None),
                None => return,
            },
        };
        let remembered = Remembered {
            digest: request.digest.clone(),
            verb: cause.verb,
            vm: Some(key.vm.clone()),
            index,
            time_ms: self.time_ms,
            state,
            allocation: vm.map(|vm| vm.allocation),
            queue_position,
            number: match entry {
                Entry::ProcessStarted { number, .. } => *number,
                Entry::Monitored { interval_seconds, .. } => *interval_seconds,
                _ => 0,
            },
            members,
        };
        let (time_ms, user): (u64, UserId) = (self.time_ms, cause.user.clone());
        let account = self.accounts.entry(user.clone()).or_default();
        let forgotten = account.requests.remember(request.id.clone(), remembered, time_ms);
        let all = std::iter::once(request.id.clone()).chain(forgotten);
        self.touched.requests.extend(all.map(|id| (user.clone(), id)));
    }
}

/// Whether the VM's worker must hear of the entry. Of its own observations only what it keeps until confirmed.
fn changes_level(entry: &Entry) -> bool {
    match entry {
        Entry::Observed(seen) => {
            !seen.applied_at.is_empty() || seen.checkpoint.is_some() || seen.process.is_some()
        }
        Entry::Placed { .. }
        | Entry::Desired { .. }
        | Entry::Allocated { .. }
        | Entry::Monitored { .. }
        | Entry::ProcessLost { .. } => true,
        _ => false,
    }
}
