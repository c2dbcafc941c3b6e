//! VMs on their way between workers: what operators ask, what workers say that end, and the placing that follows. What may
//! move, and where to, is the core's.

use bioxen_protocol::error::{Code, ErrorBody};
use bioxen_protocol::id::{BootId, OperatorId, UserId, VmKey, WorkerId};
use bioxen_protocol::reply::Moving;
use bioxen_protocol::worker::WorkerCommand;

use super::{Driver, DriverError, State};
use crate::answer::outbox::Outgoing;
use crate::answer::{Reply, errors, reads};
use crate::fleet::command::Command;
use crate::fleet::movement::Cordon;
use crate::intake::Incoming;

impl Driver {
    /// Asks workers for VMs that shall move, and places those that have left theirs, as far as the batch has room.
    pub(super) fn place_again(&mut self, state: &mut State) -> Result<(), DriverError> {
        if state.filling.is_full() {
            return Ok(());
        }
        for entry in self.fleet.next_moves() {
            self.evolve(state, entry)?;
        }
        while !state.filling.is_full()
            && let Some(entries) = self.fleet.next_replacement()
        {
            for entry in entries {
                self.evolve(state, entry)?;
            }
        }
        if !state.filling.is_full() {
            self.fleet.places_are_blocked();
        }
        Ok(())
    }

    pub(super) fn cordon(
        &mut self,
        state: &mut State,
        mut incoming: Incoming,
        worker: WorkerId,
        cordon: Cordon,
    ) -> Result<(), DriverError> {
        let (operator, user) = match operator_of(&incoming) {
            Ok(found) => found,
            Err(error) => return self.refuse(state, incoming, error),
        };
        // The subject's target is a worker, no user.
        incoming.user = operator.as_str().parse().unwrap_or(incoming.user);
        match self.operate(state, &Command::Cordon { operator, worker, cordon }, &user)? {
            Err(error) => self.refuse(state, incoming, error),
            Ok(()) => {
                let reply = Reply::Workers { workers: reads::workers(&self.fleet) };
                state.filling.effects.push(Outgoing::Reply(incoming.reply_to, reply));
                Ok(())
            }
        }
    }

    pub(super) fn move_vm(
        &mut self,
        state: &mut State,
        incoming: Incoming,
        key: VmKey,
        to: Option<WorkerId>,
    ) -> Result<(), DriverError> {
        let (operator, user) = match operator_of(&incoming) {
            Ok(found) => found,
            Err(error) => return self.refuse(state, incoming, error),
        };
        let command = Command::Move { operator, key: key.clone(), to: to.clone() };
        let asked = self.operate(state, &command, &user)?;
        let found = self.fleet.vm(&key).and_then(|vm| Some((vm, vm.placement.as_ref()?)));
        match (asked, found) {
            (Err(error), _) => self.refuse(state, incoming, error),
            (Ok(()), None) => Ok(()),
            (Ok(()), Some((vm, at))) => {
                let (from, vm_state) = (at.worker.clone(), vm.state);
                let moving = Moving { user: key.user, vm_id: key.vm, state: vm_state, from, to };
                state.filling.effects.push(Outgoing::Reply(incoming.reply_to, Reply::Moving(moving)));
                Ok(())
            }
        }
    }

    fn operate(
        &mut self,
        state: &mut State,
        command: &Command,
        user: &UserId,
    ) -> Result<Result<(), ErrorBody>, DriverError> {
        let decided = match self.fleet.decide(self.now_ms(), command) {
            Ok(decided) => decided,
            Err(rejection) => return Ok(Err(errors::error(&rejection, user.as_str()))),
        };
        for entry in decided.entries {
            self.evolve(state, entry)?;
        }
        Ok(Ok(()))
    }

    /// A worker is about to end: its VMs move away, and it hears whether it is to wait for that.
    pub(super) fn worker_leaves(
        &mut self,
        state: &mut State,
        worker: WorkerId,
        boot: BootId,
    ) -> Result<(), DriverError> {
        let epoch = state.epoch;
        if !self.is_registered(&worker, &boot) {
            let command = WorkerCommand::Leave { epoch, may_go: true };
            state.filling.effects.push(Outgoing::Worker { worker, boot, command });
            return Ok(());
        }
        self.take(state, &Command::Leave { worker: worker.clone(), boot: boot.clone() })?;
        self.place_again(state)?;
        let may_go = self.fleet.may_go(&worker, &boot);
        let command = WorkerCommand::Leave { epoch, may_go };
        state.filling.effects.push(Outgoing::Worker { worker, boot, command });
        Ok(())
    }

    /// A worker has ended: what it had packed is all that there is of its VMs.
    pub(super) fn worker_ended(
        &mut self,
        state: &mut State,
        worker: WorkerId,
        boot: BootId,
    ) -> Result<(), DriverError> {
        tracing::info!(worker.id = %worker, boot.id = %boot, "the worker has ended");
        state.leases.ended(&worker, &boot);
        self.take(state, &Command::Expire { worker, boot })
    }
}

/// Who acts, and whose account a refusal stands under.
fn operator_of(incoming: &Incoming) -> Result<(OperatorId, UserId), ErrorBody> {
    let refused = || ErrorBody::new(Code::PermissionDenied, "only an operator may do that");
    let operator = incoming.operator.clone().ok_or_else(refused)?;
    Ok((operator, incoming.user.clone()))
}
