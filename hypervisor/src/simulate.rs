//! One cell followed from start to end, as `bioxen simulate` asks and prints it: reads NAME=VALUE and
//! MINUTE:NAME=VALUE, runs, and gives figures or a trajectory. It prints nothing itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::cell::{Cell, SimulationError, steady_vector};
use crate::chassis::ChassisName;
use crate::grid::{minutes_of, tick_at};
use crate::metrics::Metrics;
use crate::model::core::NAMES;
use crate::solver::rosenbrock::Tolerance;
use crate::spec::{
    Allocation, CellSpec, Change, Engine, MAX_ATP_MILLI_PERCENT, Regime, RibosomeCap, SpecError,
};
use crate::stochastic::Lineage;

/// Most rows of a trajectory: some 300 MB of text.
const MAX_ROWS: u64 = 1_000_000;

/// What to simulate, as text where people write text.
#[derive(Clone, Debug)]
pub struct Options {
    /// The kind of cell.
    pub chassis: ChassisName,
    /// NAME=VALUE, from minute 0 on; td, R, act and phiE shape minute 0 as well.
    pub set: Vec<String>,
    /// Energy supply, percent (to a thousandth); all of it if not given.
    pub atp_percent: Option<f64>,
    /// Cap in allocation units.
    pub ribosomes: Option<u32>,
    /// Cap in molecules.
    pub ribosome_cap: Option<f64>,
    /// MINUTE:NAME=VALUE, NAME also atp, ribosomes or ribosome_cap.
    pub at: Vec<String>,
    /// How long.
    pub minutes: f64,
    /// Minutes between the rows of a trajectory.
    pub every_minutes: f64,
    /// How accurate.
    pub tolerance: Tolerance,
    /// How it is simulated.
    pub engine: Engine,
    /// Key of a stochastic cell's random numbers.
    pub seed: u64,
    /// The other part of that key.
    pub replicate: u32,
    /// Divisions after which to stop, before the last minute; for the stochastic engine.
    pub generations: Option<u64>,
}

impl Options {
    /// An hour of an unlimited cell.
    #[must_use]
    pub fn new(chassis: ChassisName) -> Self {
        Self {
            chassis,
            set: Vec::new(),
            atp_percent: None,
            ribosomes: None,
            ribosome_cap: None,
            at: Vec::new(),
            minutes: 60.0,
            every_minutes: 1.0,
            tolerance: Tolerance::default(),
            engine: Engine::Ode,
            seed: 0,
            replicate: 0,
            generations: None,
        }
    }
}

/// Figures and state at the end.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The kind of cell.
    pub chassis: ChassisName,
    /// Whether this is the steady state under the settings, not a moment of a trajectory.
    pub steady: bool,
    /// Energy supply that holds at the end, percent.
    pub atp_percentage: f64,
    /// How it was simulated.
    pub engine: Engine,
    /// Where a stochastic cell stands in its lineage.
    #[serde(flatten)]
    pub lineage: Option<Lineage>,
    /// Cap on active ribosomes that holds at the end, molecules; null where there is none.
    pub ribosome_cap: Option<f64>,
    /// The figures; `simulated_minutes` of a steady state is 0.
    #[serde(flatten)]
    pub metrics: Metrics,
    /// Every state variable, molecules.
    pub state: BTreeMap<&'static str, f64>,
}

/// Why there is no outcome.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SimulateError {
    /// Not of the form asked for.
    #[error("{given:?} is not understood; expected {expected}")]
    Form {
        /// As given.
        given: String,
        /// The form.
        expected: &'static str,
    },
    /// Off the grid.
    #[error(
        "{minutes} minutes is not on the grid of simulated time; expected a multiple of 0.1 from 0 to 1e11"
    )]
    OffGrid {
        /// As given.
        minutes: f64,
    },
    /// No such distance between rows.
    #[error("a row every {minutes} minutes is not possible; expected a multiple of 0.1, at least 0.1")]
    Every {
        /// As given.
        minutes: f64,
    },
    /// Two caps.
    #[error("the ribosome cap is given in units and in molecules; give one of the two")]
    TwoCaps,
    /// A change after the end.
    #[error("the change {given:?} lies after the last minute, {minutes}; simulate longer, or leave it out")]
    AfterTheEnd {
        /// As given.
        given: String,
        /// The last minute.
        minutes: f64,
    },
    /// Changes in time for a state without time.
    #[error(
        "a steady state has no minutes; leave the changes at a minute out, or ask for a number of minutes"
    )]
    SteadyWithChanges,
    /// A steady state of a single cell.
    #[error("a stochastic cell has no steady state; leave out the engine, or ask for a number of minutes")]
    SteadyStochastic,
    /// Generations of a cell that does not divide.
    #[error(
        "the engine ode follows the mean cell, which does not divide; give generations with the engine stochastic"
    )]
    GenerationsOfTheMean,
    /// Fewer divisions than asked for.
    #[error(
        "the cell divided {done} times of {generations} within {minutes} minutes; simulate longer, or under better conditions"
    )]
    NotDivided {
        /// As asked.
        generations: u64,
        /// Divisions.
        done: u64,
        /// How long it was followed.
        minutes: f64,
    },
    /// An energy supply that cannot be.
    #[error("atp = {percent} is out of range; expected 0 to 100000 percent")]
    Atp {
        /// As given.
        percent: f64,
    },
    /// Too long a trajectory.
    #[error(
        "the trajectory would have {rows} rows; expected at most 1,000,000, ask for one every so many minutes"
    )]
    TooManyRows {
        /// How many.
        rows: u64,
    },
    /// A specification that does not hold.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A cell that cannot go on.
    #[error(transparent)]
    Simulation(#[from] SimulationError),
}

