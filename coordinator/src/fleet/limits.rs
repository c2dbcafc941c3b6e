//! The limits of fleet and user, checked in the order that clients are told of: fleet slots, user, fleet amounts.

use bioxen_protocol::id::UserId;

use super::Fleet;
use super::account::Account;
use super::amounts::Amounts;
use super::rejection::{Rejection, Resource};

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
    more > 0 && used.saturating_add(more) > limit
}
