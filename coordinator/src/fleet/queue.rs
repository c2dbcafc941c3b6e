//! VMs that wait for room, started by priority and then age.
//!
//! A VM that only its own user's limit holds back does not hold back others. One that waits for room in the fleet or on
//! a worker does: smaller ones behind it would otherwise keep it waiting for ever.

use bioxen_protocol::id::{UserId, VmId, VmKey};

use super::Fleet;
use super::entry::Entry;
use super::rejection::Rejection;
use super::vm::Vm;

impl Fleet {
    /// The entry that starts the next waiting VM, if there is room for one.
    pub fn next_from_queue(&self) -> Option<Entry> {
        if !self.room_may_have_appeared {
            return None;
        }
        let mut heads: Vec<(u8, u64, &UserId, &VmId)> = self
            .waiting_users
            .iter()
            .filter_map(|user| {
                let (priority, index, vm) = self.accounts.get(user)?.queued.first()?;
                Some((*priority, *index, user, vm))
            })
            .collect();
        heads.sort();
        for (_, _, user, vm) in heads {
            let vm = self.accounts.get(user)?.vms.get(vm)?;
            match self.room_for(vm) {
                Ok(entry) => return Some(entry),
                Err(Rejection::User { .. } | Rejection::AboveAnyWorker { .. }) => {}
                Err(_) => return None,
            }
        }
        None
    }

    /// The placing of a VM that holds nothing yet.
    fn room_for(&self, vm: &Vm) -> Result<Entry, Rejection> {
        let held = vm.holdings_to_start();
        self.check_limits(&vm.key.user, vm.held.lacks(held))?;
        let (worker, boot) = self.place(vm.order.vm_type, held.ribosomes)?;
        Ok(Entry::Placed { key: vm.key.clone(), worker, boot, held })
    }

    /// The place of a waiting VM among all that wait, from 1.
    pub fn queue_position(&self, key: &VmKey) -> Option<u64> {
        let vm = self.accounts.get(&key.user)?.vms.get(&key.vm)?;
        let own = (vm.order.priority, vm.queued_at?);
        let ahead: usize = self
            .waiting_users
            .iter()
            .filter_map(|user| self.accounts.get(user))
            .map(|account| {
                account.queued.iter().take_while(|(priority, index, _)| (*priority, *index) < own).count()
            })
            .sum();
        u64::try_from(ahead).ok().map(|ahead| ahead + 1)
    }
}

impl Fleet {
    /// The place that a VM queued now would get.
    pub(super) fn position_of_next(&self, priority: u8) -> u64 {
        self.queued_by_priority.range(..=priority).map(|(_, count)| count).sum::<u64>() + 1
    }
}
