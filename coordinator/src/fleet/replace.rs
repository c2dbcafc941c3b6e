//! VMs whose worker is lost: placed anew, once nothing can commit for them any more.

use bioxen_protocol::worker::DesiredState;

use super::Fleet;
use super::amounts::Amounts;
use super::entry::Entry;
use super::vm::Vm;

impl Fleet {
    /// The entries that place the next VM of a lost worker on another one, if one has room. They come before whoever waits
    /// in the queue: these have their reservations already.
    ///
    /// A process that ran in it was never told to have ended: it is not run again.
    pub fn next_to_replace(&self) -> Option<Vec<Entry>> {
        if !self.room_may_have_appeared {
            return None;
        }
        let lost = self.unknown.iter().filter_map(|key| self.vm(key));
        lost.filter_map(|vm| self.replacement(vm)).next()
    }

    /// Whether a VM of a lost worker could run elsewhere now.
    pub fn could_replace(&self, vm: &Vm) -> bool {
        self.replacement(vm).is_some()
    }

    fn replacement(&self, vm: &Vm) -> Option<Vec<Entry>> {
        if !matches!(vm.desired, DesiredState::Running | DesiredState::Paused) {
            return None;
        }
        let held = vm.holdings_to_start();
        let more = vm.held.lacks(held);
        if more != Amounts::NOTHING {
            self.check_limits(&vm.key.user, more).ok()?;
        }
        let (worker, boot) = self.place(vm.order.vm_type, held.ribosomes).ok()?;
        let key = vm.key.clone();
        let lost = vm.running_process();
        let lost = lost.map(|process| Entry::ProcessLost { key: key.clone(), number: process.number });
        let placed = Entry::Placed { key: key.clone(), worker, boot, held };
        Some(lost.into_iter().chain([placed]).collect())
    }
}
