//! What only a mutant of the model does.

use bioxen_coordinator::fleet::command::Command;
use bioxen_protocol::alert::AtpWatch;
use bioxen_protocol::id::{BootId, Generation, VmKey, WorkerId};
use bioxen_protocol::worker::{Observation, ObservedState};

use super::Moment;
use super::leading::Leading;

impl Leading {
    /// Takes what an inventory lacks to be given up.
    pub(super) fn believe_absence(
        &mut self,
        moment: Moment,
        worker: &WorkerId,
        boot: &BootId,
        vms: &[Observation],
    ) {
        let placed = self.fleet.placed_on(worker, boot);
        let placed = placed.filter_map(|vm| Some((vm.key.clone(), vm.placement.as_ref()?.generation)));
        let lacks = |key: &VmKey| vms.iter().all(|seen| seen.key != *key);
        let missing: Vec<_> = placed.filter(|(key, _)| lacks(key)).collect();
        for (key, generation) in missing {
            let (worker, boot) = (worker.clone(), boot.clone());
            let observation = Box::new(absent(key, generation));
            self.take(moment, &Command::Observe { worker, boot, observation });
        }
    }
}

fn absent(key: VmKey, generation: Generation) -> Observation {
    Observation {
        key,
        generation,
        state: ObservedState::Absent,
        tick: 0,
        applied: 0,
        applied_at: Vec::new(),
        checkpoint: None,
        reason: None,
        process: None,
        summary: None,
        atp: AtpWatch::default(),
        call_due: None,
    }
}
