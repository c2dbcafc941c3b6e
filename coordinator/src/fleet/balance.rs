//! Where a worker has joined, VMs move to it, one at a time, as long as that spreads them clearly better.
//!
//! Between the worker with the least room and the one with the most, a VM moves only where the second has more room left
//! than the first even after it, by more than the VM's own units: so nothing moves twice for the same worker, and small
//! differences stay. Workers of different kinds (guests on a pool, or none) are balanced apart. Who waits in the queue goes first: that fills the worker too.

use bioxen_protocol::command::VmType;
use bioxen_protocol::config::Placement;
use bioxen_protocol::id::WorkerId;

use super::Fleet;
use super::entry::Entry;
use super::movement::{Cordon, MovedBy};
use super::placement::{free, no_room};
use super::vm::Vm;
use super::worker::Worker;

/// What workers have in common that take the same VMs.
type Kind<'a> = (&'a [VmType], &'a [String]);

fn kind(worker: &Worker) -> Kind<'_> {
    (&worker.capacity.vm_types, &worker.capacity.pools)
}

impl Fleet {
    /// The next move, where one is due and none is under way.
    pub(super) fn next_balancing(&self) -> Option<Entry> {
        let wanted = self.config.rebalance && self.config.placement == Placement::Spread;
        if !self.balance_may_be_due || !wanted || self.is_balancing() || self.queued() > 0 {
            return None;
        }
        let mut kinds: Vec<Kind<'_>> = self.open().map(|(_, worker)| kind(worker)).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds.into_iter().find_map(|kind| self.balancing_among(kind))
    }

    fn open(&self) -> impl Iterator<Item = (&WorkerId, &Worker)> {
        let workers = self.workers.iter();
        workers.filter(|(_, worker)| worker.live && worker.cordon == Cordon::Open && !worker.leaving)
    }

    fn balancing_among(&self, of: Kind<'_>) -> Option<Entry> {
        let open = || self.open().filter(|(_, worker)| kind(worker) == of);
        let (from, fullest) = open().min_by_key(|(id, worker)| (free(worker), (*id).clone()))?;
        let (to, emptiest) = open().max_by_key(|(id, worker)| (free(worker), (*id).clone()))?;
        let gains = |vm: &Vm| {
            let units = vm.held.ribosomes;
            let left = free(emptiest).saturating_sub(units);
            left > free(fullest).saturating_add(units) && no_room(emptiest, &vm.order, units).is_none()
        };
        let mut here = self.placed_on(from, &fullest.boot);
        // What records would stand still until its rows are stored.
        let vm = here.find(|vm| self.may_move_off(vm) && vm.order.record.is_none() && gains(vm))?;
        Some(Entry::Moving { key: vm.key.clone(), to: Some(to.clone()), by: MovedBy::Balance })
    }

    fn is_balancing(&self) -> bool {
        let moving = self.moving.iter().filter_map(|key| self.vm(key)?.moving.as_ref());
        moving.into_iter().any(|moving| moving.by == MovedBy::Balance)
    }

    /// Whether a worker has joined that VMs may still move to.
    pub(super) fn still_balances(&self) -> bool {
        let waits = self.is_balancing() || self.queued() > 0;
        self.balance_may_be_due && (waits || self.next_balancing().is_some())
    }
}
