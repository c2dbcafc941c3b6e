//! A new incarnation: the fleet goes on from a backup. Whatever the one before had placed may run on where it was, for
//! nobody there hears of this; it is of an earlier life and counts for nothing any more (I4).

use bioxen_protocol::state::VmState;

use super::Fleet;
use super::entry::Entry;
use super::observe::end_of;

/// What is said of VMs whose placement ended so.
const EARLIER: &str = "a backup was restored: its worker is of an earlier incarnation";

impl Fleet {
    /// Ends VMs that were to stop or to be given up: they have.
    pub fn ends_of_all(&self) -> Vec<Entry> {
        let due = self.vms().filter(|vm| matches!(vm.state, VmState::Stopping | VmState::Destroying));
        due.filter_map(|vm| Some(end_of(vm, vm.placement.as_ref()?))).collect()
    }

    /// Every boot and every placement has ended.
    pub(super) fn begin_incarnation(&mut self, index: u64) {
        // Whoever led before led another life.
        self.leader = None;
        for (name, worker) in &mut self.workers {
            worker.live = false;
            worker.index = index;
            self.touched.workers.insert(name.clone());
        }
        let time_ms = self.time_ms;
        let placed: Vec<_> =
            self.vms().filter(|vm| vm.placement.is_some()).map(|vm| vm.key.clone()).collect();
        for key in placed {
            self.edit(index, &key, |vm| {
                vm.lose_placement(time_ms);
                if matches!(vm.state, VmState::Starting | VmState::Running | VmState::Paused) {
                    vm.state = VmState::Unknown;
                }
                vm.reason = Some(EARLIER.to_owned());
            });
        }
        self.ends_may_be_due = true;
        self.room_appeared();
    }
}
