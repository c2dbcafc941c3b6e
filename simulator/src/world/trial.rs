//! A trial at the end of some runs, when nothing befalls the fleet any more: every worker is lost at once, what ran is
//! stopped, started and stopped again. So each cell is computed again from what the journal has, and each checkpoint
//! compared with what follows from it (I8).

use std::time::Duration;

use bioxen_coordinator::fleet::command::Ask;
use bioxen_protocol::command::{OnFull, Verb};
use bioxen_protocol::id::VmKey;
use bioxen_protocol::state::VmState;

use super::World;
use crate::message::{Node, Out};

/// Longer than lease and grace.
const LOST_FOR: Duration = Duration::from_secs(6);
/// Until everybody knows.
const KNOWN_WITHIN: Duration = Duration::from_secs(8);

/// A step of the trial.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Trial {
    LoseWorkers,
    Stop,
    Start,
}

impl Trial {
    pub(crate) const STEPS: [Self; 4] = [Self::LoseWorkers, Self::Stop, Self::Start, Self::Stop];
}

impl World {
    /// Begins a step; the time before which it cannot be over.
    pub(crate) fn begin_trial(&mut self, step: Trial) -> Duration {
        match step {
            Trial::LoseWorkers => {
                for number in 0..self.workers.len() {
                    self.kill(Node::Worker(number), LOST_FOR);
                }
                return self.now + KNOWN_WITHIN;
            }
            Trial::Stop => {
                let up = [VmState::Running, VmState::Paused, VmState::Unknown];
                self.ask_all(&up, Verb::Stop, &Ask::Stop);
            }
            Trial::Start => {
                let ask = Ask::Start { on_full: OnFull::Reject, horizon_tick: None };
                self.ask_all(&[VmState::Stopped], Verb::Start, &ask);
            }
        }
        self.now
    }

    fn ask_all(&mut self, states: &[VmState], verb: Verb, ask: &Ask) {
        let keys: Vec<VmKey> = {
            let vms = self.oracle.fleet().vms().filter(|vm| states.contains(&vm.state));
            vms.map(|vm| vm.key.clone()).collect()
        };
        let mut out = Out::new();
        for key in keys {
            let coordinator = self.random.below(self.coordinators.len());
            self.users.ask_for(key, verb, ask.clone(), coordinator, self.now, &mut out);
        }
        self.send(Node::Users, out);
    }
}
