//! What the edge asks of the cell library: whether an order is sound, what a steady state predicts, how a cell that no
//! worker has stands. The fleet core never does.

use std::sync::Arc;

use bioxen_hypervisor::{
    Allocation, Cell, CellSpec, Change, Metrics, OrganismError, RibosomeCap, Tolerance, minutes_of,
    steady_state,
};
use bioxen_protocol::command::Engine;
use bioxen_protocol::error::{Code, ErrorBody};
use bioxen_protocol::id::VmKey;
use bioxen_protocol::reply::Predicted;
use bioxen_protocol::worker::{CellAllocation, CellOrder};
use serde_json::{Map, Value};

use crate::fleet::vm::Vm;

/// The specification that an order stands for.
pub(crate) fn spec(order: &CellOrder) -> Result<CellSpec, ErrorBody> {
    let chassis = order.biological_type.parse().map_err(|error: bioxen_hypervisor::SpecError| {
        ErrorBody::new(Code::ChassisInitialization, error.to_string())
    })?;
    let chassis: bioxen_hypervisor::ChassisName = chassis;
    if chassis.digest() != order.pack.as_deref() {
        let message = format!(
            "the VM was made with another pack of {chassis} than this coordinator has; start it with that pack in --packs"
        );
        return Err(ErrorBody::new(Code::ChassisInitialization, message));
    }
    // Calls are the worker's to run.
    let changes = order.schedule.iter().filter(|change| change.changes_cell());
    let schedule = changes.map(|change| {
        let allocation = change.allocation.map(allocation).transpose()?;
        Ok(Change {
            tick: change.tick,
            parameters: change.parameters.clone(),
            atp_milli_percent: allocation.map(|allocation| allocation.atp_milli_percent),
            ribosomes: allocation.map(|allocation| allocation.ribosomes),
            ..Change::default()
        })
    });
    // There from minute 0.
    let installed = order.packages.iter().filter(|package| package.has_load()).map(|package| Change {
        organism: vec![bioxen_package::install_action(package)],
        ..Change::default()
    });
    let schedule = installed.map(Ok).chain(schedule);
    Ok(CellSpec {
        chassis,
        parameters: order.parameters.clone(),
        allocation: allocation(order.allocation)?,
        schedule: schedule.collect::<Result<_, ErrorBody>>()?,
        tolerance: Tolerance::default(),
        engine: match order.engine {
            Engine::Ode => bioxen_hypervisor::Engine::Ode,
            Engine::Stochastic => bioxen_hypervisor::Engine::Stochastic,
        },
        seed: order.seed,
        replicate: order.replicate,
    })
}

/// What a cell is given where these amounts are in force.
pub(crate) fn allocation(amounts: CellAllocation) -> Result<Allocation, ErrorBody> {
    let narrow = |amount: u64| {
        u32::try_from(amount).map_err(|_| {
            ErrorBody::new(Code::ResourceAllocation, format!("{amount} is more than any cell may have"))
        })
    };
    Ok(Allocation {
        atp_milli_percent: narrow(amounts.atp_millipercent)?,
        ribosomes: RibosomeCap::Units(narrow(amounts.ribosomes)?),
    })
}

/// The specification with the scheduled parameters in force at `tick`, and nothing to come.
pub(crate) fn spec_at(order: &CellOrder, tick: u64) -> Result<CellSpec, ErrorBody> {
    let mut spec = spec(order)?;
    for change in std::mem::take(&mut spec.schedule).into_iter().filter(|change| change.tick <= tick) {
        spec.parameters.extend(change.parameters);
    }
    Ok(spec)
}

/// The order with what the VM's packages cost in balance as a parameter, for questions about steady states.
pub(crate) fn burdened(vm: &Vm) -> Arc<CellOrder> {
    if vm.packages.is_empty() {
        return Arc::clone(&vm.order);
    }
    let mut order = CellOrder { packages: Vec::new(), ..CellOrder::clone(&vm.order) };
    let load = bioxen_package::per_min(vm.packages_load_micro_per_min());
    *order.parameters.entry("wp".to_owned()).or_default() += load;
    Arc::new(order)
}

/// The doubling times that the model predicts at this allocation and without one; None where it finds no steady state.
pub(crate) fn predict(order: &CellOrder, now: CellAllocation) -> Option<Predicted> {
    let mut limited = spec(order).ok()?;
    limited.schedule.clear();
    limited.allocation = allocation(now).ok()?;
    let unlimited = CellSpec { allocation: Allocation::UNLIMITED, ..limited.clone() };
    let doubling = |spec: &CellSpec| steady_state(spec).ok().and_then(|metrics| metrics.doubling_time_min);
    Some(Predicted {
        doubling_time_min: doubling(&limited),
        unlimited_doubling_time_min: doubling(&unlimited),
    })
}

/// The metrics of a cell that stands still: at its checkpoint, or at minute 0.
pub(crate) fn at_rest(order: &CellOrder, checkpoint: Option<&[u8]>) -> Result<Metrics, ErrorBody> {
    Ok(cell(order, checkpoint)?.metrics())
}

/// What is known of the essential genes of the VM's chassis.
pub(crate) fn essential_genes(key: &VmKey, order: &CellOrder) -> Result<Map<String, Value>, ErrorBody> {
    let genes = spec(order)?.chassis.essential_genes();
    named(key, "essential_genes", genes.map(serde_json::to_value))
}

/// The plasmids that the cell may carry, as it stands at its checkpoint or at minute 0.
pub(crate) fn plasmids(
    key: &VmKey,
    order: &CellOrder,
    checkpoint: Option<&[u8]>,
) -> Result<Map<String, Value>, ErrorBody> {
    let cell = cell(order, checkpoint)?;
    let minutes = minutes_of(cell.tick());
    let plasmids = cell.plasmids().map(serde_json::to_value);
    let mut map = named(key, "plasmids", plasmids)?;
    map.insert("simulated_minutes".to_owned(), minutes.into());
    let packages = serde_json::to_value(cell.packages());
    map.insert(
        "packages".to_owned(),
        packages.map_err(|error| ErrorBody::new(Code::Timeout, error.to_string()))?,
    );
    Ok(map)
}

fn named(
    key: &VmKey,
    name: &str,
    answer: Result<serde_json::Result<Value>, OrganismError>,
) -> Result<Map<String, Value>, ErrorBody> {
    let answer = answer.map_err(|error| ErrorBody::new(Code::UnsupportedForChassis, error.to_string()))?;
    let answer = answer.map_err(|error| ErrorBody::new(Code::Timeout, error.to_string()))?;
    Ok(Map::from_iter([("vm_id".to_owned(), key.vm.as_str().into()), (name.to_owned(), answer)]))
}

fn cell(order: &CellOrder, checkpoint: Option<&[u8]>) -> Result<Cell, ErrorBody> {
    let broken = |error: String| {
        ErrorBody::new(
            Code::ChassisInitialization,
            format!("the cell cannot be read: {error}; create it anew"),
        )
    };
    match checkpoint {
        Some(bytes) => Cell::restore(bytes).map_err(|error| broken(error.to_string())),
        None => Cell::new(&spec(order)?).map_err(|error| broken(error.to_string())),
    }
}

/// Metrics as the wire has them.
pub(crate) fn to_map(metrics: &Metrics) -> Result<Map<String, Value>, serde_json::Error> {
    match serde_json::to_value(metrics)? {
        Value::Object(map) => Ok(map),
        _ => Ok(Map::new()),
    }
}
