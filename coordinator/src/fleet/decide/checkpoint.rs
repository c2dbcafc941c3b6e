//! `checkpoint` and `restore`: a cell kept by name, and a VM put back to it.
//!
//! A VM is restored where no worker has it. Whatever it held there was given back and what it recorded stored before, so
//! nothing but the VM itself changes; `start` takes what the checkpoint's allocation needs.

use bioxen_protocol::command::{CheckpointId, Verb};
use bioxen_protocol::state::VmState;

use super::{Decided, wrong_state};
use crate::fleet::Fleet;
use crate::fleet::checkpoint::{Live, Taken, TakenAs};
use crate::fleet::command::Answer;
use crate::fleet::entry::{Cause, Checkpointed, Entry};
use crate::fleet::home::Home;
use crate::fleet::rejection::{NoCheckpoint, Rejection};
use crate::fleet::vm::Vm;

impl Fleet {
    /// `live`: the cell as its worker gave it, and the placement in which it did; at rest the VM's own is kept.
    pub(super) fn decide_checkpoint(
        &self,
        cause: &Cause,
        vm: &Vm,
        live: Option<&Live>,
    ) -> Result<Decided, Rejection> {
        let taken = match (vm.state, live) {
            (VmState::Running | VmState::Paused, _) if vm.order.record.is_some() => {
                return Err(none(vm, NoCheckpoint::Records));
            }
            (VmState::Running | VmState::Paused, Some(live)) => {
                let is_current = vm.placement.as_ref().is_some_and(|at| at.generation == live.generation);
                if !is_current || live.taken.applied < vm.checkpoint_applied {
                    return Err(none(vm, NoCheckpoint::Moved));
                }
                live.taken.clone()
            }
            (VmState::Running | VmState::Paused, None) => {
                return Err(none(vm, NoCheckpoint::Moved));
            }
            (VmState::Stopped | VmState::Failed, _) => at_rest(vm)?,
            _ => return Err(wrong_state(vm, Verb::Checkpoint)),
        };
        let answer = Answer::Checkpointed {
            vm: vm.key.vm.clone(),
            checkpoint: CheckpointId(self.next_index),
            taken: TakenAs::of(&taken),
        };
        let (cause, key) = (cause.clone(), vm.key.clone());
        let entry = Entry::Checkpointed(Box::new(Checkpointed { cause, key, taken }));
        Ok(Decided { entries: vec![entry], answer })
    }
}

fn none(vm: &Vm, why: NoCheckpoint) -> Rejection {
    Rejection::Checkpoint { vm: vm.key.vm.clone(), why }
}

/// What it stands at where no worker has it.
fn at_rest(vm: &Vm) -> Result<Taken, Rejection> {
    if vm.lost.is_some() {
        return Err(none(vm, NoCheckpoint::Searching));
    }
    let bytes = vm.checkpoint.clone().ok_or_else(|| none(vm, NoCheckpoint::AtStart))?;
    Ok(Taken::new(bytes, vm.checkpoint_tick, vm.checkpoint_applied))
}

impl Fleet {
    /// `home`: where it shall run from then on, where that is asked for.
    pub(super) fn decide_restore(
        &self,
        cause: &Cause,
        vm: &Vm,
        checkpoint: CheckpointId,
        home: Option<&Home>,
    ) -> Result<Decided, Rejection> {
        if !matches!(vm.state, VmState::Stopped | VmState::Failed) {
            return Err(wrong_state(vm, Verb::Restore));
        }
        let Some(named) = vm.checkpoints.iter().find(|named| named.id() == checkpoint) else {
            let kept = vm.checkpoints.iter().map(|named| named.id()).collect();
            return Err(none(vm, NoCheckpoint::Unknown { checkpoint, kept }));
        };
        let rehomed = home.map_or(Ok(None), |home| self.decide_home(vm, home))?;
        let (tick, allocation) = (named.taken.tick, named.allocation);
        let (cause, key) = (cause.clone(), vm.key.clone());
        let answer =
            Answer::Restored { vm: key.vm.clone(), state: VmState::Stopped, checkpoint, tick, allocation };
        let restored = Entry::Restored { cause, key, checkpoint, tick, allocation };
        Ok(Decided { entries: std::iter::once(restored).chain(rehomed).collect(), answer })
    }
}
