//! What a pool has at first: hosts, networks, storage, a template, and things with the template's name that are none.

use std::path::PathBuf;

use crate::guest::{Keeper, Subnet};
use crate::model::Model;
use crate::ops;
use crate::options::Options;
use crate::state::State;
use crate::store::{Fields, Store};
use crate::value::Value;

/// Of the template's disk and memory.
const DISK_BYTES: i64 = 8 << 30;
const MEMORY_BYTES: i64 = 1 << 30;
const CONTROL_BYTES: i64 = 2 << 30;

/// The part of a host's address after the subnet.
pub(crate) fn host_address(subnet: &Subnet, host: usize) -> String {
    subnet.address(u8::try_from(host + 1).unwrap_or(u8::MAX))
}

/// A pool at its start.
pub(crate) fn state(options: Options, model: &'static Model, keeper: Keeper, folder: PathBuf) -> State {
    let seed = host_address(keeper.subnet(), 0);
    let mut state = State {
        model,
        store: Store::new(model, format!("{seed} {}", std::process::id())),
        sessions: crate::session::Sessions::default(),
        faults: crate::fault::Faults::default(),
        violations: Vec::new(),
        seen: crate::state::Seen::default(),
        cancelled: std::collections::BTreeSet::new(),
        life: 1,
        skipped: 0,
        calls_now: 0,
        connections_now: 0,
        hosts: Vec::new(),
        master: 0,
        keeper,
        folder,
        options,
    };
    let networks = networks(&mut state);
    for host in 0..state.options.hosts {
        add_host(&mut state, host, &networks.0);
    }
    let storage = add_storage(&mut state);
    let master = state.hosts.first().map(|(host, _)| host.clone()).unwrap_or_default();
    let pool = [
        ("name_label", Value::text("lab")),
        ("master", Value::text(master)),
        ("default_SR", Value::text(&storage)),
        ("suspend_image_SR", Value::text(&storage)),
    ];
    state.store.create("pool", fields(pool));
    add_template(&mut state, &storage, &networks.0);
    state
}

/// One that gives addresses, and one that does not.
fn networks(state: &mut State) -> (String, String) {
    let gives = Value::map([("gives_addresses", Value::text("true"))]);
    let first = [
        ("name_label", Value::text("Pool-wide network associated with eth0")),
        ("bridge", Value::text("xenbr0")),
        ("other_config", gives),
        ("MTU", Value::Int(1500)),
    ];
    let second = [
        ("name_label", Value::text("A network without addresses")),
        ("bridge", Value::text("xapi0")),
        ("MTU", Value::Int(1500)),
    ];
    (state.store.create("network", fields(first)), state.store.create("network", fields(second)))
}

fn add_host(state: &mut State, number: usize, network: &str) {
    let address = host_address(state.keeper.subnet(), number);
    let memory = state.options.host_memory_bytes;
    let metrics = [
        ("memory_total", Value::Int(memory)),
        ("memory_free", Value::Int(memory)),
        ("live", Value::Bool(true)),
    ];
    let metrics = state.store.create("host_metrics", fields(metrics));
    let version = [("product_brand", "XCP-ng"), ("product_version", "8.3.0"), ("platform_version", "3.4.0")];
    let version = version.map(|(part, text)| (part, Value::text(text)));
    let host = [
        ("name_label", Value::text(format!("host{number}"))),
        ("hostname", Value::text(format!("host{number}"))),
        ("address", Value::text(&address)),
        ("enabled", Value::Bool(true)),
        ("metrics", Value::text(metrics)),
        ("software_version", Value::map(version)),
        ("API_version_major", Value::Int(2)),
        ("API_version_minor", Value::Int(21)),
    ];
    let host = state.store.create("host", fields(host));
    let interface = [
        ("device", Value::text("eth0")),
        ("network", Value::text(network)),
        ("host", Value::text(&host)),
        ("management", Value::Bool(true)),
        ("IP", Value::text(&address)),
        ("currently_attached", Value::Bool(true)),
    ];
    let interface = state.store.create("PIF", fields(interface));
    state.store.link("network", network, "PIFs", &interface);
    state.store.link("host", &host, "PIFs", &interface);
    let control = [
        ("name_label", Value::text(format!("Control domain on host: host{number}"))),
        ("is_control_domain", Value::Bool(true)),
        ("power_state", Value::text("Running")),
        ("resident_on", Value::text(&host)),
        ("memory_static_max", Value::Int(CONTROL_BYTES)),
    ];
    let control = state.store.create("VM", fields(control));
    state.store.link("host", &host, "resident_VMs", &control);
    state.store.set("host", &host, "control_domain", Value::text(control));
    state.hosts.push((host, address));
}

fn add_storage(state: &mut State) -> String {
    let storage = [
        ("name_label", Value::text("Local storage")),
        ("type", Value::text("ext")),
        ("content_type", Value::text("user")),
        ("physical_size", Value::Int(state.options.storage_bytes)),
        ("shared", Value::Bool(state.options.hosts > 1)),
    ];
    let storage = state.store.create("SR", fields(storage));
    for (host, _) in state.hosts.clone() {
        let joined = [
            ("host", Value::text(&host)),
            ("SR", Value::text(&storage)),
            ("currently_attached", Value::Bool(true)),
        ];
        let joined = state.store.create("PBD", fields(joined));
        state.store.link("SR", &storage, "PBDs", &joined);
        state.store.link("host", &host, "PBDs", &joined);
    }
    storage
}

/// The template, and a snapshot of the same name, which is a template, too, by its record.
fn add_template(state: &mut State, storage: &str, network: &str) {
    let name = state.options.template_name.clone();
    let memory = ["memory_static_max", "memory_dynamic_max", "memory_dynamic_min", "memory_static_min"];
    let mut template = fields(memory.map(|limit| (limit, Value::Int(MEMORY_BYTES))));
    template.extend(fields([
        ("name_label", Value::text(&name)),
        ("is_a_template", Value::Bool(true)),
        ("VCPUs_max", Value::Int(1)),
        ("VCPUs_at_startup", Value::Int(1)),
        ("HVM_boot_policy", Value::text("BIOS order")),
        ("domain_type", Value::text("hvm")),
        ("other_config", Value::map([("install-methods", Value::text(""))])),
    ]));
    let template = state.store.create("VM", template);
    ops::add_disk(state, &template, storage, DISK_BYTES);
    if state.options.template_has_vif {
        ops::add_vif(state, &template, network);
    }
    state.refresh(&template);
    ops::add_snapshot(state, &template, &name);
}

fn fields<const N: usize>(given: [(&str, Value); N]) -> Fields {
    given.into_iter().map(|(field, value)| (field.to_owned(), value)).collect()
}
