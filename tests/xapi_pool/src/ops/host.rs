//! Hosts, networks, storage and sessions: little, for a life cycle needs little of them.

use crate::clock;
use crate::shared::Call;
use crate::state::State;
use crate::task;
use crate::value::{Answer, Failure, Value};

pub(super) fn log_out(state: &mut State, call: &Call) -> Answer {
    state.sessions.close(&call.session);
    state.store.destroy("session", &call.session);
    Ok(Value::void())
}

pub(super) fn create_task(state: &mut State, call: &Call) -> Value {
    let made = task::create(state, call.text(0), &call.session);
    state.store.set("task", &made, "name_description", Value::text(call.text(1)));
    Value::text(made)
}

pub(super) fn current_event(state: &State) -> Value {
    Value::Int(i64::try_from(state.store.generation()).unwrap_or(i64::MAX))
}

/// `event.inject`: the object counts as changed.
pub(super) fn inject_event(state: &mut State, call: &Call) -> Answer {
    let class = call.text(0).to_owned();
    state.store.record(&class, call.text(1))?;
    state.store.touch(&class, call.text(1));
    Ok(Value::text(format!("{:020},{:020}", state.store.generation(), 0)))
}

pub(super) fn free_memory(state: &State, call: &Call) -> Answer {
    state.store.record("host", call.text(0))?;
    Ok(Value::Int(free(state, call.text(0))))
}

pub(super) fn time(state: &State, call: &Call) -> Answer {
    state.store.record("host", call.text(0))?;
    Ok(Value::Time(clock::now()))
}

pub(super) fn management(state: &State, call: &Call) -> Answer {
    let interfaces = state.store.field("host", call.text(0), "PIFs")?;
    Ok(interfaces.items().first().cloned().unwrap_or_else(Value::void))
}

pub(super) fn create_network(state: &mut State, call: &Call) -> Value {
    let Some(Value::Map(mut fields)) = call.params.first().cloned() else { return Value::void() };
    fields.insert("bridge".to_owned(), Value::text(format!("xapi{}", state.store.generation())));
    Value::text(state.store.create("network", fields))
}

pub(super) fn destroy_network(state: &mut State, call: &Call) -> Answer {
    let network = call.text(0);
    let vifs = state.store.field("network", network, "VIFs")?;
    if !vifs.items().is_empty() {
        let vifs: Vec<_> = vifs.items().iter().map(Value::as_text).collect();
        return Err(Failure::new("NETWORK_CONTAINS_VIF", &vifs));
    }
    state.store.destroy("network", network);
    Ok(Value::void())
}

pub(super) fn storage_types() -> Value {
    Value::texts(["ext", "lvm", "nfs"])
}

/// `SR.scan`: nothing comes from elsewhere here.
pub(super) async fn scan(call: &Call) -> Answer {
    call.pass_time().await?;
    call.shared.lock().store.record("SR", call.text(0))?;
    Ok(Value::void())
}

pub(super) fn possible(state: &State, call: &Call) -> Answer {
    let needed = state.store.field("VM", call.text(0), "memory_static_max")?.as_int();
    let fits = state.hosts.iter().filter(|(host, _)| free(state, host) >= needed);
    Ok(Value::texts(fits.map(|(host, _)| host.clone())))
}

pub(super) fn can_boot(state: &State, call: &Call) -> Answer {
    choose(state, call.text(0), Some(call.text(1))).map(|_| Value::void())
}

/// The first host with memory for `vm`, or `wanted`.
///
/// # Errors
/// None has: of one host, by how much; of several, that none is available.
pub(super) fn choose(state: &State, vm: &str, wanted: Option<&str>) -> Result<String, Failure> {
    let needed = state.store.field("VM", vm, "memory_static_max")?.as_int();
    let hosts: Vec<_> = state.hosts.iter().map(|(host, _)| host.as_str()).collect();
    let hosts = match wanted {
        Some(host) => {
            state.store.record("host", host)?;
            vec![host]
        }
        None => hosts,
    };
    if let Some(host) = hosts.iter().find(|host| free(state, host) >= needed) {
        return Ok((*host).to_owned());
    }
    match hosts[..] {
        [only] => {
            let params = [needed.to_string(), free(state, only).to_string()];
            Err(Failure { code: "HOST_NOT_ENOUGH_FREE_MEMORY".to_owned(), params: params.into() })
        }
        _ => Err(Failure::new("NO_HOSTS_AVAILABLE", &[])),
    }
}

/// Memory of a host that no VM has, in bytes.
fn free(state: &State, host: &str) -> i64 {
    let memory =
        |vm: &String| state.store.field("VM", vm, "memory_static_max").map_or(0, |value| value.as_int());
    let guests = state.store.list("host", host, "resident_VMs");
    let guests = guests.iter().filter(|vm| {
        !state.store.field("VM", vm, "is_control_domain").is_ok_and(|control| control.is_true())
    });
    state.options.host_memory_bytes - guests.map(memory).sum::<i64>()
}
