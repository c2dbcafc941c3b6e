//! Liveness: whether a fleet that nothing befalls any more stands as desired.

use bioxen_coordinator::fleet::Fleet;
use bioxen_coordinator::fleet::vm::Vm;
use bioxen_protocol::state::VmState;

/// What does not stand as desired although nothing hinders it.
pub(crate) fn unsettled(fleet: &Fleet) -> Option<String> {
    fleet.vms().find_map(|vm| {
        let why = match vm.state {
            VmState::Starting | VmState::Stopping | VmState::Destroying => "is still on its way",
            VmState::Running | VmState::Paused if !vm.is_settled() => "does not stand as desired",
            VmState::Unknown if has_room(fleet, vm) => "is unknown, and some worker has room",
            _ => return None,
        };
        Some(format!("{} ({:?}) {why}", vm.key, vm.state))
    })
}

fn has_room(fleet: &Fleet, vm: &Vm) -> bool {
    fleet.could_replace(vm)
}
