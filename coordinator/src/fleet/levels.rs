//! What workers are told: of each VM how it shall stand, of generations that are nobody's that they shall be given up.

use std::collections::{BTreeMap, BTreeSet};

use bioxen_protocol::id::{BootId, VmKey, WorkerId};
use bioxen_protocol::worker::Desired;

use super::{Fleet, Forget};

impl Fleet {
    /// By boot: first what is given up, for that makes room for what comes.
    pub fn levels(
        &self,
        keys: &BTreeSet<VmKey>,
        forget: &[Forget],
    ) -> BTreeMap<(WorkerId, BootId), Vec<Desired>> {
        let mut by_boot: BTreeMap<(WorkerId, BootId), Vec<Desired>> = BTreeMap::new();
        for gone in forget {
            by_boot.entry((gone.worker.clone(), gone.boot.clone())).or_default().push(gone.level());
        }
        for vm in keys.iter().filter_map(|key| self.vm(key)) {
            let Some(at) = &vm.placement else { continue };
            let level = vm.desired_level(at.generation);
            by_boot.entry((at.worker.clone(), at.boot.clone())).or_default().push(level);
        }
        by_boot
    }
}

impl Forget {
    /// The level that tells a worker to give it up.
    pub fn level(&self) -> Desired {
        Desired::absent(self.key.clone(), self.generation)
    }
}
