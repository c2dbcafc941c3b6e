//! VMs run, stand and end, and their guests with them.

use super::vm::operate;
use super::{disk, host};
use crate::clock;
use crate::fault::Fault;
use crate::guest::{Boot, Manner};
use crate::shared::{Call, Shared};
use crate::state::State;
use crate::store::NULL;
use crate::value::{Answer, Failure, Value};

/// `VM.start`; parameter `paused` is at `paused_at`.
pub(super) async fn start(call: &Call, operation: &str, paused_at: usize, on: Option<String>) -> Answer {
    let vm = call.text(0).to_owned();
    operate(call, &vm, operation, |state| {
        let host = host::choose(state, &vm, on.as_deref())?;
        // What the guest said in its last life is gone with it.
        forget_guest(state, &vm);
        take_room(state, &vm, &host);
        if call.is_true(paused_at) {
            state.set_power(&vm, "Paused");
        } else {
            state.set_power(&vm, "Running");
            boot(state, call, &vm);
        }
        Ok(Value::void())
    })
    .await
}

pub(super) async fn pause(call: &Call) -> Answer {
    let vm = call.text(0).to_owned();
    operate(call, &vm, "pause", |state| {
        state.keeper.freeze(&vm);
        state.set_power(&vm, "Paused");
        Ok(Value::void())
    })
    .await
}

pub(super) async fn unpause(call: &Call) -> Answer {
    let vm = call.text(0).to_owned();
    operate(call, &vm, "unpause", |state| {
        state.set_power(&vm, "Running");
        if !state.keeper.thaw(&vm) {
            boot(state, call, &vm);
        }
        Ok(Value::void())
    })
    .await
}

/// `VM.suspend`: memory goes to a disk of its own.
pub(super) async fn suspend(call: &Call) -> Answer {
    let vm = call.text(0).to_owned();
    needs_tools(call, &vm)?;
    operate(call, &vm, "suspend", |state| {
        let pool = state.store.all("pool").first().map(|(pool, _)| pool.clone()).unwrap_or_default();
        let storage = state.store.text("pool", &pool, "suspend_image_SR");
        if !state.store.has("SR", &storage) {
            return Err(Failure::new("VM_NO_SUSPEND_SR", &[&vm]));
        }
        let memory = state.store.field("VM", &vm, "memory_static_max")?.as_int();
        let image = disk::make(state, &storage, "Suspend image", memory, "suspend")?;
        state.store.set("VM", &vm, "suspend_VDI", Value::text(image));
        state.keeper.freeze(&vm);
        give_room_back(state, &vm);
        state.set_power(&vm, "Suspended");
        Ok(Value::void())
    })
    .await
}

pub(super) async fn resume(call: &Call, operation: &str, paused_at: usize) -> Answer {
    let vm = call.text(0).to_owned();
    operate(call, &vm, operation, |state| {
        let host = host::choose(state, &vm, None)?;
        take_room(state, &vm, &host);
        drop_suspend_image(state, &vm);
        if call.is_true(paused_at) {
            state.set_power(&vm, "Paused");
        } else {
            state.set_power(&vm, "Running");
            state.keeper.thaw(&vm);
        }
        Ok(Value::void())
    })
    .await
}

/// `VM.clean_shutdown`: the guest is asked, which takes one that listens.
pub(super) async fn clean_shutdown(call: &Call) -> Answer {
    let vm = call.text(0).to_owned();
    needs_tools(call, &vm)?;
    operate(call, &vm, "clean_shutdown", |state| Ok(halted(state, &vm))).await
}

pub(super) async fn hard_shutdown(call: &Call) -> Answer {
    let vm = call.text(0).to_owned();
    operate(call, &vm, "hard_shutdown", |state| Ok(halted(state, &vm))).await
}

/// `VM.shutdown`: clean where that is possible, else hard.
pub(super) async fn shutdown(call: &Call) -> Answer {
    match clean_shutdown(call).await {
        Err(_) => hard_shutdown(call).await,
        done => done,
    }
}

pub(super) async fn reboot(call: &Call, operation: &str) -> Answer {
    let vm = call.text(0).to_owned();
    if operation == "clean_reboot" {
        needs_tools(call, &vm)?;
    }
    operate(call, &vm, operation, |state| {
        state.keeper.kill(&vm);
        forget_guest(state, &vm);
        state.set_power(&vm, "Running");
        boot(state, call, &vm);
        Ok(Value::void())
    })
    .await
}

/// `VM.power_state_reset`.
pub(super) fn reset(state: &mut State, call: &Call) -> Answer {
    state.vm(call.text(0))?;
    Ok(halted(state, call.text(0)))
}

/// Ends a VM as a crash of its guest would.
pub(crate) fn power_off(state: &mut State, vm: &str) {
    halt(state, vm);
}

/// Ends a VM, whatever it does.
pub(super) fn halt(state: &mut State, vm: &str) {
    state.keeper.kill(vm);
    give_room_back(state, vm);
    drop_suspend_image(state, vm);
    state.set_power(vm, "Halted");
}

fn halted(state: &mut State, vm: &str) -> Value {
    halt(state, vm);
    Value::void()
}

