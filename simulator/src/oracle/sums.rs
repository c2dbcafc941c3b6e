//! Sums of what VMs hold, added up apart from the fleet's own (I3): for a large fleet by what each batch touched, and
//! whole now and then.

use std::collections::BTreeMap;

use bioxen_coordinator::fleet::amounts::Amounts;
use bioxen_coordinator::fleet::{Fleet, Touched};
use bioxen_protocol::id::{BootId, UserId, VmKey, WorkerId};

use super::Violation;

/// Batches of a large fleet between two looks at everything.
const WHOLE_EVERY: u64 = 200;

#[derive(Debug)]
pub(super) struct Sums {
    is_large: bool,
    batches: u64,
    /// What each VM was last seen to hold, and where.
    counted: BTreeMap<VmKey, (Amounts, Option<(WorkerId, BootId)>)>,
    fleet: Amounts,
    users: BTreeMap<UserId, Amounts>,
    workers: BTreeMap<(WorkerId, BootId), Amounts>,
}

impl Sums {
    pub(super) fn new(is_large: bool) -> Self {
        Self {
            is_large,
            batches: 0,
            counted: BTreeMap::new(),
            fleet: Amounts::NOTHING,
            users: BTreeMap::new(),
            workers: BTreeMap::new(),
        }
    }

    /// Of the same fleet, before its first batch.
    pub(super) fn anew(&self) -> Self {
        Self::new(self.is_large)
    }

    /// # Errors
    /// A sum that is not what VMs hold, or beyond its limit.
    pub(super) fn check(&mut self, fleet: &Fleet, touched: &Touched) -> Result<(), Violation> {
        self.batches += 1;
        if self.is_large {
            self.count(fleet, touched);
            self.check_touched(fleet, touched)?;
        }
        if !self.is_large || self.batches.is_multiple_of(WHOLE_EVERY) { check_whole(fleet) } else { Ok(()) }
    }

    fn count(&mut self, fleet: &Fleet, touched: &Touched) {
        for key in touched.vms.iter().chain(&touched.gone_vms) {
            if let Some((held, at)) = self.counted.remove(key) {
                self.fleet = self.fleet.minus(held);
                if let Some(user) = self.users.get_mut(&key.user) {
                    *user = user.minus(held);
                }
                if let Some(worker) = at.and_then(|at| self.workers.get_mut(&at)) {
                    *worker = worker.minus(held);
                }
            }
            let Some(vm) = fleet.vm(key) else { continue };
            let at = vm.placement.as_ref().map(|at| (at.worker.clone(), at.boot.clone()));
            self.fleet = self.fleet.plus(vm.held);
            let user = self.users.entry(key.user.clone()).or_insert(Amounts::NOTHING);
            *user = user.plus(vm.held);
            if let Some(at) = at.clone() {
                let worker = self.workers.entry(at).or_insert(Amounts::NOTHING);
                *worker = worker.plus(vm.held);
            }
            self.counted.insert(key.clone(), (vm.held, at));
        }
    }

    fn check_touched(&self, fleet: &Fleet, touched: &Touched) -> Result<(), Violation> {
        if fleet.held != self.fleet {
            return Err("I3: the fleet's sum is not what its VMs hold".to_owned());
        }
        for user in touched.vms.iter().chain(&touched.gone_vms).map(|key| &key.user) {
            check_user(fleet, user, self.users.get(user).copied().unwrap_or(Amounts::NOTHING))?;
        }
        for (id, worker) in &fleet.workers {
            let used = self.workers.get(&(id.clone(), worker.boot.clone()));
            check_worker(fleet, id, used.copied().unwrap_or(Amounts::NOTHING))?;
        }
        check_limits(fleet)
    }
}

fn check_whole(fleet: &Fleet) -> Result<(), Violation> {
    let sum = |held: &mut dyn Iterator<Item = Amounts>| held.fold(Amounts::NOTHING, Amounts::plus);
    if fleet.held != sum(&mut fleet.vms().map(|vm| vm.held)) {
        return Err("I3: the fleet's sum is not what its VMs hold".to_owned());
    }
    for (user, account) in &fleet.accounts {
        check_user(fleet, user, sum(&mut account.vms.values().map(|vm| vm.held)))?;
    }
    for (id, worker) in &fleet.workers {
        check_worker(fleet, id, sum(&mut fleet.placed_on(id, &worker.boot).map(|vm| vm.held)))?;
    }
    check_limits(fleet)
}

fn check_user(fleet: &Fleet, user: &UserId, sum: Amounts) -> Result<(), Violation> {
    let Some(account) = fleet.accounts.get(user) else { return Ok(()) };
    if account.held != sum {
        return Err(format!("I3: the sum of {user} is not what its VMs hold"));
    }
    let most = account.limits.in_force(&fleet.config).max_vms;
    if account.held.slots > most {
        return Err(format!("I3: {user} holds {} VMs of {most}", account.held.slots));
    }
    Ok(())
}

fn check_worker(fleet: &Fleet, id: &WorkerId, used: Amounts) -> Result<(), Violation> {
    let Some(worker) = fleet.workers.get(id) else { return Ok(()) };
    let usable = worker.capacity.usable_ribosomes;
    if worker.used != used || used.ribosomes > usable || used.slots > worker.capacity.max_vms {
        return Err(format!("I3: worker {id} is counted with {:?} and holds {used:?}", worker.used));
    }
    Ok(())
}

fn check_limits(fleet: &Fleet) -> Result<(), Violation> {
    let (Amounts { slots, atp_millipercent, ribosomes, .. }, config) = (fleet.held, &fleet.config);
    let limits = (config.max_concurrent_vms, config.global_atp_limit.0, config.global_ribosome_limit);
    if slots > limits.0 || atp_millipercent > limits.1 || ribosomes > limits.2 {
        return Err(format!("I3: the fleet holds {:?} of {limits:?}", fleet.held));
    }
    Ok(())
}
