//! What befalls the processes of a run, and how it ends.

use std::time::Duration;

use super::{CLOCK_JUMP_MS, Event, FAULTS, World};
use crate::coordinator::Coordinator;
use crate::message::{Node, Out};
use crate::oracle::Violation;
use crate::plan::Fault;
use crate::worker::Worker;

pub(super) const FAULT_LASTS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(12));

/// The end of a fault.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mend {
    Connect(Node),
    Join(Node, Node),
    StartJournal,
    Restart(Node),
    /// Of the elder of two boots.
    End(usize),
}

impl World {
    pub(super) fn fault(&mut self) {
        if self.calm {
            return;
        }
        let kinds: Vec<Fault> = self.plan.faults.iter().copied().collect();
        if let Some(fault) = self.random.pick(&kinds).copied() {
            self.faults += 1;
            self.befall(fault);
        }
        let pause = self.random.span(FAULTS.0, FAULTS.1);
        self.after(pause, Event::Fault);
    }

    fn befall(&mut self, fault: Fault) {
        let lasts = self.random.span(FAULT_LASTS.0, FAULT_LASTS.1);
        let coordinator = Node::Coordinator(self.random.below(self.coordinators.len()));
        let worker = Node::Worker(self.random.below(self.workers.len()));
        match fault {
            // These befall single messages.
            Fault::Drop | Fault::Duplicate | Fault::Delay | Fault::LostAck => {}
            Fault::Disconnect => {
                let node = if self.random.in_thousand(500) { coordinator } else { worker };
                self.bus.disconnect(node);
                self.after(lasts, Event::Mend(Mend::Connect(node)));
            }
            Fault::CutOneWay => {
                let nodes = self.nodes();
                let (from, to) =
                    (nodes[self.random.below(nodes.len())], nodes[self.random.below(nodes.len())]);
                self.bus.cut(from, to);
                self.after(lasts, Event::Mend(Mend::Join(from, to)));
            }
            Fault::CutFromJournal => {
                let leader = self.coordinators.iter().position(Coordinator::leads).map(Node::Coordinator);
                for (from, to) in pairs(leader.unwrap_or(coordinator), Node::Journal) {
                    self.bus.cut(from, to);
                    self.after(lasts, Event::Mend(Mend::Join(from, to)));
                }
            }
            Fault::JournalDown => {
                self.bus.stop_journal();
                self.after(lasts, Event::Mend(Mend::StartJournal));
            }
            Fault::CrashCoordinator => self.kill(coordinator, lasts),
            Fault::CrashWorker => self.kill(worker, lasts),
            Fault::PauseCoordinator => drop(self.paused.insert(coordinator, self.now + lasts)),
            Fault::PauseWorker => drop(self.paused.insert(worker, self.now + lasts)),
            Fault::Twin => {
                // Whatever cuts off a worker may cut off the leader too.
                if self.plan.faults.contains(&Fault::Takeover) && self.random.in_thousand(300) {
                    self.befall(Fault::Takeover);
                }
                let number = self.random.below(self.workers.len());
                // What has ended or crashed comes to life no more beside the one that is started after it.
                let elder = if self.down.contains(&Node::Worker(number)) { None } else { self.boot(number) };
                if let Some(elder) = elder {
                    // Somebody starts another mostly because the first is not heard of.
                    if self.random.in_thousand(700) {
                        self.deaf.insert(elder.boot.clone());
                    }
                    self.twins.insert(number, elder);
                    self.after(lasts, Event::Mend(Mend::End(number)));
                }
            }
            Fault::Takeover => {
                let number = self.random.below(self.coordinators.len());
                if !self.down.contains(&Node::Coordinator(number)) {
                    let (moment, mut out) = (self.moment(number), Out::new());
                    self.coordinators[number].take_over(moment, &mut out);
                    self.send(Node::Coordinator(number), out);
                }
            }
            Fault::ClockJump => {
                let number = self.random.below(self.coordinators.len());
                self.wall_ms[number] = self.random.below(2 * CLOCK_JUMP_MS) as u64;
            }
        }
    }

    pub(super) fn kill(&mut self, node: Node, lasts: Duration) {
        if self.down.insert(node) {
            self.paused.remove(&node);
            self.after(lasts, Event::Mend(Mend::Restart(node)));
        }
    }

    pub(super) fn mend(&mut self, mend: Mend) -> Result<(), Violation> {
        match mend {
            Mend::Connect(node) => self.bus.connect(node, self.now),
            Mend::Join(from, to) => self.bus.join(from, to),
            Mend::StartJournal => self.bus.start_journal(),
            Mend::End(number) => drop(self.twins.remove(&number)),
            Mend::Restart(node) => {
                self.down.remove(&node);
                match node {
                    Node::Coordinator(number) => self.coordinators[number].restart(self.now)?,
                    Node::Worker(number) => drop(self.boot(number)),
                    Node::Journal | Node::Users => {}
                }
            }
        }
        Ok(())
    }

    /// A new boot of a worker's name; the one before it.
    fn boot(&mut self, number: usize) -> Option<Worker> {
        self.boots += 1;
        let boot = Worker::new(number, self.boots, self.coordinators.len())?;
        Some(std::mem::replace(self.workers.get_mut(number)?, boot))
    }
}

fn pairs(one: Node, other: Node) -> [(Node, Node); 2] {
    [(one, other), (other, one)]
}
