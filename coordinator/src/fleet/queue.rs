//! VMs that wait for room, started by priority and then age.
//!
//! A VM that only its own user's limit holds back does not hold back others. One that waits for room in the fleet does:
//! smaller ones behind it would otherwise keep it waiting for ever. One that waits for room on workers keeps others off
//! those, and off no others: whoever waits for a guest on a pool, or for a worker that is not there, is in nobody's way.

use std::collections::BTreeSet;

use bioxen_protocol::id::{UserId, VmId, VmKey, WorkerId};

use super::Fleet;
use super::account::Account;
use super::ensemble::MakeMember;
use super::entry::Entry;
use super::rejection::{NoRoom, Rejection};
use super::vm::Vm;

impl Fleet {
    /// The entries that start the next waiting VM, or make and start the next member of an ensemble, if there is room for
    /// one.
    pub fn next_from_queue(&self, make: MakeMember<'_>) -> Option<Vec<Entry>> {
        if !self.room_may_have_appeared || self.holds_back_the_queue() {
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
        let mut waited_for = BTreeSet::new();
        for (_, _, user, name) in heads {
            let account = self.accounts.get(user)?;
            let found = match account.ensembles.get(name) {
                Some(ensemble) => self.next_member(ensemble, make),
                None => self.room_for(account.vms.get(name)?).map(|entry| vec![entry]),
            };
            match found {
                Ok(entries) if goes_to(&entries).is_some_and(|worker| waited_for.contains(worker)) => {}
                Ok(entries) => return Some(entries),
                Err(Rejection::NoWorker { reasons }) => waited_for.extend(could_have_room(reasons)),
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
        let (worker, boot) = self.place(&vm.order, held.ribosomes)?;
        Ok(Entry::Placed { key: vm.key.clone(), worker, boot, held })
    }

    /// The place of a waiting VM among all that wait, from 1.
    pub fn queue_position(&self, key: &VmKey) -> Option<u64> {
        let vm = self.accounts.get(&key.user)?.vms.get(&key.vm)?;
        let own = (vm.order.priority, vm.queued_at?);
        let ahead: u64 = self
            .waiting_users
            .iter()
            .filter_map(|user| self.accounts.get(user))
            .map(|account| {
                let ahead =
                    account.queued.iter().take_while(|(priority, index, _)| (*priority, *index) < own);
                ahead.map(|(_, _, name)| places_of(account, name)).sum::<u64>()
            })
            .sum();
        Some(ahead + 1)
    }
}

impl Fleet {
    /// The place that a VM queued now would get.
    pub(super) fn position_of_next(&self, priority: u8) -> u64 {
        self.queued_by_priority.range(..=priority).map(|(_, count)| count).sum::<u64>() + 1
    }

    /// Gives `places` in the queue to what waits there under this name.
    pub(super) fn enqueue(&mut self, key: &VmKey, (priority, index): (u8, u64), places: u64) {
        if places == 0 {
            return;
        }
        let account = self.accounts.entry(key.user.clone()).or_default();
        account.queued.insert((priority, index, key.vm.clone()));
        self.waiting_users.insert(key.user.clone());
        *self.queued_by_priority.entry(priority).or_default() += places;
        // Those before it may wait for what it does not need.
        self.room_may_have_appeared = true;
    }

    /// Takes back what [`Self::enqueue`] gave.
    pub(super) fn dequeue(&mut self, key: &VmKey, (priority, index): (u8, u64), places: u64) {
        let Some(account) = self.accounts.get_mut(&key.user) else { return };
        account.queued.remove(&(priority, index, key.vm.clone()));
        if account.queued.is_empty() {
            self.waiting_users.remove(&key.user);
        }
        if let Some(count) = self.queued_by_priority.get_mut(&priority) {
            *count -= places;
        }
        self.queued_by_priority.retain(|_, count| *count > 0);
    }
}

/// The worker that entries place a VM on.
fn goes_to(entries: &[Entry]) -> Option<&WorkerId> {
    entries.iter().find_map(|entry| match entry {
        Entry::Placed { worker, .. } => Some(worker),
        _ => None,
    })
}

/// Those that take such a VM, and are full.
fn could_have_room(reasons: Vec<(WorkerId, NoRoom)>) -> impl Iterator<Item = WorkerId> {
    let full = |why: &NoRoom| matches!(why, NoRoom::Vms { .. } | NoRoom::Ribosomes { .. });
    reasons.into_iter().filter(move |(_, why)| full(why)).map(|(worker, _)| worker)
}

/// The places that a row of the queue stands for.
fn places_of(account: &Account, name: &VmId) -> u64 {
    account.ensembles.get(name).map_or(1, |ensemble| ensemble.waiting())
}