/// Follows the cell to its last minute.
///
/// # Errors
/// See [`SimulateError`].
pub fn run(options: &Options) -> Result<Outcome, SimulateError> {
    let mut cell = Cell::new(&spec(options)?)?;
    let last = last_tick(options)?;
    while !cell.advance_within(last, options.generations, u32::MAX)?.reached {}
    divided(&cell, options)?;
    let mut outcome = outcome(cell.regime(), cell.metrics(), cell.variables(), false);
    (outcome.engine, outcome.lineage) = (cell.engine(), cell.lineage());
    Ok(outcome)
}

/// Whether the cell has divided as often as was asked.
fn divided(cell: &Cell, options: &Options) -> Result<(), SimulateError> {
    let (Some(generations), Some(lineage)) = (options.generations, cell.lineage()) else { return Ok(()) };
    if lineage.generation >= generations {
        return Ok(());
    }
    let minutes = minutes_of(cell.tick());
    Err(SimulateError::NotDivided { generations, done: lineage.generation, minutes })
}

/// Finds the steady state under the settings; minutes do not matter.
///
/// # Errors
/// See [`SimulateError`].
pub fn steady(options: &Options) -> Result<Outcome, SimulateError> {
    if options.engine == Engine::Stochastic {
        return Err(SimulateError::SteadyStochastic);
    }
    if !options.at.is_empty() {
        return Err(SimulateError::SteadyWithChanges);
    }
    let (regime, state) = steady_vector(&spec(options)?)?;
    let metrics = Metrics::of(&regime, &state, 0.0, None);
    Ok(outcome(&regime, metrics, NAMES.into_iter().zip(state), true))
}

