//! What calls do: which of them take time, and where each is carried out.

mod disk;
mod host;
mod plain;
mod power;
mod settings;
mod vif;
mod vm;

use crate::shared::Call;
use crate::state::State;
use crate::task;
use crate::value::{Answer, Failure};

pub(crate) use power::{guest_is_up, power_off};

/// Calls that take an operation's time.
const TIMED: &[&str] = &[
    "VM.clone",
    "VM.copy",
    "VM.snapshot",
    "VM.checkpoint",
    "VM.revert",
    "VM.provision",
    "VM.destroy",
    "VM.start",
    "VM.start_on",
    "VM.pause",
    "VM.unpause",
    "VM.suspend",
    "VM.resume",
    "VM.resume_on",
    "VM.clean_shutdown",
    "VM.hard_shutdown",
    "VM.shutdown",
    "VM.clean_reboot",
    "VM.hard_reboot",
    "VDI.create",
    "VDI.destroy",
    "VDI.clone",
    "VDI.snapshot",
    "VDI.copy",
    "VDI.resize",
    "SR.scan",
];

pub(crate) fn takes_time(method: &str) -> bool {
    TIMED.contains(&method)
}

/// Carries `call` out.
pub(crate) async fn run(call: &Call) -> Answer {
    if !takes_time(&call.method) {
        call.failure_on_demand()?;
        return at_once(call);
    }
    match call.method.as_str() {
        "VM.clone" => vm::copy(call, "clone", vm::Kind::Clone).await,
        "VM.copy" => vm::copy(call, "copy", vm::Kind::Clone).await,
        "VM.snapshot" => vm::copy(call, "snapshot", vm::Kind::Snapshot).await,
        "VM.checkpoint" => vm::copy(call, "checkpoint", vm::Kind::Snapshot).await,
        "VM.revert" => vm::revert(call).await,
        "VM.provision" => vm::provision(call).await,
        "VM.destroy" => vm::destroy(call).await,
        "VM.start" => power::start(call, "start", 1, None).await,
        "VM.start_on" => power::start(call, "start_on", 2, Some(call.text(1).to_owned())).await,
        "VM.pause" => power::pause(call).await,
        "VM.unpause" => power::unpause(call).await,
        "VM.suspend" => power::suspend(call).await,
        "VM.resume" => power::resume(call, "resume", 1).await,
        "VM.resume_on" => power::resume(call, "resume_on", 2).await,
        "VM.clean_shutdown" => power::clean_shutdown(call).await,
        "VM.hard_shutdown" => power::hard_shutdown(call).await,
        "VM.shutdown" => power::shutdown(call).await,
        "VM.clean_reboot" => power::reboot(call, "clean_reboot").await,
        "VM.hard_reboot" => power::reboot(call, "hard_reboot").await,
        "VDI.create" => disk::create(call).await,
        "VDI.destroy" => disk::destroy(call).await,
        "VDI.clone" => disk::copy(call, disk::Kind::Clone).await,
        "VDI.snapshot" => disk::copy(call, disk::Kind::Snapshot).await,
        "VDI.copy" => disk::copy(call, disk::Kind::Copy).await,
        "VDI.resize" => disk::resize(call).await,
        _ => host::scan(call).await,
    }
}

fn at_once(call: &Call) -> Answer {
    let mut state = call.shared.lock();
    let state = &mut *state;
    match call.method.as_str() {
        "session.logout" | "session.local_logout" => host::log_out(state, call),
        "task.create" => Ok(host::create_task(state, call)),
        "task.cancel" => task::cancel(state, call.text(0)),
        "task.destroy" => task::destroy(state, call.text(0)),
        "event.get_current_id" => Ok(host::current_event(state)),
        "event.inject" => host::inject_event(state, call),
        "host.compute_free_memory" => host::free_memory(state, call),
        "host.get_servertime" => host::time(state, call),
        "host.get_management_interface" => host::management(state, call),
        "network.create" => Ok(host::create_network(state, call)),
        "network.destroy" => host::destroy_network(state, call),
        "SR.get_supported_types" => Ok(host::storage_types()),
        "VM.create" => vm::create(state, call),
        "VM.set_memory_limits" => settings::memory_limits(state, call),
        "VM.set_memory_static_range" | "VM.set_memory_dynamic_range" | "VM.set_memory" => {
            settings::memory_range(state, call)
        }
        "VM.set_memory_static_min"
        | "VM.set_memory_static_max"
        | "VM.set_memory_dynamic_min"
        | "VM.set_memory_dynamic_max" => settings::memory_edge(state, call),
        "VM.set_VCPUs_max" | "VM.set_VCPUs_at_startup" => settings::vcpus(state, call),
        "VM.add_to_xenstore_data" | "VM.set_xenstore_data" => settings::xenstore(state, call),
        "VM.set_is_a_template" => settings::template(state, call),
        "VM.get_allowed_VIF_devices" | "VM.get_allowed_VBD_devices" => settings::free_devices(state, call),
        "VM.update_allowed_operations" => settings::refresh(state, call),
        "VM.assert_operation_valid" => settings::assert_valid(state, call),
        "VM.compute_memory_overhead" => settings::memory_overhead(state, call),
        "VM.get_possible_hosts" => host::possible(state, call),
        "VM.assert_can_boot_here" => host::can_boot(state, call),
        "VM.power_state_reset" => power::reset(state, call),
        "VIF.create" => vif::create(state, call),
        "VIF.destroy" => vif::destroy(state, call),
        "VIF.plug" | "VIF.unplug" => vif::plug(state, call),
        "VIF.move" => vif::move_to(state, call),
        "VBD.create" => disk::attach(state, call),
        "VBD.destroy" => disk::detach(state, call),
        "VBD.plug" | "VBD.unplug" => disk::plug(state, call),
        "VBD.insert" | "VBD.eject" => disk::change_medium(state, call),
        "VDI.forget" => disk::forget(state, call.text(0)),
        method => {
            let plain = state.model.signature(method).is_some_and(|signature| signature.plain);
            if plain { plain::access(state, call) } else { Err(not_served(method)) }
        }
    }
}

fn not_served(method: &str) -> Failure {
    Failure::new(
        "INTERNAL_ERROR",
        &[&format!("{method}: the test pool knows the call and does not carry it out")],
    )
}

/// A disk to boot from.
pub(crate) fn add_disk(state: &mut State, vm: &str, storage: &str, bytes: i64) {
    disk::add(state, vm, storage, bytes);
}

/// An interface, the first.
pub(crate) fn add_vif(state: &mut State, vm: &str, network: &str) {
    vif::add(state, vm, network);
}

/// A snapshot of `vm`.
pub(crate) fn add_snapshot(state: &mut State, vm: &str, name: &str) {
    // A new pool has room for it.
    let _ = vm::copied(state, vm, name, vm::Kind::Snapshot);
}

/// The folder of a disk's bytes.
pub(crate) fn disk_folder(state: &State, disk: &str) -> std::path::PathBuf {
    disk::folder(state, disk)
}

/// Takes a VM's devices away.
pub(crate) fn drop_devices(state: &mut State, vm: &str) {
    for device in state.store.list("VM", vm, "VBDs") {
        disk::drop_device(state, &device);
    }
    for device in state.store.list("VM", vm, "VIFs") {
        vif::drop_device(state, &device);
    }
}
