//! What a VM is set to: memory, processors, what it hands its guest.

use super::plain;
use crate::lifecycle;
use crate::shared::Call;
use crate::state::State;
use crate::value::{Answer, Failure, Value};

/// The four limits, from the lowest to the highest.
const LIMITS: [&str; 4] =
    ["memory_static_min", "memory_dynamic_min", "memory_dynamic_max", "memory_static_max"];

/// `VM.set_memory_limits`: all four at once.
pub(super) fn memory_limits(state: &mut State, call: &Call) -> Answer {
    let vm = call.text(0);
    lifecycle::check(state.vm(vm)?, vm, "changing_memory_limits")?;
    set_limits(state, vm, [call.int(1), call.int(3), call.int(4), call.int(2)])
}

/// `VM.set_memory_static_range`, `VM.set_memory_dynamic_range` and `VM.set_memory`.
pub(super) fn memory_range(state: &mut State, call: &Call) -> Answer {
    let vm = call.text(0);
    let now = limits(state, vm)?;
    let (operation, limits) = match call.method.as_str() {
        "VM.set_memory_static_range" => ("changing_static_range", [call.int(1), now[1], now[2], call.int(2)]),
        "VM.set_memory_dynamic_range" => {
            ("changing_dynamic_range", [now[0], call.int(1), call.int(2), now[3]])
        }
        _ => ("changing_memory_limits", [now[0].min(call.int(1)), call.int(1), call.int(1), call.int(1)]),
    };
    lifecycle::check(state.vm(vm)?, vm, operation)?;
    set_limits(state, vm, limits)
}

/// `VM.set_memory_static_max` and its three siblings.
pub(super) fn memory_edge(state: &mut State, call: &Call) -> Answer {
    let vm = call.text(0);
    let field = call.method.strip_prefix("VM.set_").unwrap_or_default();
    let operation = if field.contains("static") { "changing_static_range" } else { "changing_dynamic_range" };
    lifecycle::check(state.vm(vm)?, vm, operation)?;
    let mut limits = limits(state, vm)?;
    for (limit, name) in limits.iter_mut().zip(LIMITS) {
        *limit = if name == field { call.int(1) } else { *limit };
    }
    set_limits(state, vm, limits)
}

fn limits(state: &State, vm: &str) -> Result<[i64; 4], Failure> {
    let fields = state.vm(vm)?;
    Ok(LIMITS.map(|limit| fields.get(limit).map_or(0, Value::as_int)))
}

fn set_limits(state: &mut State, vm: &str, limits: [i64; 4]) -> Answer {
    if limits[0] < 0 || !limits.is_sorted() {
        let rule = "Memory limits must satisfy: static_min <= dynamic_min <= dynamic_max <= static_max";
        return Err(Failure::new("MEMORY_CONSTRAINT_VIOLATION", &[rule]));
    }
    for (limit, bytes) in LIMITS.iter().zip(limits) {
        state.store.set("VM", vm, limit, Value::Int(bytes));
    }
    Ok(Value::void())
}

/// `VM.set_VCPUs_max` and `VM.set_VCPUs_at_startup`: the second is never above the first.
pub(super) fn vcpus(state: &mut State, call: &Call) -> Answer {
    let vm = call.text(0);
    lifecycle::check(state.vm(vm)?, vm, "changing_VCPUs")?;
    let field = call.method.strip_prefix("VM.set_").unwrap_or_default();
    let given = call.int(1);
    let other = |name: &str| state.store.field("VM", vm, name).map_or(0, |value| value.as_int());
    let fits =
        if field == "VCPUs_max" { given >= other("VCPUs_at_startup") } else { given <= other("VCPUs_max") };
    if given < 1 || !fits {
        return Err(Failure::new("INVALID_VALUE", &[field, &given.to_string()]));
    }
    state.store.set("VM", vm, field, Value::Int(given));
    Ok(Value::void())
}

/// What a guest reads of the host's making starts with `vm-data/`.
pub(super) fn xenstore(state: &mut State, call: &Call) -> Answer {
    let keys = match call.params.get(1) {
        Some(Value::Map(entries)) => entries.keys().cloned().collect(),
        _ => vec![call.text(1).to_owned()],
    };
    if let Some(key) = keys.iter().find(|key| !key.starts_with("vm-data/")) {
        state.violation(format!("{}: the key {key:?} does not start with vm-data/", call.method));
        return Err(Failure::new("INVALID_VALUE", &["xenstore_data", key]));
    }
    plain::access(state, call)
}

/// `VM.set_is_a_template`.
pub(super) fn template(state: &mut State, call: &Call) -> Answer {
    let vm = call.text(0);
    lifecycle::check(state.vm(vm)?, vm, "changing_memory_limits")?;
    plain::access(state, call)
}

/// The devices that a VM still has free.
pub(super) fn free_devices(state: &State, call: &Call) -> Answer {
    let (class, list, field, most) = if call.method.ends_with("VIF_devices") {
        ("VIF", "VIFs", "device", 7)
    } else {
        ("VBD", "VBDs", "userdevice", 16)
    };
    state.vm(call.text(0))?;
    let used = state.store.list("VM", call.text(0), list);
    let used: Vec<_> = used.iter().map(|device| state.store.text(class, device, field)).collect();
    let all = (0..most).map(|device: u32| device.to_string());
    Ok(Value::texts(all.filter(|device| !used.contains(device))))
}

/// `VM.update_allowed_operations`.
pub(super) fn refresh(state: &mut State, call: &Call) -> Answer {
    state.vm(call.text(0))?;
    state.refresh(call.text(0));
    Ok(Value::void())
}

/// `VM.assert_operation_valid`.
pub(super) fn assert_valid(state: &State, call: &Call) -> Answer {
    lifecycle::check(state.vm(call.text(0))?, call.text(0), call.text(1)).map(|()| Value::void())
}

/// `VM.compute_memory_overhead`: a megabyte for each 256 of a VM, and one.
pub(super) fn memory_overhead(state: &State, call: &Call) -> Answer {
    let memory = state.store.field("VM", call.text(0), "memory_static_max")?.as_int();
    Ok(Value::Int(memory / 256 + (1 << 20)))
}
