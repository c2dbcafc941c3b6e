//! What a cell is to be: chassis, parameters, allocation, and the changes to come. It validates, and runs nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::chassis::{self, Baseline, ChassisName};
use crate::grid::MAX_TICK;
use crate::model::core::{CLASS_P, Constants};
use crate::organism::action::{Names, OrganismAction, OrganismError};
use crate::parameters::{Settings, Symbol};
use crate::solver::rosenbrock::Tolerance;
use crate::stochastic;

/// Most changes that may be scheduled at once: bounds a cell's memory.
pub const MAX_SCHEDULED_CHANGES: usize = 4_096;
/// Highest energy allocation, thousandths of a percent: a thousandfold supply.
pub(crate) const MAX_ATP_MILLI_PERCENT: u32 = 100_000_000;
/// Highest cap in molecules.
const MAX_CAP_MOLECULES: f64 = 1e15;
/// Highest heterologous load, 1/min: the range of wp.
pub(crate) const MAX_LOAD_WP: f64 = 1e15;

/// A bound on active ribosomes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RibosomeCap {
    /// No bound.
    Unlimited,
    /// Allocation units, up to the chassis' most, which means no bound. Below: complement * units / most.
    Units(u32),
    /// Molecules.
    Molecules(f64),
}

/// What a cell is given.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allocation {
    /// Energy supply in thousandths of a percent; 100,000 is all of it. It may be more.
    pub atp_milli_percent: u32,
    /// Bound on active ribosomes.
    pub ribosomes: RibosomeCap,
}

impl Allocation {
    /// All of the energy, no bound on ribosomes.
    pub const UNLIMITED: Self = Self { atp_milli_percent: 100_000, ribosomes: RibosomeCap::Unlimited };
}

impl Default for Allocation {
    fn default() -> Self {
        Self::UNLIMITED
    }
}

/// A change of parameters or allocation, or something done to what the cell carries, at a tick.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The tick from which it holds.
    pub tick: u64,
    /// New values, by symbol; what is not named stays.
    #[serde(default)]
    pub parameters: BTreeMap<String, f64>,
    /// New energy supply, thousandths of a percent.
    #[serde(default)]
    pub atp_milli_percent: Option<u32>,
    /// New bound on active ribosomes.
    #[serde(default)]
    pub ribosomes: Option<RibosomeCap>,
    /// Heterologous transcription of all that is installed, 1/min, in place of what was said before. It adds to the
    /// parameter wp and to what plasmids cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed_load_wp: Option<f64>,
    /// What is done to genes, operons and plasmids, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub organism: Vec<OrganismAction>,
}

/// How a cell is simulated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// The mean cell: equations, integrated.
    #[default]
    Ode,
    /// A single cell: reactions, simulated one by one; it grows and divides.
    Stochastic,
}

/// All that a trajectory depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellSpec {
    /// The kind of cell.
    pub chassis: ChassisName,
    /// Values by symbol; the rest is the chassis'. td, R, act and phiE calibrate, the others then replace.
    #[serde(default)]
    pub parameters: BTreeMap<String, f64>,
    /// From minute 0 on.
    #[serde(default)]
    pub allocation: Allocation,
    /// Changes to come; at one tick, in this order.
    #[serde(default)]
    pub schedule: Vec<Change>,
    /// How accurate the trajectory has to be; the stochastic engine does not use it.
    #[serde(default)]
    pub tolerance: Tolerance,
    /// How it is simulated.
    #[serde(default)]
    pub engine: Engine,
    /// Key of the random numbers; only the stochastic engine draws any.
    #[serde(default)]
    pub seed: u64,
    /// The other part of that key: members of an ensemble differ in it.
    #[serde(default)]
    pub replicate: u32,
}

