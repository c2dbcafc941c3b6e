//! From a `create` body to what the core decides on: defaults filled in, ranges checked, the model's settings tried.

use std::collections::BTreeMap;
use std::sync::Arc;

use bioxen_hypervisor::CellSpec;
use bioxen_protocol::command::{AllocationRequest, Create, Engine, OnFull, ScheduledChange, VmConfig};
use bioxen_protocol::config::ChassisLimits;
use bioxen_protocol::error::{Amount, Code, ErrorBody, nearest};
use bioxen_protocol::limits::{LABEL_BYTES, LABELS, PACE_DEFAULT, PARAMETERS, PRIORITY, SCHEDULE_CHANGES};
use bioxen_protocol::quantity::{AtpPercent, Pace};
use bioxen_protocol::worker::{CellAllocation, CellOrder, OrderedChange};

use super::calls;
use super::chassis::{self, Chassis};
use super::recording::recording;
use super::xcpng;
use crate::cell;
use crate::fleet::command::NewVm;

/// The new VM, and what of the body has no effect.
pub(crate) fn new_vm(create: Create, limits: &ChassisLimits) -> Result<(NewVm, Vec<String>), ErrorBody> {
    let chassis = chassis::find(&create.biological_type, limits)
        .ok_or_else(|| unknown_chassis(&create.biological_type))?;
    let xcpng = create.config.as_ref().and_then(|config| config.xcpng_config.as_ref());
    let pool = xcpng::pool(create.vm_type, xcpng, "config.xcpng_config")?;
    check_ranges(&create)?;
    not_zero("allocation.", &create.allocation)?;
    let most = most(&chassis, create.config.as_ref())?;
    let allocation = filled(&chassis, most, create.allocation);
    calls::check(&create.schedule)?;
    let schedule = schedule(&create.schedule, allocation)?;
    let horizon_tick = create.horizon_minutes.map(|horizon| horizon.ticks);
    let order = CellOrder {
        pack: chassis::digest(&create.biological_type),
        biological_type: create.biological_type,
        vm_type: create.vm_type,
        pool,
        engine: create.engine,
        seed: create.seed.map_or_else(drawn_seed, Ok)?,
        replicate: create.replicate,
        parameters: create.parameters,
        allocation,
        schedule,
        horizon_tick,
        horizon_generations: create.horizon_generations.map(u64::from),
        pace: pace(create.pace, horizon_tick.is_some() || create.horizon_generations.is_some())?,
        priority: create.priority,
        record: create.record.map(|record| recording(record, allocation, horizon_tick)).transpose()?,
        packages: Vec::new(),
    };
    try_cell(&order, most)?;
    let warnings = create.config.as_ref().map(warnings).unwrap_or_default();
    let new = NewVm {
        order: Arc::new(order),
        most,
        on_complete: create.on_complete,
        labels: create.labels,
        auto_start: create.auto_start || create.on_full == OnFull::Queue,
        on_full: create.on_full,
    };
    Ok((new, warnings))
}

/// Nothing is no allocation: a VM that shall rest is paused or stopped.
///
/// `place` is where the request stands in the body: `""`, or a path that ends with a dot.
pub(crate) fn not_zero(place: &str, request: &AllocationRequest) -> Result<(), ErrorBody> {
    let fields = [
        ("atp_percentage", request.atp_percentage.map(|atp| atp.0)),
        ("ribosomes", request.ribosomes),
        ("memory_kb", request.memory_kb),
    ];
    match fields.into_iter().find(|(_, amount)| *amount == Some(0)) {
        Some((name, _)) => Err(invalid(
            Code::ApiValidation,
            &format!("{place}{name}"),
            format!("{name} is 0: expected more; a VM that shall rest is paused or stopped"),
        )),
        None => Ok(()),
    }
}

fn unknown_chassis(name: &str) -> ErrorBody {
    let known = chassis::ALL.iter().map(|chassis| chassis.name);
    let near = nearest(name, known.clone());
    let shown: String = name.chars().take(80).collect();
    let known: Vec<_> = known.collect();
    let message = format!("unknown biological_type {shown:?}: known are {}", known.join(", "));
    ErrorBody::new(Code::ChassisInitialization, message).with(|details| {
        details.field = Some("biological_type".to_owned());
        details.nearest = near.into_iter().collect();
    })
}

