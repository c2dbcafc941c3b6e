//! From the wire's order to the cell library's specification. It validates what the library does not, and builds.

use bioxen_hypervisor::trace::{Recording, TraceError};
use bioxen_hypervisor::{
    Allocation, Cell, CellSpec, Change, ChassisName, CheckpointError, RibosomeCap, SpecError, Tolerance,
};
use bioxen_package::install_action;
use bioxen_protocol::command::Engine;
use bioxen_protocol::limits::{CHECKPOINT_BYTES, PACKAGES_PER_VM, PARAMETERS, SCHEDULE_CHANGES};
use bioxen_protocol::package::VmPackage;
use bioxen_protocol::worker::{CellAllocation, CellOrder, Desired, NumberedChange, OrderedChange};

/// Why no cell can be made of an order.
#[derive(Debug, thiserror::Error)]
pub enum BadOrder {
    #[error("the order to make the cell is missing; it comes with what is desired of a new VM")]
    Missing,
    #[error("{what} is {value}; expected at most {most}")]
    TooMuch { what: &'static str, value: u64, most: u64 },
    #[error("this worker's pack of {chassis} is not the one that the VM was made with ({}); start the worker with that pack in --packs", .wanted.as_deref().unwrap_or("the program's own"))]
    Pack { chassis: ChassisName, wanted: Option<String> },
    #[error(transparent)]
    Recording(#[from] TraceError),
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// The cell that `desired` starts from: its checkpoint where there is one, else minute 0.
///
/// # Errors
/// No order, one that no cell can be made of here, a checkpoint that is none.
pub fn cell(desired: &Desired) -> Result<Cell, BadOrder> {
    let order = desired.order.as_deref().ok_or(BadOrder::Missing)?;
    // Also beside a checkpoint: an order that this worker cannot follow fails wherever the VM stands.
    let spec = spec(order)?;
    match &desired.checkpoint {
        None => Ok(Cell::new(&spec)?),
        Some(bytes) => {
            at_most("the checkpoint's bytes", bytes.len(), CHECKPOINT_BYTES)?;
            Ok(Cell::restore(bytes)?)
        }
    }
}

/// What the VM is to record.
///
/// # Errors
/// Variables that no cell has.
pub fn recording(desired: &Desired) -> Result<Option<Recording>, BadOrder> {
    let record = desired.order.as_deref().and_then(|order| order.record.as_ref());
    Ok(record.map(|record| Recording::new(&record.variables, record.every_ticks)).transpose()?)
}

/// What the order says, without regard to where it is computed.
pub(crate) fn spec(order: &CellOrder) -> Result<CellSpec, BadOrder> {
    at_most("the number of parameters", order.parameters.len(), PARAMETERS)?;
    at_most("the number of scheduled changes", order.schedule.len(), SCHEDULE_CHANGES)?;
    let chassis: ChassisName = order.biological_type.parse()?;
    if chassis.digest() != order.pack.as_deref() {
        return Err(BadOrder::Pack { chassis, wanted: order.pack.clone() });
    }
    at_most("the number of packages", order.packages.len(), PACKAGES_PER_VM)?;
    let installed = order.packages.iter().map(|package| Ok(installed(package, 0)));
    let changes = order.schedule.iter().filter(|change| change.changes_cell());
    let schedule = installed.chain(changes.map(scheduled)).collect::<Result<_, _>>()?;
    let spec = CellSpec {
        chassis,
        parameters: order.parameters.clone(),
        allocation: Allocation {
            atp_milli_percent: atp(&order.allocation)?,
            ribosomes: ribosomes(&order.allocation)?,
        },
        schedule,
        tolerance: Tolerance::default(),
        engine: match order.engine {
            Engine::Ode => bioxen_hypervisor::Engine::Ode,
            Engine::Stochastic => bioxen_hypervisor::Engine::Stochastic,
        },
        seed: order.seed,
        replicate: order.replicate,
    };
    Ok(spec)
}

fn scheduled(change: &OrderedChange) -> Result<Change, BadOrder> {
    at_most("the number of parameters of a scheduled change", change.parameters.len(), PARAMETERS)?;
    let allocation = change.allocation.as_ref();
    Ok(Change {
        tick: change.tick,
        parameters: change.parameters.clone(),
        atp_milli_percent: allocation.map(atp).transpose()?,
        ribosomes: allocation.map(ribosomes).transpose()?,
        ..Change::default()
    })
}

/// The change that a command asked for, at the grid point where the cell stands.
///
/// # Errors
/// Amounts that no cell can be given.
pub fn change(change: &NumberedChange, tick: u64) -> Result<Change, BadOrder> {
    if let Some(package) = &change.package {
        return Ok(installed(package, tick));
    }
    Ok(Change {
        tick,
        atp_milli_percent: Some(atp(&change.allocation)?),
        ribosomes: Some(ribosomes(&change.allocation)?),
        ..Change::default()
    })
}

fn installed(package: &VmPackage, tick: u64) -> Change {
    // Without a load it is its modules alone, which no cell knows of.
    let organism = if package.has_load() { vec![install_action(package)] } else { Vec::new() };
    Change { tick, organism, ..Change::default() }
}

fn atp(allocation: &CellAllocation) -> Result<u32, BadOrder> {
    narrow("atp_percentage in thousandths", allocation.atp_millipercent)
}

fn ribosomes(allocation: &CellAllocation) -> Result<RibosomeCap, BadOrder> {
    Ok(RibosomeCap::Units(narrow("ribosomes", allocation.ribosomes)?))
}

fn narrow(what: &'static str, value: u64) -> Result<u32, BadOrder> {
    u32::try_from(value).map_err(|_| BadOrder::TooMuch { what, value, most: u32::MAX.into() })
}

fn at_most(what: &'static str, value: usize, most: usize) -> Result<(), BadOrder> {
    if value <= most {
        return Ok(());
    }
    Err(BadOrder::TooMuch { what, value: value as u64, most: most as u64 })
}
