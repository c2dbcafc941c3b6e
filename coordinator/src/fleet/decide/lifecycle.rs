//! `pause`, `resume`, `stop`, `destroy`: what is desired of a VM. What it holds is given back when its worker confirms,
//! or at once where no worker can have it any more.

use bioxen_mutants::{Mutant, is_on};
use bioxen_protocol::command::Verb;
use bioxen_protocol::state::VmState;
use bioxen_protocol::worker::DesiredState;

use super::{Decided, wrong_state};
use crate::fleet::Fleet;
use crate::fleet::amounts::Amounts;
use crate::fleet::command::{Answer, Goal};
use crate::fleet::entry::{Cause, Entry};
use crate::fleet::rejection::Rejection;
use crate::fleet::vm::Vm;

pub(super) fn decide_pause(cause: &Cause, vm: &Vm) -> Result<Decided, Rejection> {
    match vm.state {
        VmState::Starting | VmState::Running => {
            Ok(desire(cause, vm, DesiredState::Paused, vm.held, Goal::Paused))
        }
        _ => Err(wrong_state(vm, Verb::Pause)),
    }
}

pub(super) fn decide_resume(cause: &Cause, vm: &Vm) -> Result<Decided, Rejection> {
    // A pause that its worker has not confirmed yet may be taken back.
    let pausing =
        vm.desired == DesiredState::Paused && matches!(vm.state, VmState::Starting | VmState::Running);
    if vm.state == VmState::Paused || pausing {
        Ok(desire(cause, vm, DesiredState::Running, vm.held, Goal::Running))
    } else {
        Err(wrong_state(vm, Verb::Resume))
    }
}

impl Fleet {
    pub(in crate::fleet) fn decide_stop(&self, cause: &Cause, vm: &Vm) -> Result<Decided, Rejection> {
        let held = match vm.state {
            VmState::Queued => Amounts::NOTHING,
            VmState::Starting | VmState::Running | VmState::Paused | VmState::Unknown => {
                if self.may_still_run(vm) { vm.held } else { Amounts::SLOT }
            }
            _ => return Err(wrong_state(vm, Verb::Stop)),
        };
        Ok(desire(cause, vm, DesiredState::Stopped, held, Goal::Stopped))
    }

    pub(in crate::fleet) fn decide_destroy(&self, cause: &Cause, vm: &Vm) -> Result<Decided, Rejection> {
        // Under a request id it is remembered: a late repeat must not destroy a VM that was made anew.
        if vm.state == VmState::Destroyed && cause.request.is_none() {
            let answer = Answer::Reach { vm: vm.key.vm.clone(), goal: Goal::Destroyed };
            return Ok(Decided { entries: Vec::new(), answer });
        }
        let held = if self.may_still_run(vm) { vm.held } else { Amounts::NOTHING };
        Ok(desire(cause, vm, DesiredState::Absent, held, Goal::Destroyed))
    }

    /// Whether some worker may still commit for the VM.
    fn may_still_run(&self, vm: &Vm) -> bool {
        if is_on(Mutant::ReleaseAtAcceptance) {
            return false;
        }
        vm.placement.as_ref().is_some_and(|at| {
            let worker = self.workers.get(&at.worker);
            !at.over && worker.is_some_and(|worker| worker.boot == at.boot && worker.live)
        })
    }
}

fn desire(cause: &Cause, vm: &Vm, desired: DesiredState, held: Amounts, goal: Goal) -> Decided {
    let entry = Entry::Desired { cause: cause.clone(), key: vm.key.clone(), desired, held };
    Decided { entries: vec![entry], answer: Answer::Reach { vm: vm.key.vm.clone(), goal } }
}
