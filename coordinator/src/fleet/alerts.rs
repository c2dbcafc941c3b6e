//! Alerts on what is held: raised where it comes near to a limit, over where it has fallen again. Whole numbers only.
//!
//! ```text
//!   quiet --above the threshold--> raised (Alerted, told) --a tenth below it--> quiet (Alerted, told to nobody)
//! ```
//!
//! When is looked at, several times a second, is the driver's business: each crossing found is a fact of the journal, so
//! that every fold knows which alerts stand, and none is told twice. A VM's energy is its worker's to watch.

use bioxen_protocol::alert::{UNITS_PERMILLE, UNITS_RECOVERY_PERMILLE};
use bioxen_protocol::id::{UserId, WorkerId};
use serde::{Deserialize, Serialize};

use super::Fleet;
use super::account::Account;
use super::amounts::Amounts;
use super::entry::Entry;

/// What alerts are raised on: the units that VMs are allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Measure {
    /// Thousandths of a percent.
    Atp,
    Ribosomes,
}

/// Whose use an alert is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Whose {
    User(UserId),
    Fleet,
    /// Of a worker its ribosomes alone are limited.
    Worker(WorkerId),
}

/// A threshold that was crossed, up or down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alerted {
    pub whose: Whose,
    pub measure: Measure,
    /// False where it is over.
    pub is_raised: bool,
    pub used: u64,
    pub limit: u64,
    /// Thousandths of the limit.
    pub threshold_permille: u64,
}

const MEASURES: [Measure; 2] = [Measure::Atp, Measure::Ribosomes];

impl Measure {
    fn of(self, amounts: Amounts) -> u64 {
        match self {
            Self::Atp => amounts.atp_millipercent,
            Self::Ribosomes => amounts.ribosomes,
        }
    }
}

impl Fleet {
    /// The alerts that are to be raised or are over, at most `most`; the rest when asked again.
    pub fn due_alerts(&self, most: usize) -> Vec<Entry> {
        let users = self.accounts.iter().flat_map(|(user, account)| self.of_user(user, account));
        let all = users.chain(self.of_fleet()).chain(self.of_workers());
        all.map(|alerted| Entry::Alerted(Box::new(alerted))).take(most).collect()
    }

    /// Against the user's own limit, or the fleet's where an operator set none.
    fn of_user<'a>(&'a self, user: &'a UserId, account: &'a Account) -> impl Iterator<Item = Alerted> + 'a {
        MEASURES.into_iter().filter_map(move |measure| {
            let was_raised = account.alerted.contains(&measure);
            let used = measure.of(account.held);
            if used == 0 && !was_raised {
                return None;
            }
            let own = account.limits.in_force(&self.config);
            let own = match measure {
                Measure::Atp => own.max_atp.map(|atp| atp.0),
                Measure::Ribosomes => own.max_ribosomes,
            };
            let limit = own.unwrap_or_else(|| self.limit_of(measure));
            crossing(Whose::User(user.clone()), measure, was_raised, (used, limit, UNITS_PERMILLE))
        })
    }

    fn of_fleet(&self) -> impl Iterator<Item = Alerted> + '_ {
        MEASURES.into_iter().filter_map(|measure| {
            let used = measure.of(self.held);
            let was_raised = self.alerted.contains(&measure);
            crossing(Whose::Fleet, measure, was_raised, (used, self.limit_of(measure), UNITS_PERMILLE))
        })
    }

    fn of_workers(&self) -> impl Iterator<Item = Alerted> + '_ {
        self.workers.iter().filter_map(|(id, worker)| {
            let (used, limit) = (worker.used.ribosomes, worker.capacity.usable_ribosomes);
            let use_of = (used, limit, worker.capacity.warning_permille);
            crossing(Whose::Worker(id.clone()), Measure::Ribosomes, worker.alerted, use_of)
        })
    }

    fn limit_of(&self, measure: Measure) -> u64 {
        match measure {
            Measure::Atp => self.config.global_atp_limit.0,
            Measure::Ribosomes => self.config.global_ribosome_limit,
        }
    }

    pub(super) fn alerted(&mut self, index: u64, alerted: &Alerted) {
        let Alerted { whose, measure, is_raised, .. } = alerted;
        let set = match whose {
            Whose::Worker(id) => {
                if let Some(worker) = self.workers.get_mut(id) {
                    worker.alerted = *is_raised;
                    worker.index = index;
                    self.touched.workers.insert(id.clone());
                }
                return;
            }
            Whose::Fleet => &mut self.alerted,
            Whose::User(user) => {
                let Some(account) = self.accounts.get_mut(user) else { return };
                self.touched.accounts.insert(user.clone());
                &mut account.alerted
            }
        };
        if *is_raised {
            set.insert(*measure);
        } else {
            set.remove(measure);
        }
    }
}

fn crossing(
    whose: Whose,
    measure: Measure,
    was_raised: bool,
    (used, limit, threshold_permille): (u64, u64, u64),
) -> Option<Alerted> {
    // In u128 so that no limit that an operator sets can overflow.
    let share = u128::from(used) * 1000;
    let of_limit = |permille: u64| u128::from(limit) * u128::from(permille);
    let is_raised = if was_raised {
        share >= of_limit(threshold_permille.saturating_sub(UNITS_RECOVERY_PERMILLE))
    } else {
        share > of_limit(threshold_permille)
    };
    let alerted = Alerted { whose, measure, is_raised, used, limit, threshold_permille };
    (is_raised != was_raised).then_some(alerted)
}
