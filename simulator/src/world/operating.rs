//! What users and operators ask of the world, and workers that end because they were told to.

use super::faults::FAULT_LASTS;
use super::{COMMANDS, Event, OPERATED, World};
use crate::message::{Message, Node, Out};
use crate::operators::{Act, draw};
use crate::plan::Plan;

impl World {
    pub(super) fn command(&mut self) {
        if self.calm {
            return;
        }
        let mut out = Out::new();
        let creates = self.plan.huge;
        let sizes = (self.plan.users, self.plan.vms_per_user, self.plan.coordinators);
        for _ in 0..self.plan.commands_at_once() {
            self.users.ask(&mut self.random, sizes, creates, self.now, &mut out);
        }
        if self.random.in_thousand(OPERATED) {
            self.operate(&mut out);
        }
        self.send(Node::Users, out);
        let pause = self.random.span(COMMANDS.0, COMMANDS.1);
        self.after(pause, Event::Command);
    }

    fn operate(&mut self, out: &mut Out) {
        let Plan { users, vms_per_user, workers, coordinators, .. } = self.plan;
        match draw(&mut self.random, users, vms_per_user, workers) {
            Some(Act::Ask(command)) => {
                let to = (0..coordinators).map(Node::Coordinator);
                out.extend(to.map(|coordinator| (coordinator, Message::Operate(command.clone()))));
            }
            Some(Act::End(number)) if !self.down.contains(&Node::Worker(number)) => {
                let mut told = Out::new();
                self.workers[number].told_to_end(self.now, &mut told);
                self.send(Node::Worker(number), told);
            }
            Some(Act::End(_)) | None => {}
        }
    }

    /// A worker that was told to end and need not wait any more is gone for a while.
    pub(super) fn end_where_it_may(&mut self, number: usize, out: &mut Out) {
        if self.workers[number].goes(self.now, &self.packed, out) {
            let lasts = self.random.span(FAULT_LASTS.0, FAULT_LASTS.1);
            self.kill(Node::Worker(number), lasts);
        }
    }
}