fn check_ranges(create: &Create) -> Result<(), ErrorBody> {
    let api = |name: &str, message: String| Err(invalid(Code::ApiValidation, name, message));
    if !PRIORITY.contains(&create.priority) {
        let (first, last) = (PRIORITY.start(), PRIORITY.end());
        return api(
            "priority",
            format!("priority is {}: expected {first} (first) to {last} (last)", create.priority),
        );
    }
    if create.labels.len() > LABELS {
        return api("labels", format!("{} labels: at most {LABELS} are kept", create.labels.len()));
    }
    if let Some((name, _)) =
        create.labels.iter().find(|(name, value)| name.is_empty() || name.len() + value.len() > LABEL_BYTES)
    {
        let shown: String = name.chars().take(40).collect();
        return api(
            "labels",
            format!("label {shown:?}: expected a name, and at most {LABEL_BYTES} bytes with its value"),
        );
    }
    if create.schedule.len() > SCHEDULE_CHANGES {
        return api(
            "schedule",
            format!("{} changes: at most {SCHEDULE_CHANGES} may be scheduled", create.schedule.len()),
        );
    }
    let sets =
        std::iter::once(&create.parameters).chain(create.schedule.iter().map(|change| &change.parameters));
    if let Some(many) = sets.map(BTreeMap::len).find(|many| *many > PARAMETERS) {
        return api("parameters", format!("{many} parameters at once: at most {PARAMETERS}"));
    }
    if create.horizon_generations == Some(0) {
        return api("horizon_generations", "horizon_generations is 0: expected at least 1".to_owned());
    }
    if create.horizon_generations.is_some() && create.engine == Engine::Ode {
        return Err(invalid(
            Code::InvalidConfiguration,
            "horizon_generations",
            "horizon_generations needs engine stochastic: the cell of engine ode is the mean cell, which does not divide; give horizon_minutes"
                .to_owned(),
        ));
    }
    if create.horizon_minutes.is_some_and(|horizon| horizon.ticks == 0) {
        return api("horizon_minutes", "horizon_minutes is 0: expected at least 0.1".to_owned());
    }
    Ok(())
}

fn most(chassis: &Chassis, config: Option<&VmConfig>) -> Result<CellAllocation, ErrorBody> {
    let mut most = chassis.most;
    let Some(limits) = config.and_then(|config| config.resource_limits.as_ref()) else { return Ok(most) };
    let asked = [
        ("max_atp", limits.max_atp.map(|atp| atp.0), &mut most.atp_millipercent),
        ("max_ribosomes", limits.max_ribosomes, &mut most.ribosomes),
        ("memory_limit", limits.memory_limit.map(|memory| memory.0), &mut most.memory_kb),
    ];
    for (name, asked, most) in asked {
        match asked {
            Some(asked) if asked > *most => {
                let message = format!(
                    "config.resource_limits.{name} is above what {} may ever hold: lower it or leave it out",
                    chassis.name
                );
                return Err(ErrorBody::new(Code::InvalidConfiguration, message).with(|details| {
                    details.field = Some(format!("config.resource_limits.{name}"));
                    let amount = |value| match name {
                        "max_atp" => Amount::Percent(AtpPercent(value).percent()),
                        _ => Amount::Count(value),
                    };
                    details.limit = Some(amount(*most));
                    details.requested = Some(amount(asked));
                }));
            }
            Some(0) => {
                let name = format!("config.resource_limits.{name}");
                let message = format!("{name} is 0, and nothing could run: raise it or leave it out");
                return Err(invalid(Code::InvalidConfiguration, &name, message));
            }
            Some(asked) => *most = asked,
            None => {}
        }
    }
    Ok(most)
}

fn filled(chassis: &Chassis, most: CellAllocation, asked: AllocationRequest) -> CellAllocation {
    let default = chassis.default;
    CellAllocation {
        atp_millipercent: asked
            .atp_percentage
            .map_or(default.atp_millipercent.min(most.atp_millipercent), |atp| atp.0),
        ribosomes: asked.ribosomes.unwrap_or(default.ribosomes.min(most.ribosomes)),
        memory_kb: asked.memory_kb.unwrap_or(default.memory_kb.min(most.memory_kb)),
    }
}

