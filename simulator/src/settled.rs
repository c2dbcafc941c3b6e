//! Liveness: whether a fleet that nothing befalls any more stands as desired.

use bioxen_coordinator::fleet::Fleet;
use bioxen_coordinator::fleet::entry::Entry;
use bioxen_coordinator::fleet::movement::MovedBy;
use bioxen_protocol::state::VmState;

/// What does not stand as desired although nothing hinders it.
pub(crate) fn unsettled(fleet: &Fleet) -> Option<String> {
    // Those that could go on elsewhere do.
    let waits = fleet.sure_of_a_place().map(|key| format!("{key} is not looked for"));
    // Whether VMs may be spread better is asked when a worker joins, not ever after.
    let balances = |entry: &Entry| matches!(entry, Entry::Moving { by: MovedBy::Balance, .. });
    let drains = fleet.next_moves().into_iter().find(|entry| !balances(entry));
    let drains = drains.map(|entry| format!("{:?} is not moved", entry.key()));
    waits.or(drains).or_else(|| stands(fleet))
}

fn stands(fleet: &Fleet) -> Option<String> {
    fleet.vms().find_map(|vm| {
        let why = match vm.state {
            VmState::Starting | VmState::Stopping | VmState::Destroying => "is still on its way",
            VmState::Running | VmState::Paused if !vm.is_settled() => "does not stand as desired",
            _ => return None,
        };
        Some(format!("{} ({:?}) {why}", vm.key, vm.state))
    })
}