/// Why a specification or a change is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SpecError {
    /// No such chassis.
    #[error(
        "there is no chassis {name:?}; expected syn3a, ecoli, minimal_cell, weisse2015 or an imported pack (--packs)"
    )]
    UnknownChassis {
        /// As given.
        name: String,
    },
    /// No such symbol.
    #[error("there is no parameter {name:?} (case counts); expected one of {known}")]
    UnknownParameter {
        /// As given.
        name: String,
        /// All symbols.
        known: String,
    },
    /// A parameter of the published model that a chassis has to give.
    #[error("the parameter {symbol} is missing; a chassis that is not calibrated gives all of them")]
    MissingParameter {
        /// The symbol.
        symbol: &'static str,
    },
    /// A value that the symbol cannot take.
    #[error("{symbol} = {value} is out of range; expected {expected}")]
    OutOfRange {
        /// The symbol.
        symbol: &'static str,
        /// As given.
        value: f64,
        /// The range.
        expected: String,
    },
    /// A calibration of a chassis that is not calibrated.
    #[error(
        "{symbol} cannot be set: {chassis} is not calibrated, it has the published parameters; set those, or choose another chassis"
    )]
    NotCalibrated {
        /// The symbol.
        symbol: &'static str,
        /// The chassis.
        chassis: ChassisName,
    },
    /// Two symbols that determine each other.
    #[error("{first} and {second} are both set, and one follows from the other; set one of them")]
    Conflict {
        /// One.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// More units than the chassis takes.
    #[error("{units} ribosome units are too many for {chassis}; expected 0 to {most}, {most} meaning no cap")]
    TooManyUnits {
        /// As given.
        units: u32,
        /// The chassis' most.
        most: u32,
        /// The chassis.
        chassis: ChassisName,
    },
    /// A change at another tick than the cell's.
    #[error(
        "a change for tick {tick} cannot be applied at tick {now}; advance the cell there first, or schedule the change"
    )]
    WrongTick {
        /// The change's.
        tick: u64,
        /// The cell's.
        now: u64,
    },
    /// Something that cannot be done to the chassis' genes, operons or plasmids.
    #[error(transparent)]
    Organism(#[from] OrganismError),
    /// A schedule that is too long.
    #[error("{count} changes are scheduled; expected at most 4,096")]
    TooManyChanges {
        /// How many.
        count: usize,
    },
}

impl CellSpec {
    /// A cell of `chassis` with everything that it can use.
    #[must_use]
    pub fn unlimited(chassis: ChassisName) -> Self {
        Self {
            chassis,
            parameters: BTreeMap::new(),
            allocation: Allocation::UNLIMITED,
            schedule: Vec::new(),
            tolerance: Tolerance::default(),
            engine: Engine::Ode,
            seed: 0,
            replicate: 0,
        }
    }

    /// Whether a cell can be made of it: every symbol, value, calibration and scheduled change.
    ///
    /// # Errors
    /// The first that does not fit, with what would.
    pub fn validate(&self) -> Result<(), SpecError> {
        let (mut regime, _) = Regime::of(self)?;
        for change in in_order(&self.schedule)? {
            if self.engine == Engine::Stochastic {
                stochastic::served(self.chassis, change)?;
            }
            regime = regime.after(change)?;
        }
        Ok(())
    }
}

/// The changes of a schedule by tick, those of one tick in the order given.
pub(crate) fn in_order(schedule: &[Change]) -> Result<Vec<&Change>, SpecError> {
    if schedule.len() > MAX_SCHEDULED_CHANGES {
        return Err(SpecError::TooManyChanges { count: schedule.len() });
    }
    if let Some(late) = schedule.iter().find(|change| change.tick > MAX_TICK) {
        let expected = format!("a tick up to {MAX_TICK}");
        return Err(SpecError::OutOfRange { symbol: "tick", value: late.tick as f64, expected });
    }
    let mut ordered: Vec<&Change> = schedule.iter().collect();
    ordered.sort_by_key(|change| change.tick);
    Ok(ordered)
}

/// What holds at a moment: settings and allocation, and what follows from them.
#[derive(Clone, Debug)]
pub(crate) struct Regime {
    pub(crate) chassis: ChassisName,
    pub(crate) settings: Settings,
    pub(crate) allocation: Allocation,
    pub(crate) reference: chassis::Reference,
    /// Heterologous transcription beside the parameter wp: what plasmids cost, 1/min.
    pub(crate) load: f64,
    /// The same for what is installed.
    pub(crate) installed: f64,
    pub(crate) constants: Constants,
}