/// Scheduled allocations stay within what the VM holds from the start: nothing is taken without being counted.
fn schedule(changes: &[ScheduledChange], held: CellAllocation) -> Result<Vec<OrderedChange>, ErrorBody> {
    let mut ordered: Vec<OrderedChange> = Vec::with_capacity(changes.len());
    let mut sorted: Vec<&ScheduledChange> = changes.iter().collect();
    sorted.sort_by_key(|change| change.at_minute);
    let mut now = held;
    for change in sorted {
        if change.parameters.is_empty() && change.allocation.is_none() && change.call.is_none() {
            return Err(invalid(
                Code::ApiValidation,
                "schedule",
                "a scheduled change changes nothing: give parameters, allocation or call".to_owned(),
            ));
        }
        let allocation = match change.allocation {
            None => None,
            Some(asked) => {
                not_zero("schedule.allocation.", &asked)?;
                now = CellAllocation {
                    atp_millipercent: asked.atp_percentage.map_or(now.atp_millipercent, |atp| atp.0),
                    ribosomes: asked.ribosomes.unwrap_or(now.ribosomes),
                    memory_kb: asked.memory_kb.unwrap_or(now.memory_kb),
                };
                let above = now.atp_millipercent > held.atp_millipercent
                    || now.ribosomes > held.ribosomes
                    || now.memory_kb > held.memory_kb;
                if above {
                    return Err(invalid(
                        Code::InvalidConfiguration,
                        "schedule.allocation",
                        "a scheduled allocation is above the VM's own: ask for the highest in allocation, and schedule less"
                            .to_owned(),
                    ));
                }
                Some(now)
            }
        };
        ordered.push(OrderedChange {
            tick: change.at_minute.ticks,
            parameters: change.parameters.clone(),
            allocation,
            call: change.call.clone(),
        });
    }
    Ok(ordered)
}

fn pace(asked: Option<Pace>, has_horizon: bool) -> Result<Pace, ErrorBody> {
    match (asked, has_horizon) {
        (Some(Pace::Max), false) => Err(invalid(
            Code::InvalidConfiguration,
            "pace",
            "pace max without a horizon would never end: give horizon_minutes or horizon_generations, or a pace in simulated seconds per second"
                .to_owned(),
        )),
        (Some(pace), _) => Ok(pace),
        (None, true) => Ok(Pace::Max),
        (None, false) => Ok(Pace::Ratio(PACE_DEFAULT)),
    }
}

/// Whether the model takes the settings. What is above the VM's most is the core's to refuse, with its figures.
fn try_cell(order: &CellOrder, most: CellAllocation) -> Result<(), ErrorBody> {
    let asked = order.allocation;
    let allocation = CellAllocation {
        atp_millipercent: asked.atp_millipercent.min(most.atp_millipercent),
        ribosomes: asked.ribosomes.min(most.ribosomes),
        memory_kb: asked.memory_kb.min(most.memory_kb),
    };
    let spec: CellSpec = cell::spec(&CellOrder { allocation, ..order.clone() })?;
    spec.validate().map_err(|error| invalid(Code::InvalidConfiguration, "parameters", error.to_string()))
}

/// 53 bits: exact in every language that reads JSON numbers as floats.
pub(super) fn drawn_seed() -> Result<u64, ErrorBody> {
    let mut bytes = [0u8; 8];
    getrandom::fill(&mut bytes).map_err(|error| {
        ErrorBody::new(Code::VmCreationFailed, format!("no seed could be drawn: {error}"))
    })?;
    Ok(u64::from_le_bytes(bytes) >> 11)
}

fn warnings(config: &VmConfig) -> Vec<String> {
    let settings = config.biological_settings.clone().unwrap_or_default();
    let performance = config.performance.clone().unwrap_or_default();
    let given = [
        ("biological_settings.genome_optimization", settings.genome_optimization.is_some()),
        ("biological_settings.minimal_mode", settings.minimal_mode.is_some()),
        ("biological_settings.essential_genes_only", settings.essential_genes_only.is_some()),
        ("biological_settings.operon_management", settings.operon_management.is_some()),
        ("biological_settings.plasmid_support", settings.plasmid_support.is_some()),
        ("biological_settings.growth_optimization", settings.growth_optimization.is_some()),
        ("biological_settings.basic_functions_only", settings.basic_functions_only.is_some()),
        ("biological_settings.function_validation", settings.function_validation.is_some()),
        ("biological_settings.strict_mode", settings.strict_mode.is_some()),
        ("performance.enable_monitoring", performance.enable_monitoring.is_some()),
        ("performance.optimization_interval", performance.optimization_interval.is_some()),
    ];
    given.iter().filter(|(_, given)| *given).map(|(name, _)| format!("config.{name}: no effect")).collect()
}

fn invalid(code: Code, name: &str, message: String) -> ErrorBody {
    ErrorBody::new(code, message).with(|details| details.field = Some(name.to_owned()))
}
