//! Disks and what joins them to VMs. A disk's bytes are a folder: `root`, what a guest wrote, or `image`, what was
//! uploaded.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::plain;
use crate::fault::Fault;
use crate::shared::Call;
use crate::state::State;
use crate::store::{Fields, NULL};
use crate::value::{Answer, Failure, Value};

/// How a disk comes from another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Clone,
    Snapshot,
    Copy,
}

/// The folder of a disk's bytes.
pub(crate) fn folder(state: &State, disk: &str) -> PathBuf {
    state.folder.join("vdi").join(state.store.text("VDI", disk, "uuid"))
}

pub(super) async fn create(call: &Call) -> Answer {
    call.pass_time().await?;
    let mut state = call.shared.lock();
    let Some(Value::Map(given)) = call.params.first().cloned() else { return Ok(Value::void()) };
    let text = |field: &str| given.get(field).map_or("", Value::as_text).to_owned();
    let size = given.get("virtual_size").map_or(0, Value::as_int);
    let disk = make(&mut state, &text("SR"), &text("name_label"), size, &text("type"))?;
    for (field, value) in given {
        let value = plain::typed(&state, "VDI", &field, value);
        state.store.set("VDI", &disk, &field, value);
    }
    Ok(Value::text(disk))
}

/// A new, empty disk.
///
/// # Errors
/// No such storage, or no room in it.
pub(super) fn make(
    state: &mut State,
    storage: &str,
    name: &str,
    size: i64,
    kind: &str,
) -> Result<String, Failure> {
    state.store.record("SR", storage)?;
    room(state, storage, size)?;
    let fields = [
        ("name_label", Value::text(name)),
        ("SR", Value::text(storage)),
        ("virtual_size", Value::Int(size)),
        ("physical_utilisation", Value::Int(0)),
        ("type", Value::text(kind)),
        ("managed", Value::Bool(true)),
        ("allowed_operations", Value::texts(["clone", "copy", "snapshot", "destroy", "resize"])),
    ];
    let disk = state.store.create("VDI", fields.map(|(field, value)| (field.to_owned(), value)).into());
    let location = state.store.text("VDI", &disk, "uuid");
    state.store.set("VDI", &disk, "location", Value::text(location));
    state.store.link("SR", storage, "VDIs", &disk);
    Ok(disk)
}

pub(super) async fn destroy(call: &Call) -> Answer {
    let disk = call.text(0);
    call.shared.lock().store.record("VDI", disk)?;
    call.pass_time().await?;
    let mut state = call.shared.lock();
    state.store.record("VDI", disk)?;
    let attached = state.store.list("VDI", disk, "VBDs").into_iter();
    let attached = attached.filter(|vbd| is_true(&state, "VBD", vbd, "currently_attached")).count();
    if attached > 0 || state.fault(|fault| *fault == Fault::LateDetach).is_some() {
        return Err(Failure::new("VDI_IN_USE", &[disk, "destroy"]));
    }
    for device in state.store.list("VDI", disk, "VBDs") {
        drop_device(&mut state, &device);
    }
    remove(&mut state, disk);
    Ok(Value::void())
}

/// Takes a disk and its bytes away.
pub(super) fn remove(state: &mut State, disk: &str) {
    // Absent where nothing was written.
    let _ = std::fs::remove_dir_all(folder(state, disk));
    // What cannot be removed goes with the pool's folder.
    let _ = forget(state, disk);
}

/// `VDI.forget`.
///
/// # Errors
/// There is none.
pub(super) fn forget(state: &mut State, disk: &str) -> Answer {
    let storage = state.store.field("VDI", disk, "SR")?;
    state.store.unlink("SR", storage.as_text(), "VDIs", disk);
    state.store.destroy("VDI", disk);
    Ok(Value::void())
}

/// `VDI.clone`, `VDI.snapshot`, `VDI.copy`.
pub(super) async fn copy(call: &Call, kind: Kind) -> Answer {
    call.shared.lock().store.record("VDI", call.text(0))?;
    call.pass_time().await?;
    let mut state = call.shared.lock();
    room_for(&state, &[call.text(0).to_owned()])?;
    copied(&mut state, call.text(0), kind).map(Value::text)
}

pub(super) async fn resize(call: &Call) -> Answer {
    call.pass_time().await?;
    let mut state = call.shared.lock();
    let (disk, size) = (call.text(0), call.int(1));
    let now = state.store.field("VDI", disk, "virtual_size")?.as_int();
    let storage = state.store.text("VDI", disk, "SR");
    room(&state, &storage, size - now)?;
    state.store.set("VDI", disk, "virtual_size", Value::Int(size));
    Ok(Value::void())
}

