//! A follower that finds the journal silent: it asks the others how far they are, looks whether what it read last still
//! stands, and only then wants to lead.

use std::sync::Arc;
use std::time::Duration;

use bioxen_coordinator::journal::Hash;
use bioxen_mutants::{Mutant, is_on};

use super::{Coordinator, Moment, PATIENCE, Role};
use crate::message::{Message, Node, Out};

/// How long the others' answers are gathered.
pub(super) const GATHER: Duration = Duration::from_millis(150);

#[derive(Debug)]
pub(super) struct Standing {
    since: Duration,
    /// Another knows more.
    ahead: bool,
    looks: bool,
}

impl Coordinator {
    /// Wants to lead, whatever it has heard.
    pub(crate) fn take_over(&mut self, moment: Moment, out: &mut Out) {
        if matches!(self.role, Role::Follower) {
            self.stand(moment, out);
        }
    }

    pub(super) fn stand(&mut self, moment: Moment, out: &mut Out) {
        self.role = Role::Standing(Standing { since: moment.now, ahead: false, looks: false });
        if !self.ask_the_others(out) {
            self.look_back(moment, out);
        }
    }

    /// False where there are none.
    pub(super) fn ask_the_others(&mut self, out: &mut Out) -> bool {
        self.asked += 1;
        let (from, number) = (self.number, self.asked);
        let others = (0..self.of).filter(|other| *other != from).map(Node::Coordinator);
        out.extend(others.map(|other| (other, Message::HowFar { from, number })));
        self.of > 1
    }

    /// Another is as far as this.
    pub(super) fn told_of(&mut self, index: u64) {
        let is_ahead = index > self.position.index;
        match &mut self.role {
            Role::Standing(standing) => standing.ahead |= is_ahead,
            Role::Joining(joining) => joining.told_of(is_ahead),
            _ => {}
        }
    }

    pub(super) fn tick_standing(&mut self, moment: Moment, out: &mut Out) {
        let Role::Standing(Standing { since, ahead, looks }) = self.role else { return };
        let patience = if looks { PATIENCE } else { GATHER };
        if moment.now < since + patience {
            return;
        }
        if looks || ahead {
            self.role = Role::Follower;
            self.read(out);
        } else {
            self.look_back(moment, out);
        }
    }

    fn look_back(&mut self, moment: Moment, out: &mut Out) {
        if self.position.index == 0 || is_on(Mutant::LastNotLookedFor) {
            return self.campaign(moment, out);
        }
        self.role = Role::Standing(Standing { since: moment.now, ahead: false, looks: true });
        self.look(self.position.sequence, out);
    }

    /// What stands where it read last.
    pub(super) fn looked_back(&mut self, moment: Moment, found: Option<Hash>, out: &mut Out) {
        if !matches!(self.role, Role::Standing(_)) {
            return;
        }
        if found == Some(self.position.hash) {
            self.campaign(moment, out)
        } else {
            self.step_down(moment, out)
        }
    }

    fn campaign(&mut self, moment: Moment, out: &mut Out) {
        let epoch = self.settled.epoch + 1;
        let entries = self.settled.first_of_leader(&format!("c{}", self.number), &self.config);
        let time_ms = self.settled.time_of_next(moment.wall_ms);
        let batch = self.batch(epoch, time_ms, entries);
        self.role = Role::Candidate { batch: Arc::clone(&batch), sent: moment.now };
        self.append(batch, self.fence, out);
    }
}
