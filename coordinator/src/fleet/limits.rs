//! The limits of fleet and user, checked in the order that clients are told of: fleet slots, user, fleet amounts.

use bioxen_mutants::{Mutant, is_on};
use bioxen_protocol::id::UserId;
use bioxen_protocol::worker::CellAllocation;

use super::Fleet;
use super::account::Account;
use super::amounts::Amounts;
use super::rejection::{Rejection, Resource};
use super::vm::Vm;

impl Fleet {
    /// Whether `user` may take `more` on top of everything held.
    pub(super) fn check_limits(&self, user: &UserId, more: Amounts) -> Result<(), Rejection> {
        let config = &self.config;
        if over(config.max_concurrent_vms, self.held.slots, more.slots) {
            return Err(Rejection::FleetSlots { limit: config.max_concurrent_vms, used: self.held.slots });
        }
        self.check_user(user, more)?;
        let held = self.held;
        let atp = (Resource::Atp, config.global_atp_limit.0, held.atp_millipercent, more.atp_millipercent);
        let ribosomes = (Resource::Ribosomes, config.global_ribosome_limit, held.ribosomes, more.ribosomes);
        for (resource, limit, used, requested) in [atp, ribosomes] {
            if over(limit, used, requested) {
                return Err(Rejection::Fleet { resource, limit, used, requested });
            }
        }
        Ok(())
    }

    fn check_user(&self, user: &UserId, more: Amounts) -> Result<(), Rejection> {
        let account = self.accounts.get(user);
        let held = account.map_or(Amounts::NOTHING, |account| account.held);
        let limits = self.limits_of(user);
        let checks = [
            (Resource::Vms, Some(limits.max_vms), held.slots, more.slots),
            (Resource::Atp, limits.max_atp.map(|atp| atp.0), held.atp_millipercent, more.atp_millipercent),
            (Resource::Ribosomes, limits.max_ribosomes, held.ribosomes, more.ribosomes),
        ];
        for (resource, limit, used, requested) in checks {
            if let Some(limit) = limit.filter(|limit| over(*limit, used, requested)) {
                return Err(Rejection::User { resource, limit, used, requested });
            }
        }
        Ok(())
    }

    /// Whether `user` may have `more` VMs waiting.
    pub(super) fn check_backlog(&self, user: &UserId, more: u64) -> Result<(), Rejection> {
        let used = self.accounts.get(user).map_or(0, Account::places_taken);
        let limit = self.limits_of(user).max_queued;
        if over(limit, used, more) {
            return Err(Rejection::User { resource: Resource::Queued, limit, used, requested: more });
        }
        Ok(())
    }

    /// The most that a VM could be allocated now: its own most, and the room in its user's and the fleet's limits.
    pub fn most_now(&self, vm: &Vm) -> CellAllocation {
        let user = self.limits_of(&vm.key.user);
        let used = self.accounts.get(&vm.key.user).map_or(Amounts::NOTHING, |account| account.held);
        let room = |limit: u64, held: u64, own: u64| limit.saturating_sub(held).saturating_add(own);
        let (atp, ribosomes) = (vm.held.atp_millipercent, vm.held.ribosomes);
        let by_user = |limit: Option<u64>, held, own| limit.map_or(u64::MAX, |limit| room(limit, held, own));
        let all = self.held;
        CellAllocation {
            atp_millipercent: vm
                .most
                .atp_millipercent
                .min(by_user(user.max_atp.map(|atp| atp.0), used.atp_millipercent, atp))
                .min(room(self.config.global_atp_limit.0, all.atp_millipercent, atp)),
            ribosomes: vm
                .most
                .ribosomes
                .min(by_user(user.max_ribosomes, used.ribosomes, ribosomes))
                .min(room(self.config.global_ribosome_limit, all.ribosomes, ribosomes)),
            memory_kb: vm.most.memory_kb,
        }
    }

    pub fn limits_of(&self, user: &UserId) -> super::account::LimitsInForce {
        self.accounts
            .get(user)
            .map(|account| &account.limits)
            .cloned()
            .unwrap_or_default()
            .in_force(&self.config)
    }
}

/// Nothing more is always granted: a limit that was lowered takes nothing away.
fn over(limit: u64, used: u64, more: u64) -> bool {
    if is_on(Mutant::LimitAfterTheFact) {
        return more > 0 && used > limit;
    }
    more > 0 && used.saturating_add(more) > limit
}
