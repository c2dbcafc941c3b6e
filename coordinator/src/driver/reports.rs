//! What workers report: registration, heartbeats, how their VMs stand.

use std::time::Instant;

use bioxen_protocol::id::{BootId, Generation, VmKey, WorkerId};
use bioxen_protocol::limits::LEASE;
use bioxen_protocol::worker::{Observation, ObservedState, Register, WorkerCommand, WorkerReport};

use super::{Driver, DriverError, State};
use crate::answer::outbox::Outgoing;
use crate::fleet::Forget;
use crate::fleet::command::Command;
use crate::fleet::entry::Entry;
use crate::intake::Report;
use crate::journal::Batch;
use crate::journal::batch::MAX_ENTRY_BYTES;

/// VMs of one boot that are told their level again with a heartbeat, and given up with an inventory: bounds a batch. The
/// rest has its turn a heartbeat later.
const VMS_AT_ONCE: usize = 256;
/// Reports put off while the batch is full; beyond it they are dropped, for levels are told again.
const PUT_OFF: usize = 4_096;

impl Driver {
    /// Takes a report. A heartbeat is always heard, or a batch that stays full would look like every worker dying.
    pub(super) fn take_report(
        &mut self,
        state: &mut State,
        report: Report,
        open: bool,
    ) -> Result<(), DriverError> {
        let is_heartbeat = matches!(report.report, WorkerReport::Heartbeat(_));
        if !open && !is_heartbeat {
            if state.put_off.len() < PUT_OFF {
                state.put_off.push_back(report);
            }
            return Ok(());
        }
        let Report { worker, boot, report } = report;
        match report {
            WorkerReport::Register(register) => self.register(state, worker, boot, &register),
            WorkerReport::Heartbeat(heartbeat) => {
                if !self.is_registered(&worker, &boot) {
                    let command = WorkerCommand::RegisterAgain { epoch: state.epoch };
                    state.filling.effects.push(Outgoing::Worker { worker, boot, command });
                    return Ok(());
                }
                self.grant(state, &worker, &boot, heartbeat.number);
                self.tell_unsettled(state, &worker, &boot);
                if heartbeat.inventory != self.fleet.inventory_of(&worker, &boot) {
                    let command = WorkerCommand::SendInventory { epoch: state.epoch };
                    state.filling.effects.push(Outgoing::Worker { worker, boot, command });
                }
                Ok(())
            }
            WorkerReport::Unconfirmed { vms } => {
                self.confirm(state, &worker, &boot, vms);
                Ok(())
            }
            WorkerReport::Observed { vms, .. } => self.observe_all(state, &worker, &boot, vms),
            WorkerReport::Guests { incarnation, vms } => {
                self.tell_unowned(state, worker, boot, incarnation, &vms);
                Ok(())
            }
            WorkerReport::Leaving {} => self.worker_leaves(state, worker, boot),
            WorkerReport::Goodbye {} => self.worker_ended(state, worker, boot),
            // What is missing from it shows nothing: an order may have crossed it. That is told again, and answered.
            WorkerReport::Inventory { vms } => {
                self.observe_all(state, &worker, &boot, vms)?;
                self.tell_unsettled(state, &worker, &boot);
                Ok(())
            }
        }
    }

    pub(super) fn is_registered(&self, worker: &WorkerId, boot: &BootId) -> bool {
        self.fleet.workers.get(worker).is_some_and(|known| known.boot == *boot && known.live)
    }

    fn register(
        &mut self,
        state: &mut State,
        worker: WorkerId,
        boot: BootId,
        register: &Register,
    ) -> Result<(), DriverError> {
        let now = Instant::now();
        if let Some((holder, left)) = state.leases.held_by_other(&worker, &boot, now) {
            let retry_after_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
            let command =
                WorkerCommand::BootRefused { epoch: state.epoch, holder: holder.to_string(), retry_after_ms };
            state.filling.effects.push(Outgoing::Worker { worker, boot, command });
            return Ok(());
        }
        let capacity = register.capacity.clone();
        tracing::info!(worker.id = %worker, boot.id = %boot, max_vms = capacity.max_vms, usable_ribosomes = capacity.usable_ribosomes, "worker registers");
        let command = Command::Register { worker: worker.clone(), boot: boot.clone(), capacity };
        self.take(state, &command)?;
        self.grant(state, &worker, &boot, register.number);
        Ok(())
    }

    fn grant(&self, state: &mut State, worker: &WorkerId, boot: &BootId, heartbeat: u64) {
        state.leases.heard(worker.clone(), boot.clone(), Instant::now());
        let command = WorkerCommand::Grant {
            incarnation: self.fleet.incarnation,
            epoch: state.epoch,
            heartbeat,
            lease_ms: u64::try_from(LEASE.as_millis()).unwrap_or(u64::MAX),
            registration: self.fleet.registration(worker, boot),
            fleet: self.fleet_id.clone(),
        };
        state.filling.grants.push(Outgoing::Worker { worker: worker.clone(), boot: boot.clone(), command });
    }

    fn observe_all(
        &mut self,
        state: &mut State,
        worker: &WorkerId,
        boot: &BootId,
        vms: Vec<Observation>,
    ) -> Result<(), DriverError> {
        let mut vms = vms.into_iter();
        while let Some(observation) = vms.next() {
            self.observe(state, worker, boot, observation)?;
            if state.filling.is_full() && vms.len() > 0 {
                let incarnation = self.fleet.incarnation;
                let report = WorkerReport::Observed { incarnation, vms: vms.collect() };
                state.put_off.push_front(Report { worker: worker.clone(), boot: boot.clone(), report });
                break;
            }
        }
        Ok(())
    }

