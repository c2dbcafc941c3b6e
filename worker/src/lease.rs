//! The lease: whether this boot may commit. Pure; times come in, as read from a clock that counts sleep.
//!
//! ```text
//!   heartbeat n sent at t ----> leader
//!                         <---- grant {epoch, n, lease}      the lease stands from then until t + lease
//! ```
//!
//! It counts from when the heartbeat was *sent*: the leader counts from when it arrived, so the worker's end comes
//! first however long the answer took. It reads no clock and sends nothing.

use std::collections::VecDeque;
use std::time::Duration;

use bioxen_mutants::{Mutant, is_on};

/// Heartbeats that a grant may still answer: those of some seconds, more than any lease of ours.
const REMEMBERED_HEARTBEATS: usize = 16;
/// No grant reaches further, whatever it says.
const LONGEST_LEASE: Duration = Duration::from_secs(60);

/// Why a leader's message changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ignored {
    #[error("it is of epoch {epoch}, and epoch {highest} has spoken: its leader no longer leads")]
    OldEpoch { epoch: u64, highest: u64 },
    #[error("it is of incarnation {incarnation}, and the fleet's is {highest}")]
    OldIncarnation { incarnation: u64, highest: u64 },
    #[error("it answers heartbeat {number}, which this boot has not sent lately")]
    UnknownHeartbeat { number: u64 },
}

/// What this boot knows of its lease.
#[derive(Debug, Default)]
pub struct Lease {
    incarnation: u64,
    epoch: u64,
    until: Option<Duration>,
    /// Incarnation, and index of the entry that registered this boot, the highest heard of.
    registration: (u64, u64),
    sent: VecDeque<(u64, Duration)>,
}

impl Lease {
    /// Heartbeat `number` leaves at `now`: read the clock before sending.
    pub fn sent(&mut self, number: u64, now: Duration) {
        if self.sent.len() == REMEMBERED_HEARTBEATS {
            self.sent.pop_front();
        }
        self.sent.push_back((number, now));
    }

    /// Takes note under which registration the leader speaks; true where it is a higher one than before: the lease was over
    /// meanwhile, and what this boot holds may be another's by now. A higher incarnation counts anew.
    pub fn registered(&mut self, incarnation: u64, registration: u64) -> bool {
        let is_new = (incarnation, registration) > self.registration && !is_on(Mutant::RegistrationIgnored);
        if is_new {
            self.registration = (incarnation, registration);
        }
        is_new
    }

    /// Whether what is told under this registration is not out of date.
    pub fn is_current(&self, registration: u64) -> bool {
        registration >= self.registration.1
    }

    /// Remembers `epoch`, the highest so far.
    ///
    /// # Errors
    /// A lower one than has been heard of.
    pub fn hear(&mut self, epoch: u64) -> Result<(), Ignored> {
        if epoch < self.epoch && !is_on(Mutant::OldEpochObeyed) {
            return Err(Ignored::OldEpoch { epoch, highest: self.epoch });
        }
        self.epoch = epoch;
        Ok(())
    }

    /// Takes a grant that answers `heartbeat`; returns until when the lease stands now.
    /// A higher incarnation begins its epochs anew.
    ///
    /// # Errors
    /// A lower incarnation or epoch, or a heartbeat that this boot did not send; the lease stays as it was.
    pub fn grant(
        &mut self,
        incarnation: u64,
        epoch: u64,
        heartbeat: u64,
        lease: Duration,
    ) -> Result<Duration, Ignored> {
        if incarnation < self.incarnation {
            return Err(Ignored::OldIncarnation { incarnation, highest: self.incarnation });
        }
        let sent = self.sent.iter().find(|(number, _)| *number == heartbeat).map(|(_, at)| *at);
        let sent = sent.ok_or(Ignored::UnknownHeartbeat { number: heartbeat })?;
        let newest = self.sent.back().map_or(sent, |(_, at)| *at);
        let sent = if is_on(Mutant::LeaseFromReceipt) { newest } else { sent };
        if incarnation > self.incarnation {
            self.epoch = epoch;
        }
        self.hear(epoch)?;
        self.incarnation = incarnation;
        let mut until = (sent + lease.min(LONGEST_LEASE)).max(self.until.unwrap_or_default());
        if is_on(Mutant::LeaseWithoutEnd) {
            until = Duration::MAX;
        }
        self.until = Some(until);
        Ok(until)
    }