fn copied(state: &mut State, disk: &str, kind: Kind) -> Result<String, Failure> {
    let mut fields = state.store.record("VDI", disk)?.clone();
    fields.retain(|field, _| !["uuid", "VBDs", "snapshots", "current_operations"].contains(&field.as_str()));
    fields.insert("is_a_snapshot".to_owned(), Value::Bool(kind == Kind::Snapshot));
    let original = if kind == Kind::Snapshot { disk } else { NULL };
    fields.insert("snapshot_of".to_owned(), Value::text(original));
    let made = state.store.create("VDI", fields);
    let location = state.store.text("VDI", &made, "uuid");
    state.store.set("VDI", &made, "location", Value::text(location));
    let storage = state.store.text("VDI", disk, "SR");
    state.store.link("SR", &storage, "VDIs", &made);
    if kind == Kind::Snapshot {
        state.store.link("VDI", disk, "snapshots", &made);
    }
    copy_bytes(&folder(state, disk), &folder(state, &made)).map_err(|error| {
        Failure::new("INTERNAL_ERROR", &[&format!("the bytes of {disk} were not copied: {error}")])
    })?;
    Ok(made)
}

/// Copies with what an overlay file system marks files with.
fn copy_bytes(from: &Path, to: &Path) -> std::io::Result<()> {
    if !from.exists() {
        return Ok(());
    }
    let done = Command::new("cp").args(["-a", "--reflink=auto", "--"]).arg(from).arg(to).output()?;
    if done.status.success() {
        return Ok(());
    }
    Err(std::io::Error::other(String::from_utf8_lossy(&done.stderr).into_owned()))
}

/// Gives `to` copies of all devices of `from`; what is in a drive stays one disk.
pub(super) fn copy_all(state: &mut State, from: &str, to: &str, kind: Kind) -> Result<(), Failure> {
    for device in state.store.list("VM", from, "VBDs") {
        let mut fields = state.store.record("VBD", &device)?.clone();
        let disk = fields.get("VDI").map_or("", Value::as_text).to_owned();
        if fields.get("type") == Some(&Value::text("Disk")) && state.store.has("VDI", &disk) {
            fields.insert("VDI".to_owned(), Value::text(copied(state, &disk, kind)?));
        }
        fields.insert("VM".to_owned(), Value::text(to));
        fields.insert("currently_attached".to_owned(), Value::Bool(false));
        fields.remove("uuid");
        join(state, fields);
    }
    Ok(())
}

/// `VBD.create`.
pub(super) fn attach(state: &mut State, call: &Call) -> Answer {
    let Some(Value::Map(mut fields)) = call.params.first().cloned() else { return Ok(Value::void()) };
    let text = |field: &str| fields.get(field).map_or("", Value::as_text).to_owned();
    let (vm, disk, wanted) = (text("VM"), text("VDI"), text("userdevice"));
    state.vm(&vm)?;
    let empty = fields.get("empty").is_some_and(Value::is_true);
    if !empty {
        state.store.record("VDI", &disk)?;
    }
    let used = state.store.list("VM", &vm, "VBDs");
    let used: Vec<_> = used.iter().map(|vbd| state.store.text("VBD", vbd, "userdevice")).collect();
    let device = if wanted == "autodetect" {
        (0..16).map(|n: u32| n.to_string()).find(|device| !used.contains(device)).unwrap_or_default()
    } else {
        wanted
    };
    if device.parse::<u32>().is_err() {
        return Err(Failure::new("INVALID_DEVICE", &[&device]));
    }
    if used.contains(&device) {
        return Err(Failure::new("DEVICE_ALREADY_EXISTS", &[&device]));
    }
    fields.insert("userdevice".to_owned(), Value::text(device));
    fields.insert("currently_attached".to_owned(), Value::Bool(false));
    Ok(Value::text(join(state, fields)))
}

fn join(state: &mut State, fields: Fields) -> String {
    let text = |field: &str| fields.get(field).map_or("", Value::as_text).to_owned();
    let (vm, disk) = (text("VM"), text("VDI"));
    let vbd = state.store.create("VBD", fields);
    state.store.link("VM", &vm, "VBDs", &vbd);
    state.store.link("VDI", &disk, "VBDs", &vbd);
    vbd
}

/// `VBD.destroy`.
pub(super) fn detach(state: &mut State, call: &Call) -> Answer {
    let vbd = call.text(0);
    state.store.record("VBD", vbd)?;
    if is_true(state, "VBD", vbd, "currently_attached") {
        return Err(Failure::new("DEVICE_ALREADY_ATTACHED", &[vbd]));
    }
    drop_device(state, vbd);
    Ok(Value::void())
}

/// Takes a device from its VM and its disk.
pub(super) fn drop_device(state: &mut State, vbd: &str) {
    let (vm, disk) = (state.store.text("VBD", vbd, "VM"), state.store.text("VBD", vbd, "VDI"));
    state.store.unlink("VM", &vm, "VBDs", vbd);
    state.store.unlink("VDI", &disk, "VBDs", vbd);
    state.store.destroy("VBD", vbd);
}

