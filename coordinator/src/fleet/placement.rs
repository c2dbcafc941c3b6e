//! Which worker a VM goes to, and why the others not.

use bioxen_protocol::config::Placement;
use bioxen_protocol::id::{BootId, WorkerId};
use bioxen_protocol::pool::XcpngPool;
use bioxen_protocol::worker::{Capacity, CellOrder};

use super::Fleet;
use super::movement::Cordon;
use super::rejection::{NoRoom, Rejection};
use super::worker::Worker;

impl Fleet {
    /// The worker for a VM of this order that needs `ribosomes` units.
    pub(super) fn place(&self, order: &CellOrder, ribosomes: u64) -> Result<(WorkerId, BootId), Rejection> {
        self.place_but(order, ribosomes, None)
    }

    /// The same, anywhere but at one boot.
    ///
    /// Spread takes the one with the most free units (then the fewest VMs), bin-pack the one with the fewest that still
    /// fits; equals go by name, so that every fold agrees.
    pub(super) fn place_but(
        &self,
        order: &CellOrder,
        ribosomes: u64,
        but: Option<(&WorkerId, &BootId)>,
    ) -> Result<(WorkerId, BootId), Rejection> {
        let others = self.workers.iter().filter(|(id, worker)| but != Some((*id, &worker.boot)));
        let fits = others.filter(|(_, worker)| no_room(worker, order, ribosomes).is_none());
        let chosen =
            match self.config.placement {
                Placement::Spread => fits
                    .min_by_key(|(id, worker)| (u64::MAX - free(worker), worker.used.slots, (*id).clone())),
                Placement::BinPack => fits
                    .min_by_key(|(id, worker)| (free(worker), u64::MAX - worker.used.slots, (*id).clone())),
            };
        match chosen {
            Some((id, worker)) => Ok((id.clone(), worker.boot.clone())),
            None => Err(self.why_no_worker(order, ribosomes, but)),
        }
    }

    fn why_no_worker(
        &self,
        order: &CellOrder,
        ribosomes: u64,
        but: Option<(&WorkerId, &BootId)>,
    ) -> Rejection {
        let live = self.workers.values().filter(|worker| worker.live);
        let most = live.map(|worker| worker.capacity.usable_ribosomes).max();
        if let Some(most) = most.filter(|most| ribosomes > *most) {
            return Rejection::AboveAnyWorker { requested: ribosomes, most };
        }
        let why = |id: &WorkerId, worker: &Worker| match but == Some((id, &worker.boot)) {
            true => Some(NoRoom::ComesFrom),
            false => no_room(worker, order, ribosomes),
        };
        let reasons = self.workers.iter().filter_map(|(id, worker)| Some((id.clone(), why(id, worker)?)));
        Rejection::NoWorker { reasons: reasons.collect() }
    }

    /// Whether a placed VM may hold `more` units where it is.
    pub(super) fn grow_in_place(&self, id: &WorkerId, boot: &BootId, more: u64) -> Result<(), Rejection> {
        let Some(worker) = self.workers.get(id).filter(|worker| worker.boot == *boot) else {
            return Ok(());
        };
        let used = worker.used.ribosomes;
        let usable = worker.capacity.usable_ribosomes;
        if more > 0 && used + more > usable {
            let reason = NoRoom::Ribosomes { used, usable, requested: more };
            return Err(Rejection::NoWorker { reasons: vec![(id.clone(), reason)] });
        }
        Ok(())
    }
}

fn reaches(capacity: &Capacity, pool: &XcpngPool) -> bool {
    match pool {
        XcpngPool::Named(name) => capacity.pools.contains(name),
        XcpngPool::Own(own) => capacity.own_pools.as_deref() == Some(own.key()),
    }
}

/// Units that are free on a worker.
pub(super) fn free(worker: &Worker) -> u64 {
    worker.capacity.usable_ribosomes.saturating_sub(worker.used.ribosomes)
}

pub(super) fn no_room(worker: &Worker, order: &CellOrder, ribosomes: u64) -> Option<NoRoom> {
    let capacity = &worker.capacity;
    if !worker.live {
        Some(NoRoom::Expired)
    } else if worker.cordon != Cordon::Open {
        Some(NoRoom::Cordoned)
    } else if worker.leaving {
        Some(NoRoom::Leaves)
    } else if !capacity.vm_types.contains(&order.vm_type) {
        Some(NoRoom::VmType)
    } else if let Some(pool) = order.pool.as_ref().filter(|pool| !reaches(capacity, pool)) {
        Some(NoRoom::Pool { pool: pool.clone() })
    } else if order.pack.is_some() && capacity.packs.get(&order.biological_type) != order.pack.as_ref() {
        Some(NoRoom::Pack)
    } else if worker.used.slots >= capacity.max_vms {
        Some(NoRoom::Vms { used: worker.used.slots, max: capacity.max_vms })
    } else if worker.used.ribosomes + ribosomes > capacity.usable_ribosomes {
        let (used, usable) = (worker.used.ribosomes, capacity.usable_ribosomes);
        Some(NoRoom::Ribosomes { used, usable, requested: ribosomes })
    } else {
        None
    }
}