    fn observe(
        &mut self,
        state: &mut State,
        worker: &WorkerId,
        boot: &BootId,
        observation: Observation,
    ) -> Result<(), DriverError> {
        let (key, generation) = (observation.key.clone(), observation.generation);
        if !self.fleet.is_current(worker, boot, &key, generation) {
            if observation.state != ObservedState::Absent {
                let (worker, boot) = (worker.clone(), boot.clone());
                tell_to_give_up(state, Forget { worker, boot, key, generation });
            }
            return Ok(());
        }
        if !observation.applied_at.is_empty() {
            state.filling.tell_again.insert(key);
        }
        let (worker, boot) = (worker.clone(), boot.clone());
        self.take(state, &Command::Observe { worker, boot, observation: Box::new(observation) })
    }

    /// VMs that stand still at a boot that registered anew: what is placed there goes on, the rest is given up.
    fn confirm(&self, state: &mut State, worker: &WorkerId, boot: &BootId, vms: Vec<(VmKey, Generation)>) {
        for (key, generation) in vms.into_iter().take(VMS_AT_ONCE) {
            if self.fleet.is_current(worker, boot, &key, generation) {
                state.filling.tell_again.insert(key);
            } else {
                let (worker, boot) = (worker.clone(), boot.clone());
                tell_to_give_up(state, Forget { worker, boot, key, generation });
            }
        }
    }

    /// Guests that nobody has. As a lease it is told behind an append that was sent after the report came: whoever was
    /// deposed does not know whose they are by now.
    fn tell_unowned(
        &self,
        state: &mut State,
        worker: WorkerId,
        boot: BootId,
        incarnation: u64,
        found: &[(VmKey, Generation)],
    ) {
        if incarnation != self.fleet.incarnation || !self.is_registered(&worker, &boot) {
            return;
        }
        let vms = self.fleet.unowned(found);
        if !vms.is_empty() {
            let command = WorkerCommand::Unowned { epoch: state.epoch, vms };
            state.filling.grants.push(Outgoing::Worker { worker, boot, command });
        }
    }

    /// Tells the levels of VMs that do not stand as desired once more: the message before may have been lost.
    fn tell_unsettled(&self, state: &mut State, worker: &WorkerId, boot: &BootId) {
        let unsettled = self.fleet.placed_on(worker, boot).filter(|vm| !vm.is_settled());
        let keys: Vec<VmKey> = unsettled.take(VMS_AT_ONCE).map(|vm| vm.key.clone()).collect();
        for key in &keys {
            self.tell_process(state, key);
        }
        state.filling.tell_again.extend(keys);
    }

    /// Boots whose lease and grace are over.
    pub(super) fn expire_workers(&mut self, state: &mut State) -> Result<(), DriverError> {
        for (worker, boot) in state.leases.expired(Instant::now(), self.connection.healthy_since()) {
            tracing::warn!(worker.id = %worker, boot.id = %boot, "the worker's lease and grace are over");
            self.take(state, &Command::Expire { worker, boot })?;
        }
        Ok(())
    }

    /// A new leader counts every lease anew: it does not know what the one before granted.
    pub(super) fn count_leases_anew(&self, state: &mut State) {
        let now = Instant::now();
        for (worker, known) in self.fleet.workers.iter().filter(|(_, known)| known.live) {
            state.leases.heard(worker.clone(), known.boot.clone(), now);
        }
    }

    /// Has every worker beat at once: what the leader before granted runs out.
    pub(super) fn ask_for_heartbeats(&self, state: &mut State) {
        for (worker, known) in self.fleet.workers.iter().filter(|(_, known)| known.live) {
            let (worker, boot) = (worker.clone(), known.boot.clone());
            let command = WorkerCommand::Beat { epoch: state.epoch };
            state.filling.effects.push(Outgoing::Worker { worker, boot, command });
        }
    }

    /// Decides on what nobody waits for. The core never refuses a report.
    pub(super) fn take(&mut self, state: &mut State, command: &Command) -> Result<(), DriverError> {
        let Ok(decided) = self.fleet.decide(self.now_ms(), command) else { return Ok(()) };
        for entry in decided.entries {
            let bytes = Batch::entry_bytes(&entry)?;
            if bytes > MAX_ENTRY_BYTES {
                tracing::warn!(
                    bytes,
                    most = MAX_ENTRY_BYTES,
                    "a worker's report is too large for the journal: dropped"
                );
                return Ok(());
            }
            let called = if let Entry::CallStarted { key, .. } = &entry { Some(key.clone()) } else { None };
            self.evolve(state, entry)?;
            if let Some(key) = called {
                self.tell_process(state, &key);
            }
        }
        Ok(())
    }
}

fn tell_to_give_up(state: &mut State, gone: Forget) {
    let level = gone.level();
    let Forget { worker, boot, .. } = gone;
    // To give up is right under any registration.
    let command = WorkerCommand::Desire { epoch: state.epoch, registration: 0, vms: vec![level] };
    state.filling.effects.push(Outgoing::Worker { worker, boot, command });
}
