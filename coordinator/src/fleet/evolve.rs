//! `evolve`: what follows from one entry. Total: it never refuses, and an entry about what is not there changes nothing.

use bioxen_mutants::{Mutant, is_on};
use bioxen_protocol::alert::AtpWatch;
use bioxen_protocol::id::{BootId, Generation, UserId, VmKey, WorkerId};
use bioxen_protocol::limits::PROCESS_GRACE_MS;
use bioxen_protocol::state::VmState;
use bioxen_protocol::worker::{Capacity, DesiredState, ObservedState};

use super::Fleet;
use super::account::UserLimits;
use super::amounts::Amounts;
use super::ensemble::name_in;
use super::entry::{Created, Entry};
use super::movement::Moving;
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
            Entry::Leader { epoch, coordinator } => {
                self.epoch = *epoch;
                self.leader = Some(coordinator.clone());
            }
            Entry::Resign { .. } => self.leader = None,
            Entry::Activate { format } => self.format = self.format.max(*format),
            Entry::Tick | Entry::Rejected(_) => {}
            Entry::Configured { config } => {
                self.config = config.clone();
                self.room_appeared();
            }
            Entry::LimitsSet { user, limits, .. } => self.limit(user, limits),
            Entry::Registered { worker, boot, capacity } => self.registered(index, worker, boot, capacity),
            Entry::Expired { worker, boot } => self.expire(index, worker, boot),
            Entry::BackupRestored { .. } => self.begin_incarnation(index),
            Entry::Created(created) => self.created(index, created),
            Entry::Ensemble(asked) => self.ensembled(index, asked),
            Entry::MemberRefused { key, number, reason } => {
                self.member_refused(index, key, *number, reason);
            }
            Entry::EnsembleDesired { cause, key, desired } => {
                self.ensemble_desired(index, cause, key, *desired)
            }
            Entry::Queued { key, held, horizon_tick, .. } => {
                self.edit(index, key, |vm| vm.queue(index, *held, *horizon_tick));
            }
            Entry::Started { key, horizon_tick, .. } => self.edit(index, key, |vm| {
                vm.reason = None;
                vm.horizon_tick = horizon_tick.or(vm.horizon_tick);
            }),
            Entry::Placed { key, worker, boot, held } => self.placed(index, key, (worker, boot), *held),
            Entry::Moving { key, to, by } => {
                self.moving(index, key, Moving { to: to.clone(), by: by.clone() });
            }
            Entry::Cordoned { worker, cordon, .. } => self.cordoned(index, worker, *cordon),
            Entry::Leaving { worker, boot } => self.leaves(index, worker, boot),
            Entry::Desired { key, desired, held, .. } => self.desire(index, key, *desired, *held),
            Entry::Allocated { key, ordinal, allocation, held, .. } => {
                self.edit(index, key, |vm| vm.allocate(*ordinal, *allocation, *held));
            }
            Entry::ProcessStarted { key, number, digest, timeout_ms, .. } => {
                self.process_started(index, key, (*number, None), digest, *timeout_ms);
            }
            Entry::ProcessLost { key, number } => self.edit(index, key, |vm| vm.end_process(&lost(*number))),
            Entry::Installed { key, ordinal, package, .. } => {
                self.edit(index, key, |vm| vm.install(*ordinal, package));
            }
            Entry::CallStarted { key, call, number, digest, timeout_ms, .. } => {
                self.process_started(index, key, (*number, Some(*call)), digest, *timeout_ms);
            }
            Entry::Alerted(alerted) => self.alerted(index, alerted),
            Entry::Monitored { key, interval_seconds, .. } => {
                self.edit(index, key, |vm| vm.monitor_seconds = *interval_seconds);
            }
            Entry::Observed(observed) => self.observed(index, observed),
            Entry::Checkpointed(taken) => self.checkpointed(index, taken),
            Entry::Restored { key, checkpoint, .. } => self.restored(index, key, *checkpoint),
            Entry::Rehomed { key, vm_type, pool } => self.rehomed(index, key, *vm_type, pool.as_ref()),
            Entry::Recovered(found) => self.recovered(index, found),
        }
        if let Some(key) = entry.key().filter(|_| changes_level(entry)) {
            self.touched.levels.insert(key.clone());
        }
        if let (Some(cause), Some(key)) = (entry.cause(), entry.key()) {
            self.remember(index, cause, key, entry);
        }
    }

    fn limit(&mut self, user: &UserId, limits: &UserLimits) {
        self.accounts.entry(user.clone()).or_default().limits = limits.clone();
        self.touched.accounts.insert(user.clone());
        self.room_appeared();
    }

    /// `call` where it is a scheduled one.
    fn process_started(
        &mut self,
        index: u64,
        key: &VmKey,
        (number, call): (u64, Option<u64>),
        digest: &str,
        timeout_ms: u64,
    ) {
        let deadline_ms = self.time_ms.saturating_add(timeout_ms).saturating_add(PROCESS_GRACE_MS);
        self.edit(index, key, |vm| {
            vm.last_ordinal = number;
            // One that leaves its worker runs it where it then is.
            let here = vm.placement.as_ref().filter(|at| !at.over && !vm.is_leaving());
            let generation = here.map(|at| at.generation);
            let digest = digest.to_owned();
            vm.process = Some(Process { number, digest, deadline_ms, generation, call, end: None });
            vm.calls_started = vm.calls_started.max(call.map_or(0, |call| call + 1));
        });
    }

    fn registered(&mut self, index: u64, worker: &WorkerId, boot: &BootId, capacity: &Capacity) {
        // Not always nothing: a boot that was out of reach may come back with its VMs.
        let placed = self.placed_on(worker, boot).map(|vm| vm.held);
        let used = placed.fold(Amounts::NOTHING, Amounts::plus);
        let (boot, capacity) = (boot.clone(), capacity.clone());
        let cordon = self.workers.get(worker).map(|known| known.cordon).unwrap_or_default();
        let now = Worker {
            boot,
            capacity,
            live: true,
            registration: index,
            index,
            alerted: false,
            cordon,
            leaving: false,
            used,
        };
        self.workers.insert(worker.clone(), now);
        self.touched.workers.insert(worker.clone());
        self.balance_may_be_due = true;
        self.room_appeared();
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
            last_generation: None,
            moving: None,
            checkpoint: None,
            checkpoint_applied: 0,
            checkpoint_tick: 0,
            checkpoints: Vec::new(),
            lost: None,
            recovery: None,
            recorded: Vec::new(),
            recorded_to: Vec::new(),
            horizon_tick: created.order.horizon_tick,
            tick: 0,
            queued_at: created.queued.then_some(index),
            created_ms: self.time_ms,
            process: None,
            calls_started: 0,
            atp: AtpWatch::default(),
            monitor_seconds: 0,
            packages: Vec::new(),
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
        let mut generation = Generation { incarnation: self.incarnation, index };
        if is_on(Mutant::GenerationReused) {
            generation.index = 1 + self.vm(key).map_or(0, |vm| vm.last_ordinal);
        }
        if self.vm(key).is_some_and(|vm| vm.placement.is_some()) {
            // It leaves room where it was.
            self.forget(key);
            self.room_appeared();
        }
        self.edit(index, key, |vm| {
            let (worker, boot) = (worker.clone(), boot.clone());
            let (observed, applied) = (ObservedState::Absent, vm.checkpoint_applied);
            let (expired_ms, over) = (None, false);
            vm.note_guest(generation);
            vm.placement = Some(Placement { worker, boot, generation, observed, applied, expired_ms, over });
            (vm.lost, vm.recovery, vm.moving) = (None, None, None);
            if !vm.goes_on() {
                vm.desired = DesiredState::Running;
            }
            if !matches!(vm.state, VmState::Running | VmState::Paused) {
                vm.state = VmState::Starting;
            }
            vm.reason = None;
            if let Some(process) = &mut vm.process {
                process.generation.get_or_insert(generation);
            }
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
        let time_ms = self.time_ms;
        self.edit(index, key, |vm| {
            vm.desired = desired;
            vm.held = held;
            vm.queued_at = None;
            if at_once {
                vm.lose_placement(time_ms);
            }
            vm.state = match (desired, at_once) {
                (DesiredState::Running | DesiredState::Paused, _) => vm.state,
                (DesiredState::Stopped, true) => VmState::Stopped,
                (DesiredState::Stopped, false) => VmState::Stopping,
                (DesiredState::Absent, true) => VmState::Destroyed,
                (DesiredState::Absent, false) => VmState::Destroying,
            };
            if !matches!(desired, DesiredState::Running | DesiredState::Paused) {
                (vm.reason, vm.moving) = (None, None);
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
        self.room_appeared();
        self.touched.workers.insert(worker.clone());
        let time_ms = self.time_ms;
        let placed: Vec<VmKey> = self.placed_on(worker, boot).map(|vm| vm.key.clone()).collect();
        for key in placed {
            self.edit(index, &key, |vm| {
                // Should the boot come back, its word is asked for.
                if let Some(at) = &mut vm.placement {
                    at.observed = ObservedState::Absent;
                    at.expired_ms = Some(time_ms);
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
        if vm.state == VmState::Destroyed {
            vm.lost = None;
            vm.checkpoints.clear();
        }
        self.book(&vm);
        self.touch(key);
        if vm.held.lacks(held_before) != Amounts::NOTHING || vm.state == VmState::Queued {
            self.room_appeared();
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
        if vm.lost.is_some() {
            self.lost.insert(vm.key.clone());
        }
        if vm.is_displaced() {
            self.displaced.insert(vm.key.clone());
        }
        if vm.moving.is_some() {
            self.moving.insert(vm.key.clone());
        }
    }

    fn unbook(&mut self, vm: &Vm) {
        if let Some(process) = vm.running_process() {
            self.processes.remove(&(process.deadline_ms, vm.key.clone()));
        }
        self.lost.remove(&vm.key);
        self.displaced.remove(&vm.key);
        self.moving.remove(&vm.key);
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
}

/// Whether the VM's worker must hear of the entry. Of its own observations only what it keeps until confirmed.
fn changes_level(entry: &Entry) -> bool {
    match entry {
        Entry::Observed(seen) => {
            !seen.applied_at.is_empty() || seen.checkpoint.is_some() || seen.process.is_some()
        }
        Entry::Placed { .. }
        | Entry::Moving { .. }
        | Entry::Desired { .. }
        | Entry::Allocated { .. }
        | Entry::Monitored { .. }
        | Entry::Installed { .. }
        | Entry::ProcessLost { .. } => true,
        _ => false,
    }
}
