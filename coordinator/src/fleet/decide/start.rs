//! `start`: takes what the VM lacks, and a worker; or a place in the user's backlog.

use bioxen_protocol::command::{OnFull, Verb};
use bioxen_protocol::state::VmState;

use super::{Decided, wrong_state};
use crate::fleet::Fleet;
use crate::fleet::amounts::Amounts;
use crate::fleet::command::{Answer, Goal};
use crate::fleet::entry::{Cause, Entry};
use crate::fleet::rejection::{NoCheckpoint, Rejection};
use crate::fleet::vm::Vm;

impl Fleet {
    pub(super) fn decide_start(
        &self,
        cause: &Cause,
        vm: &Vm,
        on_full: OnFull,
        horizon_tick: Option<u64>,
    ) -> Result<Decided, Rejection> {
        if !matches!(vm.state, VmState::Created | VmState::Stopped | VmState::Failed) {
            return Err(wrong_state(vm, Verb::Start));
        }
        if vm.lost.is_some() {
            return Err(Rejection::Checkpoint { vm: vm.key.vm.clone(), why: NoCheckpoint::Searching });
        }
        let horizon = horizon_tick.or(vm.horizon_tick);
        let has_divided = vm.is_completed() && vm.order.horizon_generations.is_some();
        if has_divided || horizon.is_some_and(|horizon| horizon <= vm.tick) {
            let vm_id = vm.key.vm.clone();
            return Err(Rejection::HorizonReached { vm: vm_id, tick: vm.tick, horizon_tick: horizon });
        }
        let key = vm.key.clone();
        let answer = Answer::Reach { vm: key.vm.clone(), goal: Goal::Running };
        let entries = match self.room_to_start(vm) {
            Ok(placed) => vec![Entry::Started { cause: cause.clone(), key, horizon_tick }, placed],
            Err(reason)
                if on_full == OnFull::Reject || matches!(reason, Rejection::AboveAnyWorker { .. }) =>
            {
                return Err(reason);
            }
            Err(_) => {
                self.check_backlog(&key.user, 1)?;
                vec![Entry::Queued { cause: cause.clone(), key, held: Amounts::NOTHING, horizon_tick }]
            }
        };
        Ok(Decided { entries, answer })
    }

    fn room_to_start(&self, vm: &Vm) -> Result<Entry, Rejection> {
        let held = vm.holdings_to_start();
        self.check_limits(&vm.key.user, vm.held.lacks(held))?;
        let (worker, boot) = self.place(&vm.order, held.ribosomes)?;
        Ok(Entry::Placed { key: vm.key.clone(), worker, boot, held })
    }
}
