//! Whose a guest is that a worker finds on a pool and does not hold. Pure: the worker says what claims it, the fleet whether
//! anybody is served by it.
//!
//! ```text
//!   VM of that key                            told, against the generation known      it is
//!   none, basic, destroyed                    any                                     nobody's
//!   any other                                 higher                                  not ours to judge: kept
//!   placed                                    the same                                its VM's
//!   placed, its worker has not told of it     lower                                   about to be taken over: kept
//!   placed, running or paused; destroying     lower                                   nobody's: the VM has another
//!   created and never placed                  any                                     nobody's: an earlier VM's of that name
//!   queued, stopped, unknown                  the same / lower                        its VM's / nobody's
//!   stopped, on a pool that it brought along  any                                     nobody's
//!   completed, failed                         the same or lower                       nobody's
//! ```
//!
//! The generation known is that of the placement, or of the last one where the VM is placed nowhere. It is only as true as
//! the fleet is the newest: an answer leaves behind an append, as a lease does.

use bioxen_protocol::command::VmType;
use bioxen_protocol::id::{Generation, VmKey};
use bioxen_protocol::pool::XcpngPool;
use bioxen_protocol::state::VmState;
use bioxen_protocol::worker::ObservedState;

use super::Fleet;
use super::vm::Vm;

impl Fleet {
    /// Of the guests that a worker found, those that no VM is served by.
    pub fn unowned(&self, found: &[(VmKey, Generation)]) -> Vec<(VmKey, Generation)> {
        found.iter().filter(|(key, generation)| !self.owns_guest(key, *generation)).cloned().collect()
    }

    fn owns_guest(&self, key: &VmKey, told: Generation) -> bool {
        let Some(vm) = self.vm(key).filter(|vm| vm.order.vm_type == VmType::Xcpng) else { return false };
        if vm.state == VmState::Destroyed {
            return false;
        }
        let known = vm.placement.as_ref().map_or(vm.last_generation, |at| Some(at.generation));
        let Some(known) = known else { return false };
        told > known || vm.keeps_guest(told == known)
    }
}

impl Vm {
    /// It is placed. Of basic VMs nobody asks, and their rows stay as earlier versions wrote them.
    pub(super) fn note_guest(&mut self, generation: Generation) {
        self.last_generation = (self.order.vm_type == VmType::Xcpng).then_some(generation);
    }

    /// Whether it is served by a guest of its present (or last) generation, or of a lower one.
    fn keeps_guest(&self, is_present: bool) -> bool {
        match &self.placement {
            Some(_) if is_present => true,
            // A worker tells that a VM runs once its own claim stands on a guest; before, it may be about to take this one.
            Some(at) => {
                let has_its_own = matches!(at.observed, ObservedState::Running | ObservedState::Paused);
                !has_its_own && self.state != VmState::Destroying
            }
            None => {
                let stays = match self.state {
                    VmState::Queued | VmState::Unknown => true,
                    VmState::Stopped => !matches!(self.order.pool, Some(XcpngPool::Own(_))),
                    _ => false,
                };
                is_present && stays && !self.is_completed()
            }
        }
    }
}
