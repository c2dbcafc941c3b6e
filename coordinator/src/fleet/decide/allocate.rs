//! `allocate`: absolute amounts, all or nothing. More is taken now; less is given back when the worker confirms.

use bioxen_mutants::{Mutant, is_on};
use bioxen_protocol::command::{AllocationRequest, Verb};
use bioxen_protocol::state::VmState;
use bioxen_protocol::worker::CellAllocation;

use super::create::within_most;
use super::{Decided, wrong_state};
use crate::fleet::Fleet;
use crate::fleet::amounts::Amounts;
use crate::fleet::command::Answer;
use crate::fleet::entry::{Cause, Entry};
use crate::fleet::rejection::Rejection;
use crate::fleet::vm::Vm;

impl Fleet {
    pub(super) fn decide_allocate(
        &self,
        cause: &Cause,
        vm: &Vm,
        request: AllocationRequest,
    ) -> Result<Decided, Rejection> {
        let stands =
            matches!(vm.state, VmState::Created | VmState::Starting | VmState::Running | VmState::Paused);
        if !stands {
            return Err(wrong_state(vm, Verb::Allocate));
        }
        if vm.order.schedule.iter().any(|change| change.allocation.is_some()) {
            return Err(Rejection::Scheduled { vm: vm.key.vm.clone() });
        }
        let allocation = merged(vm.allocation, request);
        within_most(allocation, vm.most)?;
        let asked = Amounts::of(allocation);
        let more = vm.held.lacks(asked);
        self.check_limits(&vm.key.user, more)?;
        if let Some(at) = &vm.placement {
            self.grow_in_place(&at.worker, &at.boot, more.ribosomes)?;
        }
        let (ordinal, held) = match vm.placement {
            None => (0, asked),
            Some(_) if is_on(Mutant::DecreaseAtAcceptance) => (vm.last_ordinal + 1, asked),
            Some(_) => (vm.last_ordinal + 1, vm.held.most_of(asked)),
        };
        let key = vm.key.clone();
        let answer = Answer::Allocated { vm: key.vm.clone(), state: vm.state, allocation };
        let entry = Entry::Allocated { cause: cause.clone(), key, ordinal, allocation, held };
        Ok(Decided { entries: vec![entry], answer })
    }
}

fn merged(now: CellAllocation, request: AllocationRequest) -> CellAllocation {
    CellAllocation {
        atp_millipercent: request.atp_percentage.map_or(now.atp_millipercent, |atp| atp.0),
        ribosomes: request.ribosomes.unwrap_or(now.ribosomes),
        memory_kb: request.memory_kb.unwrap_or(now.memory_kb),
    }
}
