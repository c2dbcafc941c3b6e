//! What a VM's cell has come to is told when its guest is there, too: paused when the guest stands, stopped when it is off,
//! given up when nothing of it is left. Pure but for what keepers say of themselves.

use std::collections::BTreeMap;

use bioxen_protocol::id::{Generation, VmKey};
use bioxen_protocol::worker::{Observation, ObservedState};

use super::Keepers;
use super::handle::{Handle, Reached, Wanted};

/// Observations that wait, the newest of each VM.
#[derive(Debug, Default)]
pub(super) struct Telling {
    waiting: BTreeMap<VmKey, Observation>,
}

impl Telling {
    pub(super) fn forget(&mut self, key: &VmKey) {
        self.waiting.remove(key);
    }

    /// That nothing is left of a generation, once it is so.
    pub(super) fn absent(&mut self, key: &VmKey, generation: Generation) {
        self.waiting.insert(key.clone(), Observation::absent(key.clone(), generation));
    }

    pub(super) fn is_ending(&self, key: &VmKey, generation: Generation) -> bool {
        let waits = self.waiting.get(key);
        waits.is_some_and(|told| told.state == ObservedState::Absent && told.generation == generation)
    }
}

impl Keepers {
    /// Takes what cells were observed to be, and gives what may be told now.
    pub(super) fn tell(&mut self, observed: Vec<Observation>) -> Vec<Observation> {
        for observation in observed {
            self.telling.waiting.insert(observation.key.clone(), observation);
        }
        let Self { by_key, telling } = self;
        let ready = telling.waiting.extract_if(.., |key, observation| match by_key.get(key) {
            Some(keeper) => is_there(keeper, observation.state),
            None => true,
        });
        let ready: Vec<Observation> = ready.map(|(_, observation)| observation).collect();
        for Observation { key, state, .. } in &ready {
            if !matches!(state, ObservedState::Running | ObservedState::Paused) {
                by_key.remove(key);
            }
        }
        ready
    }
}

/// Whether a guest is where a VM in that state has it; says what is wanted of it where that is its end.
fn is_there(keeper: &Handle, state: ObservedState) -> bool {
    let reached = keeper.reached();
    match state {
        ObservedState::Running => matches!(reached, Reached::Running | Reached::Ended),
        ObservedState::Paused => matches!(reached, Reached::Paused | Reached::Ended),
        ObservedState::Stopped => {
            keeper.want(keeper.resting);
            reached == Reached::Ended
        }
        ObservedState::Completed | ObservedState::Failed | ObservedState::Absent => {
            keeper.want(Wanted::Gone);
            reached == Reached::Ended
        }
    }
}