fn outcome(
    regime: &Regime,
    metrics: Metrics,
    state: impl Iterator<Item = (&'static str, f64)>,
    steady: bool,
) -> Outcome {
    Outcome {
        chassis: regime.chassis,
        steady,
        engine: Engine::Ode,
        lineage: None,
        atp_percentage: f64::from(regime.allocation.atp_milli_percent) / 1000.0,
        ribosome_cap: Some(regime.constants.cap).filter(|cap| cap.is_finite()),
        metrics,
        state: state.collect(),
    }
}

/// Follows the cell and gives its trajectory as CSV: a row every `every_minutes` and one at the end, each number
/// in the shortest form that reads back as the same number.
///
/// # Errors
/// See [`SimulateError`].
pub fn trajectory_csv(options: &Options) -> Result<String, SimulateError> {
    let last = last_tick(options)?;
    let every = tick_at(options.every_minutes)
        .filter(|every| *every > 0)
        .ok_or(SimulateError::Every { minutes: options.every_minutes })?;
    let rows = last / every + 1;
    if rows > MAX_ROWS {
        return Err(SimulateError::TooManyRows { rows });
    }
    let mut cell = Cell::new(&spec(options)?)?;
    let mut csv = String::from("minute");
    for name in NAMES {
        csv.push(',');
        csv.push_str(name);
    }
    csv.push_str(",growth_rate_per_min,ribosomes_active,ribosomes_total");
    csv.push_str(if cell.lineage().is_some() { ",generation\n" } else { "\n" });
    loop {
        let metrics = cell.metrics();
        // Writing to a String cannot fail.
        let _ = write!(csv, "{:?}", metrics.simulated_minutes);
        let figures = [metrics.growth_rate_per_min, metrics.ribosomes_active, metrics.ribosomes_total];
        for value in cell.variables().map(|(_, value)| value).chain(figures) {
            let _ = write!(csv, ",{value:?}");
        }
        if let Some(lineage) = cell.lineage() {
            let _ = write!(csv, ",{}", lineage.generation);
        }
        csv.push('\n');
        let done = options.generations.zip(cell.lineage());
        if cell.tick() == last || done.is_some_and(|(last, lineage)| lineage.generation >= last) {
            return divided(&cell, options).map(|()| csv);
        }
        let next = cell.tick().saturating_add(every).min(last);
        while !cell.advance_within(next, options.generations, u32::MAX)?.reached {}
    }
}

/// The specification that the options describe.
///
/// # Errors
/// See [`SimulateError`].
pub fn spec(options: &Options) -> Result<CellSpec, SimulateError> {
    if options.generations.is_some() && options.engine == Engine::Ode {
        return Err(SimulateError::GenerationsOfTheMean);
    }
    let mut parameters = BTreeMap::new();
    for setting in &options.set {
        let (name, value) = name_and_value(setting, setting, "NAME=VALUE, as in s0=1000")?;
        parameters.insert(name, value);
    }
    let ribosomes = match (options.ribosomes, options.ribosome_cap) {
        (Some(_), Some(_)) => return Err(SimulateError::TwoCaps),
        (Some(units), None) => RibosomeCap::Units(units),
        (None, Some(molecules)) => RibosomeCap::Molecules(molecules),
        (None, None) => RibosomeCap::Unlimited,
    };
    let atp_milli_percent = options.atp_percent.map_or(Ok(100_000), milli_percent)?;
    let schedule = options.at.iter().map(|text| change(text)).collect::<Result<Vec<_>, _>>()?;
    if let Ok(last) = last_tick(options)
        && let Some(late) = (0..schedule.len()).find(|i| schedule[*i].tick > last)
    {
        return Err(SimulateError::AfterTheEnd {
            given: shown(&options.at[late]),
            minutes: minutes_of(last),
        });
    }
    let spec = CellSpec {
        chassis: options.chassis,
        parameters,
        allocation: Allocation { atp_milli_percent, ribosomes },
        schedule,
        tolerance: options.tolerance,
        engine: options.engine,
        seed: options.seed,
        replicate: options.replicate,
    };
    spec.validate()?;
    Ok(spec)
}

fn last_tick(options: &Options) -> Result<u64, SimulateError> {
    tick_at(options.minutes).ok_or(SimulateError::OffGrid { minutes: options.minutes })
}

/// MINUTE:NAME=VALUE as a change.
fn change(text: &str) -> Result<Change, SimulateError> {
    const FORM: &str = "MINUTE:NAME=VALUE, as in 30:cl=4 or 30:ribosomes=10";
    let not_understood = || SimulateError::Form { given: shown(text), expected: FORM };
    let (minute, setting) = text.split_once(':').ok_or_else(not_understood)?;
    let minutes: f64 = minute.trim().parse().map_err(|_| not_understood())?;
    let tick = tick_at(minutes).ok_or(SimulateError::OffGrid { minutes })?;
    let mut change = Change { tick, ..Change::default() };
    let (name, value) = name_and_value(text, setting, FORM)?;
    match name.as_str() {
        "atp" => change.atp_milli_percent = Some(milli_percent(value)?),
        "ribosome_cap" => change.ribosomes = Some(RibosomeCap::Molecules(value)),
        "ribosomes" => {
            let units = whole_units(value).ok_or_else(not_understood)?;
            change.ribosomes = Some(RibosomeCap::Units(units));
        }
        _ => {
            change.parameters.insert(name, value);
        }
    }
    Ok(change)
}

fn name_and_value(
    given: &str,
    setting: &str,
    expected: &'static str,
) -> Result<(String, f64), SimulateError> {
    let not_understood = || SimulateError::Form { given: shown(given), expected };
    let (name, value) = setting.split_once('=').ok_or_else(not_understood)?;
    let value = value.trim().parse().map_err(|_| not_understood())?;
    Ok((name.trim().to_owned(), value))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number that fits")]
fn whole_units(value: f64) -> Option<u32> {
    (value.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&value)).then_some(value as u32)
}

/// Percent in thousandths, to the nearest.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to lie within the range"
)]
fn milli_percent(percent: f64) -> Result<u32, SimulateError> {
    let milli = (percent * 1000.0).round();
    if (0.0..=f64::from(MAX_ATP_MILLI_PERCENT)).contains(&milli) && percent >= 0.0 {
        Ok(milli as u32)
    } else {
        Err(SimulateError::Atp { percent })
    }
}

/// What a person gave, at a length that a message bears.
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}
