//! What only a mutant of the model does.

use bioxen_coordinator::fleet::command::Command;
use bioxen_protocol::id::{BootId, VmKey, WorkerId};
use bioxen_protocol::worker::Observation;

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
            let observation = Box::new(Observation::absent(key, generation));
            self.take(moment, &Command::Observe { worker, boot, observation });
        }
    }
}
