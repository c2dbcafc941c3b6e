//! The journal's end that is lost: what goes with it, and whether that could have been helped.

use std::sync::Arc;
use std::time::Duration;

use super::faults::Mend;
use super::{Event, World};
use crate::message::{Batch, Node};
use crate::oracle::Violation;
use crate::plan::Fault;

/// Connections come back one after the other.
const BACK_WITHIN: Duration = Duration::from_secs(1);
/// A coordinator that has been there for so long has been asked, and has found out by itself.
const KNOWN: Duration = Duration::from_secs(2);

impl World {
    /// nats-server is killed, and loses what it had not synced.
    pub(super) fn lose_tail(&mut self, lasts: Duration) {
        let left = self.journal.lose_tail(self.now, &mut self.random);
        self.oracle.lost(left);
        self.queue.retain(|_, event| match event {
            Event::Deliver(Node::Journal, _) => false,
            Event::Deliver(_, message) => !message.is_of_journal(),
            _ => true,
        });
        self.bus.stop_journal();
        self.after(lasts, Event::Mend(Mend::StartJournal));
        for node in self.nodes() {
            if matches!(node, Node::Coordinator(_) | Node::Worker(_)) {
                self.bus.disconnect(node);
                let back = self.random.span(Duration::from_millis(1), BACK_WITHIN);
                self.after(lasts + back, Event::Mend(Mend::Connect(node)));
            }
        }
    }

    /// Something that users were told is gone, for another batch stands in its place.
    ///
    /// # Errors
    /// Where a coordinator has it and could have been heard (I1).
    pub(super) fn judge_loss(&self, gone: &[Arc<Batch>]) -> Result<(), Violation> {
        let Some(first) = gone.first().filter(|_| self.is_bus_reliable()) else { return Ok(()) };
        for (number, coordinator) in self.coordinators.iter().enumerate() {
            let node = Node::Coordinator(number);
            let since = self.bus.connected_since(node).map(|since| since.max(self.up_since[number]));
            let is_there = !self.down.contains(&node) && since.is_some_and(|since| self.now >= since + KNOWN);
            if is_there && coordinator.holds(first, false) {
                let from = first.first_index;
                return Err(format!(
                    "I1: what stood from index {from} on is gone, and coordinator {number} has it"
                ));
            }
        }
        Ok(())
    }

    /// Whether everybody who is there hears everybody soon.
    fn is_bus_reliable(&self) -> bool {
        let well =
            [Fault::CrashCoordinator, Fault::CrashWorker, Fault::TailLost, Fault::ClockJump, Fault::Twin];
        self.plan.faults.iter().all(|fault| well.contains(fault))
    }

    /// What a coordinator has found out.
    ///
    /// # Errors
    /// That nobody can read the journal any more; what it set aside without naming it (I1).
    pub(super) fn heed(&mut self, number: usize) -> Result<(), Violation> {
        let coordinator = &mut self.coordinators[number];
        if let Some(broken) = coordinator.broken.take() {
            return Err(format!("I1: {broken}"));
        }
        coordinator.set_aside.drain(..).try_for_each(|aside| self.oracle.said(&aside))
    }
}