impl Regime {
    /// The regime of minute 0, and its chassis' unlimited steady state.
    pub(crate) fn of(spec: &CellSpec) -> Result<(Self, Baseline), SpecError> {
        check_tolerance(&spec.tolerance)?;
        let settings = Settings::default().with(&spec.parameters)?;
        Self::new(spec.chassis, settings, spec.allocation)
    }

    /// The regime under settings and allocation, and its chassis' unlimited steady state.
    pub(crate) fn new(
        chassis: ChassisName,
        settings: Settings,
        allocation: Allocation,
    ) -> Result<(Self, Baseline), SpecError> {
        let baseline = chassis::baseline(chassis, &settings)?;
        if allocation.atp_milli_percent > MAX_ATP_MILLI_PERCENT {
            return Err(SpecError::OutOfRange {
                symbol: "atp",
                value: f64::from(allocation.atp_milli_percent) / 1000.0,
                expected: "0 to 100000 percent".to_owned(),
            });
        }
        let cap = cap_molecules(chassis, &baseline, allocation.ribosomes)?;
        let constants = baseline.constants(f64::from(allocation.atp_milli_percent) / 100_000.0, cap);
        let reference = baseline.reference;
        Ok((
            Self { chassis, settings, allocation, reference, load: 0.0, installed: 0.0, constants },
            baseline,
        ))
    }

    /// The regime after `change`.
    pub(crate) fn after(&self, change: &Change) -> Result<Self, SpecError> {
        let settings = self.settings.with(&change.parameters)?;
        let allocation = Allocation {
            atp_milli_percent: change.atp_milli_percent.unwrap_or(self.allocation.atp_milli_percent),
            ribosomes: change.ribosomes.unwrap_or(self.allocation.ribosomes),
        };
        Names::of(self.chassis).check(&change.organism)?;
        let installed = change.installed_load_wp.unwrap_or(self.installed);
        if !(0.0..=MAX_LOAD_WP).contains(&installed) {
            let expected = "a number from 0 to 1e15".to_owned();
            return Err(SpecError::OutOfRange { symbol: "installed_load_wp", value: installed, expected });
        }
        let mut regime = Self::new(self.chassis, settings, allocation)?.0;
        regime.set_loads(self.load, installed);
        Ok(regime)
    }

    /// Lets the cell carry these beside the parameter wp: what plasmids cost, what is installed.
    pub(crate) fn set_loads(&mut self, load: f64, installed: f64) {
        (self.load, self.installed) = (load, installed);
        let set = self.settings.get(Symbol::Wp).unwrap_or(0.0);
        self.constants.transcription[CLASS_P] = set + load + installed;
    }
}

fn cap_molecules(chassis: ChassisName, baseline: &Baseline, cap: RibosomeCap) -> Result<f64, SpecError> {
    match cap {
        RibosomeCap::Unlimited => Ok(f64::INFINITY),
        RibosomeCap::Units(units) => {
            let most = chassis.most_ribosome_units();
            match units {
                _ if units > most => Err(SpecError::TooManyUnits { units, most, chassis }),
                _ if units == most => Ok(f64::INFINITY),
                _ => Ok(baseline.reference.ribosomes_total * f64::from(units) / f64::from(most)),
            }
        }
        RibosomeCap::Molecules(molecules) if (0.0..=MAX_CAP_MOLECULES).contains(&molecules) => Ok(molecules),
        RibosomeCap::Molecules(molecules) => Err(SpecError::OutOfRange {
            symbol: "ribosome_cap",
            value: molecules,
            expected: "a number of molecules from 0 to 1e15".to_owned(),
        }),
    }
}

pub(crate) fn check_tolerance(tolerance: &Tolerance) -> Result<(), SpecError> {
    let out_of_range = |symbol, value, expected: &str| {
        Err(SpecError::OutOfRange { symbol, value, expected: expected.to_owned() })
    };
    if !(1e-12..=1e-2).contains(&tolerance.relative) {
        return out_of_range("tolerance.relative", tolerance.relative, "a number from 1e-12 to 0.01");
    }
    if !(1e-12..=1.0).contains(&tolerance.absolute) {
        return out_of_range("tolerance.absolute", tolerance.absolute, "a number from 1e-12 to 1");
    }
    Ok(())
}