/// The guest of `vm` has come up at `address`, if it has one; its tools say so.
pub(crate) fn guest_is_up(shared: &Shared, vm: &str, boot: u64, address: Option<&str>) {
    let mut state = shared.lock();
    if !state.keeper.is_current(vm, boot) || !state.store.has("VM", vm) {
        return;
    }
    forget_guest(&mut state, vm);
    let networks = address.filter(|_| has_network(&state, vm)).map_or_else(Vec::new, |address| {
        vec![("0/ip", Value::text(address)), ("0/ipv4/0", Value::text(address))]
    });
    let version = [("major", "9"), ("minor", "3"), ("micro", "1"), ("build", "1")];
    let version = version.map(|(part, number)| (part, Value::text(number)));
    let system = [("name", "Debian GNU/Linux"), ("distro", "debian"), ("major", "12"), ("uname", "6.1.0")];
    let system = system.map(|(part, text)| (part, Value::text(text)));
    let fields = [
        ("networks", Value::map(networks)),
        ("os_version", Value::map(system)),
        ("PV_drivers_version", Value::map(version)),
        ("PV_drivers_up_to_date", Value::Bool(true)),
        ("PV_drivers_detected", Value::Bool(true)),
        ("live", Value::Bool(true)),
        ("last_updated", Value::Time(clock::now())),
    ];
    let fields = fields.map(|(name, value)| (name.to_owned(), value)).into();
    let metrics = state.store.create("VM_guest_metrics", fields);
    state.store.set("VM", vm, "guest_metrics", Value::text(metrics));
    state.refresh(vm);
}

/// Whether the VM's first VIF is on a network that gives addresses.
fn has_network(state: &State, vm: &str) -> bool {
    state.store.list("VM", vm, "VIFs").iter().any(|vif| {
        let network = state.store.text("VIF", vif, "network");
        let gives = state.store.field("network", &network, "other_config");
        state.store.text("VIF", vif, "device") == "0"
            && gives.is_ok_and(|config| config.get("gives_addresses").is_some())
    })
}

fn boot(state: &mut State, call: &Call, vm: &str) {
    let mut took = |wanted: Fault| state.fault(|fault| *fault == wanted).is_some();
    let manner = Manner {
        no_address: took(Fault::NoAddress),
        wrong_host_key: took(Fault::WrongHostKey),
        hangs: took(Fault::SshdHangs),
        no_tools: took(Fault::NoTools),
    };
    let (disk, images) = disk::boot_disks(state, vm);
    let Some(disk) = disk else {
        // A VM without a disk runs, and nothing in it.
        return;
    };
    let xenstore = state.store.field("VM", vm, "xenstore_data").unwrap_or(Value::Null);
    let boot = Boot { disk, images, xenstore, manner, vm: vm.to_owned() };
    let shared = std::sync::Arc::downgrade(&call.shared);
    state.keeper.boot(boot, shared);
}

fn forget_guest(state: &mut State, vm: &str) {
    let metrics = state.store.text("VM", vm, "guest_metrics");
    state.store.destroy("VM_guest_metrics", &metrics);
    state.store.set("VM", vm, "guest_metrics", Value::text(NULL));
}

fn take_room(state: &mut State, vm: &str, host: &str) {
    state.store.set("VM", vm, "resident_on", Value::text(host));
    state.store.link("host", host, "resident_VMs", vm);
    let domain = i64::try_from(state.store.generation()).unwrap_or(i64::MAX);
    state.store.set("VM", vm, "domid", Value::Int(domain));
    let metrics = state.store.text("VM", vm, "metrics");
    let memory = state.store.field("VM", vm, "memory_static_max").unwrap_or(Value::Int(0));
    state.store.set("VM_metrics", &metrics, "memory_actual", memory);
    let vcpus = state.store.field("VM", vm, "VCPUs_at_startup").unwrap_or(Value::Int(0));
    state.store.set("VM_metrics", &metrics, "VCPUs_number", vcpus);
    state.store.set("VM_metrics", &metrics, "start_time", Value::Time(clock::now()));
}

fn give_room_back(state: &mut State, vm: &str) {
    let host = state.store.text("VM", vm, "resident_on");
    state.store.unlink("host", &host, "resident_VMs", vm);
    state.store.set("VM", vm, "resident_on", Value::text(NULL));
    state.store.set("VM", vm, "domid", Value::Int(-1));
}

fn drop_suspend_image(state: &mut State, vm: &str) {
    let image = state.store.text("VM", vm, "suspend_VDI");
    if state.store.has("VDI", &image) {
        disk::remove(state, &image);
    }
    state.store.set("VM", vm, "suspend_VDI", Value::text(NULL));
}

/// # Errors
/// The VM runs, and its guest has no tools that would listen.
fn needs_tools(call: &Call, vm: &str) -> Result<(), Failure> {
    let state = call.shared.lock();
    let runs = state.vm(vm)?.get("power_state").is_some_and(|power| power.as_text() == "Running");
    let tools = state.store.has("VM_guest_metrics", &state.store.text("VM", vm, "guest_metrics"));
    if runs && !tools { Err(Failure::new("VM_LACKS_FEATURE", &[vm])) } else { Ok(()) }
}