    /// Whether a quantum may commit at `now`.
    pub fn stands(&self, now: Duration) -> bool {
        !self.remaining(now).is_zero()
    }

    /// How long it still stands; zero where it does not.
    pub fn remaining(&self, now: Duration) -> Duration {
        self.until.map_or(Duration::ZERO, |until| until.saturating_sub(now))
    }

    /// The highest epoch heard of.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The incarnation of the fleet that granted.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(3);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_lease_counts_from_when_the_heartbeat_was_sent() {
        let mut lease = Lease::default();
        assert!(!lease.stands(at(0)), "a lease stood before any grant");
        lease.sent(1, at(10));
        assert_eq!(lease.grant(1, 1, 1, LEASE), Ok(at(13)));
        assert!(lease.stands(at(13) - Duration::from_nanos(1)));
        assert!(!lease.stands(at(13)), "the lease stood at its end");
    }

    #[test]
    fn a_grant_that_comes_late_or_twice_never_shortens_or_revives_it() {
        let mut lease = Lease::default();
        lease.sent(1, at(10));
        lease.sent(2, at(11));
        assert_eq!(lease.grant(1, 1, 2, LEASE), Ok(at(14)));
        assert_eq!(lease.grant(1, 1, 1, LEASE), Ok(at(14)));
        assert!(!lease.stands(at(14)));
        assert_eq!(lease.grant(1, 1, 2, LEASE), Ok(at(14)));
        assert!(!lease.stands(at(14)), "an old heartbeat's grant revived the lease");
    }

    #[test]
    fn a_late_grant_counts_from_the_heartbeat_that_it_answers() {
        let mut lease = Lease::default();
        lease.sent(1, at(10));
        lease.sent(2, at(12));
        assert_eq!(lease.grant(1, 1, 1, LEASE), Ok(at(13)));
    }

    #[test]
    fn lower_epochs_are_ignored() {
        let mut lease = Lease::default();
        lease.sent(1, at(1));
        lease.sent(2, at(2));
        lease.grant(1, 7, 1, LEASE).unwrap();
        assert_eq!(lease.grant(1, 6, 2, LEASE), Err(Ignored::OldEpoch { epoch: 6, highest: 7 }));
        assert_eq!(lease.hear(6), Err(Ignored::OldEpoch { epoch: 6, highest: 7 }));
        assert!(!lease.stands(at(4)), "a deposed leader prolonged the lease");
        assert_eq!((lease.hear(9), lease.epoch()), (Ok(()), 9));
    }

    #[test]
    fn a_restored_fleet_begins_its_epochs_anew() {
        let mut lease = Lease::default();
        lease.sent(1, at(1));
        lease.grant(1, 7, 1, LEASE).unwrap();
        assert_eq!(lease.grant(2, 3, 1, LEASE), Ok(at(4)));
        assert_eq!((lease.incarnation(), lease.epoch()), (2, 3));
        assert!(matches!(lease.grant(1, 8, 1, LEASE), Err(Ignored::OldIncarnation { .. })));
    }

    #[test]
    fn a_higher_registration_makes_what_was_told_before_it_out_of_date() {
        let mut lease = Lease::default();
        assert!(lease.registered(1, 7), "the first is a new one");
        assert!(!lease.registered(1, 7) && !lease.registered(1, 5) && lease.is_current(7));
        assert!(lease.registered(1, 9) && lease.is_current(9) && !lease.is_current(7));
        assert!(lease.registered(2, 3) && lease.is_current(3), "a restored fleet counts anew");
    }

    #[test]
    fn heartbeats_never_sent_are_not_granted() {
        let mut lease = Lease::default();
        lease.sent(1, at(1));
        assert_eq!(lease.grant(1, 1, 2, LEASE), Err(Ignored::UnknownHeartbeat { number: 2 }));
        assert!(!lease.stands(at(1)));
    }
}
