//! Guests that the backend finds on its pools and does not hold: told to the leader now and then, for it knows whose they
//! are.

use std::time::Duration;

use bioxen_protocol::limits::GUESTS;
use bioxen_protocol::worker::WorkerReport;

use super::{Agent, Phase};

/// After a registration: by then the leader has told what this boot shall have.
const FIRST: Duration = Duration::from_secs(5);
const APART: Duration = Duration::from_secs(30);

/// When they are told next, on the clock that counts sleep.
#[derive(Debug, Default)]
pub(super) struct Guests {
    next: Duration,
}

impl Guests {
    pub(super) fn registered(&mut self, now: Duration) {
        self.next = now + FIRST;
    }

    fn are_due(&mut self, now: Duration) -> bool {
        let due = now >= self.next;
        if due {
            self.next = now + APART;
        }
        due
    }
}

impl Agent {
    pub(super) async fn tell_guests(&mut self, now: Duration) {
        if self.phase != Phase::Registered || !self.is_connected() || !self.guests.are_due(now) {
            return;
        }
        let incarnation = self.lease.incarnation();
        for vms in self.backend.guests().chunks(GUESTS) {
            self.report(&WorkerReport::Guests { incarnation, vms: vms.to_vec() }).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_are_told_soon_after_a_registration_and_then_now_and_then() {
        let mut guests = Guests::default();
        let at = Duration::from_secs;
        guests.registered(at(100));
        let told: Vec<u64> = (100..180).filter(|second| guests.are_due(at(*second))).collect();
        assert_eq!(told, [105, 135, 165]);
    }
}
