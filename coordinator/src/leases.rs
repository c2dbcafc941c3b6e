//! Leases as the leader counts them: from when it heard the heartbeat, which is never earlier than the worker counts.
//!
//! No verdict is given on a worker before one's own connection has been healthy for a whole lease and grace: an outage
//! of the bus looks like every worker dying at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bioxen_mutants::{Mutant, is_on};
use bioxen_protocol::id::{BootId, WorkerId};
use bioxen_protocol::limits::{GRACE, LEASE};

#[derive(Debug, Default)]
pub struct Leases {
    heard: BTreeMap<WorkerId, (BootId, Instant)>,
}

impl Leases {
    pub fn heard(&mut self, worker: WorkerId, boot: BootId, now: Instant) {
        self.heard.insert(worker, (boot, now));
    }

    /// How long another boot must wait until this worker's present one commits nothing any more.
    pub fn held_by_other(
        &self,
        worker: &WorkerId,
        boot: &BootId,
        now: Instant,
    ) -> Option<(BootId, Duration)> {
        let (holder, heard) = self.heard.get(worker)?;
        let lasts = if is_on(Mutant::SecondBootAdmitted) { Duration::ZERO } else { LEASE + GRACE };
        let left = (*heard + lasts).saturating_duration_since(now);
        (holder != boot && !left.is_zero()).then(|| (holder.clone(), left))
    }

    /// The boot has ended by itself: nobody waits for its lease.
    pub fn ended(&mut self, worker: &WorkerId, boot: &BootId) {
        if self.heard.get(worker).is_some_and(|(holder, _)| holder == boot) {
            self.heard.remove(worker);
        }
    }

    /// Boots whose lease and grace are over.
    pub fn expired(&mut self, now: Instant, healthy_since: Option<Instant>) -> Vec<(WorkerId, BootId)> {
        let healthy_since =
            if is_on(Mutant::VerdictWhileCutOff) { Some(now - LEASE - GRACE) } else { healthy_since };
        let Some(healthy_since) = healthy_since else { return Vec::new() };
        let lasts = if is_on(Mutant::ExpiredTooEarly) { GRACE } else { LEASE + GRACE };
        let over = |heard: Instant| now >= heard.max(healthy_since) + lasts;
        let gone: Vec<_> = self
            .heard
            .iter()
            .filter(|(_, (_, heard))| over(*heard))
            .map(|(worker, (boot, _))| (worker.clone(), boot.clone()))
            .collect();
        for (worker, _) in &gone {
            self.heard.remove(worker);
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> (WorkerId, BootId, BootId) {
        ("w".parse().unwrap(), "b1".parse().unwrap(), "b2".parse().unwrap())
    }

    #[test]
    fn another_boot_waits_for_lease_and_grace() {
        let (worker, first, second) = ids();
        let start = Instant::now();
        let mut leases = Leases::default();
        leases.heard(worker.clone(), first.clone(), start);
        assert!(leases.held_by_other(&worker, &first, start).is_none());
        assert!(leases.held_by_other(&worker, &second, start + LEASE).is_some());
        assert!(leases.held_by_other(&worker, &second, start + LEASE + GRACE).is_none());
        leases.ended(&worker, &second);
        assert!(leases.held_by_other(&worker, &second, start).is_some());
        leases.ended(&worker, &first);
        assert!(leases.held_by_other(&worker, &second, start).is_none(), "it has said that it ended");
    }

    #[test]
    fn no_verdict_is_given_while_the_own_connection_is_young_or_down() {
        let (worker, boot, _) = ids();
        let start = Instant::now();
        let mut leases = Leases::default();
        leases.heard(worker, boot, start);
        let late = start + LEASE + GRACE + Duration::from_secs(60);
        assert!(leases.expired(late, None).is_empty());
        assert!(leases.expired(late, Some(late - LEASE)).is_empty());
        assert_eq!(leases.expired(late, Some(start)).len(), 1);
    }
}