/// `VBD.plug` and `VBD.unplug`.
pub(super) fn plug(state: &mut State, call: &Call) -> Answer {
    let vbd = call.text(0);
    let vm = state.store.field("VBD", vbd, "VM")?;
    let (plugs, attached) = (call.method == "VBD.plug", is_true(state, "VBD", vbd, "currently_attached"));
    let power = state.store.text("VM", vm.as_text(), "power_state");
    if power != "Running" {
        let params = [vm.as_text(), "running", &power.to_lowercase()];
        return Err(Failure::new("VM_BAD_POWER_STATE", &params));
    }
    match (plugs, attached) {
        (true, true) => Err(Failure::new("DEVICE_ALREADY_ATTACHED", &[vbd])),
        (false, false) => Err(Failure::new("DEVICE_ALREADY_DETACHED", &[vbd])),
        _ => {
            state.store.set("VBD", vbd, "currently_attached", Value::Bool(plugs));
            Ok(Value::void())
        }
    }
}

/// `VBD.insert` and `VBD.eject`.
pub(super) fn change_medium(state: &mut State, call: &Call) -> Answer {
    let vbd = call.text(0);
    let before = state.store.field("VBD", vbd, "VDI")?;
    let inserted = call.method == "VBD.insert";
    let now = if inserted { call.text(1) } else { NULL };
    if inserted {
        state.store.record("VDI", now)?;
    } else if is_true(state, "VBD", vbd, "empty") {
        return Err(Failure::new("VBD_IS_EMPTY", &[vbd]));
    }
    state.store.unlink("VDI", before.as_text(), "VBDs", vbd);
    state.store.link("VDI", now, "VBDs", vbd);
    state.store.set("VBD", vbd, "VDI", Value::text(now));
    state.store.set("VBD", vbd, "empty", Value::Bool(!inserted));
    Ok(Value::void())
}

/// The disks of a VM, drives aside.
pub(super) fn disks_of(state: &State, vm: &str) -> Vec<String> {
    let devices = state.store.list("VM", vm, "VBDs").into_iter();
    let devices = devices.filter(|vbd| state.store.text("VBD", vbd, "type") == "Disk");
    let disks = devices.map(|vbd| state.store.text("VBD", &vbd, "VDI"));
    disks.filter(|disk| state.store.has("VDI", disk)).collect()
}

/// What a guest boots from, and the images that it finds besides.
pub(super) fn boot_disks(state: &State, vm: &str) -> (Option<PathBuf>, Vec<PathBuf>) {
    let mut devices = state.store.list("VM", vm, "VBDs");
    devices.sort_by_key(|vbd| state.store.text("VBD", vbd, "userdevice").parse::<u32>().unwrap_or(u32::MAX));
    let folders = devices.iter().map(|vbd| state.store.text("VBD", vbd, "VDI"));
    let folders = folders.filter(|disk| state.store.has("VDI", disk)).map(|disk| folder(state, &disk));
    let (images, disks): (Vec<_>, Vec<_>) = folders.partition(|folder| folder.join("image").exists());
    let images = images.into_iter().map(|folder| folder.join("image")).collect();
    (disks.into_iter().next(), images)
}

/// # Errors
/// Copies of `disks` have no room.
pub(super) fn room_for(state: &State, disks: &[String]) -> Result<(), Failure> {
    let Some(storage) = disks.first().map(|disk| state.store.text("VDI", disk, "SR")) else { return Ok(()) };
    let size = |disk: &String| state.store.field("VDI", disk, "virtual_size").map_or(0, |size| size.as_int());
    room(state, &storage, disks.iter().map(size).sum())
}

fn room(state: &State, storage: &str, wanted: i64) -> Result<(), Failure> {
    let disks = state.store.list("SR", storage, "VDIs");
    let size = |disk: &String| state.store.field("VDI", disk, "virtual_size").map_or(0, |size| size.as_int());
    let left = state.options.storage_bytes - disks.iter().map(size).sum::<i64>();
    if wanted > left {
        return Err(Failure::new("SR_FULL", &[&wanted.to_string(), &left.to_string()]));
    }
    Ok(())
}

fn is_true(state: &State, class: &str, object: &str, field: &str) -> bool {
    state.store.field(class, object, field).is_ok_and(|value| value.is_true())
}

/// A bootable disk for a VM that has none.
pub(super) fn add(state: &mut State, vm: &str, storage: &str, bytes: i64) {
    let Ok(disk) = make(state, storage, "disk 0", bytes, "user") else { return };
    let fields = [
        ("VM", Value::text(vm)),
        ("VDI", Value::text(disk)),
        ("userdevice", Value::text("0")),
        ("device", Value::text("xvda")),
        ("bootable", Value::Bool(true)),
        ("mode", Value::text("RW")),
        ("type", Value::text("Disk")),
    ];
    join(state, fields.map(|(field, value)| (field.to_owned(), value)).into());
}
