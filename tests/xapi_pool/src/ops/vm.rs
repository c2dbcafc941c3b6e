//! VMs come and go: clones, snapshots, provisioning, reverting, destroying.

use super::{disk, drop_devices, plain, power, vif};
use crate::clock;
use crate::shared::Call;
use crate::state::State;
use crate::store::NULL;
use crate::value::{Answer, Failure, Value};

/// Fields that a copy of a VM does not take over.
const OWN: &[&str] = &[
    "uuid",
    "power_state",
    "VBDs",
    "VIFs",
    "VTPMs",
    "consoles",
    "snapshots",
    "children",
    "parent",
    "current_operations",
    "allowed_operations",
    "guest_metrics",
    "metrics",
    "snapshot_of",
    "snapshot_time",
    "snapshot_info",
    "is_a_snapshot",
    "resident_on",
    "domid",
    "domarch",
    "suspend_VDI",
    "blobs",
    "last_booted_record",
    "last_boot_CPU_flags",
    "is_default_template",
];

/// Fields that a snapshot does not give back.
const KEPT: &[&str] = &["name_label", "is_a_template", "tags"];

/// What is made of a VM.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Clone,
    Snapshot,
}

/// Carries out an operation on a VM: begins it, lets its time pass, ends it, and then does `act`.
pub(super) async fn operate<T>(
    call: &Call,
    vm: &str,
    operation: &str,
    act: impl FnOnce(&mut State) -> Result<T, Failure>,
) -> Result<T, Failure> {
    call.shared.lock().begin(vm, operation, &call.task)?;
    let passed = call.pass_time().await;
    let mut state = call.shared.lock();
    if state.life != call.life {
        return Err(Failure::new("INTERNAL_ERROR", &["the toolstack was restarted"]));
    }
    state.end(vm, &call.task);
    passed?;
    act(&mut state)
}

/// `VM.clone` and `VM.snapshot`.
pub(super) async fn copy(call: &Call, operation: &str, kind: Kind) -> Answer {
    let (vm, name) = (call.text(0).to_owned(), call.text(1).to_owned());
    operate(call, &vm, operation, |state| copied(state, &vm, &name, kind).map(Value::text)).await
}

pub(super) fn copied(state: &mut State, vm: &str, name: &str, kind: Kind) -> Result<String, Failure> {
    disk::room_for(state, &disk::disks_of(state, vm))?;
    let mut fields = state.vm(vm)?.clone();
    fields.retain(|field, _| !OWN.contains(&field.as_str()));
    fields.insert("name_label".to_owned(), Value::text(name));
    let metrics = state.store.create("VM_metrics", [("memory_actual".to_owned(), Value::Int(0))].into());
    fields.insert("metrics".to_owned(), Value::text(metrics));
    if kind == Kind::Snapshot {
        fields.insert("is_a_template".to_owned(), Value::Bool(true));
        fields.insert("is_a_snapshot".to_owned(), Value::Bool(true));
        fields.insert("snapshot_of".to_owned(), Value::text(vm));
        fields.insert("snapshot_time".to_owned(), Value::Time(clock::now()));
    }
    let made = state.store.create("VM", fields);
    if kind == Kind::Snapshot {
        state.store.link("VM", vm, "snapshots", &made);
    }
    let disks = if kind == Kind::Snapshot { disk::Kind::Snapshot } else { disk::Kind::Clone };
    disk::copy_all(state, vm, &made, disks)?;
    vif::copy_all(state, vm, &made, kind == Kind::Snapshot);
    state.refresh(&made);
    Ok(made)
}

/// `VM.create`, from a record.
pub(super) fn create(state: &mut State, call: &Call) -> Answer {
    let Some(Value::Map(given)) = call.params.first().cloned() else { return Ok(Value::void()) };
    let model = state.model;
    let allowed = |field: &String| {
        let fields = model.fields.get("VM");
        fields.and_then(|fields| fields.get(field)).is_some_and(|field| field.in_records)
    };
    let mut fields = given;
    fields.retain(|field, _| allowed(field));
    let mut typed = std::collections::BTreeMap::new();
    for (field, value) in fields {
        let value = plain::typed(state, "VM", &field, value);
        typed.insert(field, value);
    }
    let vm = state.store.create("VM", typed);
    state.refresh(&vm);
    Ok(Value::text(vm))
}

/// `VM.provision`: a template becomes a VM.
pub(super) async fn provision(call: &Call) -> Answer {
    let vm = call.text(0).to_owned();
    operate(call, &vm, "provision", |state| {
        state.store.set("VM", &vm, "is_a_template", Value::Bool(false));
        state.refresh(&vm);
        Ok(Value::void())
    })
    .await
}

/// `VM.revert`: a VM becomes what its snapshot says, halted.
pub(super) async fn revert(call: &Call) -> Answer {
    let snapshot = call.text(0).to_owned();
    operate(call, &snapshot, "revert", |state| {
        let vm = state.store.text("VM", &snapshot, "snapshot_of");
        state.vm(&vm)?;
        power::halt(state, &vm);
        for disk in disk::disks_of(state, &vm) {
            disk::remove(state, &disk);
        }
        drop_devices(state, &vm);
        let fields = state.vm(&snapshot)?.clone();
        let given_back = |field: &String| !OWN.contains(&field.as_str()) && !KEPT.contains(&field.as_str());
        for (field, value) in fields.into_iter().filter(|(field, _)| given_back(field)) {
            state.store.set("VM", &vm, &field, value);
        }
        disk::copy_all(state, &snapshot, &vm, disk::Kind::Clone)?;
        vif::copy_all(state, &snapshot, &vm, true);
        state.refresh(&vm);
        Ok(Value::void())
    })
    .await
}

/// `VM.destroy`: its devices go, its disks stay.
pub(super) async fn destroy(call: &Call) -> Answer {
    let vm = call.text(0).to_owned();
    operate(call, &vm, "destroy", |state| {
        drop_devices(state, &vm);
        for (class, field) in [("VM_metrics", "metrics"), ("VM_guest_metrics", "guest_metrics")] {
            let metrics = state.store.text("VM", &vm, field);
            state.store.destroy(class, &metrics);
        }
        let original = state.store.text("VM", &vm, "snapshot_of");
        if original != NULL {
            state.store.unlink("VM", &original, "snapshots", &vm);
        }
        state.keeper.kill(&vm);
        state.store.destroy("VM", &vm);
        Ok(Value::void())
    })
    .await
}
