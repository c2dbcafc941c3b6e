//! A cell of either engine, by one set of calls. It holds no model: the engines do.
//!
//! ```text
//!   CellSpec --engine--> Ode:        concentrations, integrated      (ode)
//!                        Stochastic: molecules, reaction by reaction (stochastic)
//! ```

use std::collections::BTreeMap;

use crate::checkpoint::CheckpointError;
use crate::metrics::Metrics;
use crate::model::core::{A, Vector};
use crate::ode::OdeCell;
use crate::organism::action::OrganismError;
use crate::organism::readout::{GeneReadout, OperonReadout, OrganismReadout, PackageReadout, PlasmidReadout};
use crate::parameters::Symbol;
use crate::solver::steady;
use crate::spec::{Allocation, CellSpec, Change, Engine, Regime, SpecError};
use crate::stochastic::{Lineage, StochasticCell, saved};

/// One simulated cell. Cloning it is cheap; the clone runs on by itself, with the same bits.
#[derive(Clone, Debug)]
pub enum Cell {
    /// The mean cell, of constant size.
    Ode(Box<OdeCell>),
    /// A single cell of a lineage.
    Stochastic(Box<StochasticCell>),
}

/// How far a bounded advance came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The committed tick.
    pub tick: u64,
    /// Whether that is the tick asked for.
    pub reached: bool,
    /// Solver steps tried.
    pub steps: u32,
}

/// Why a cell cannot go on. It stays at its committed tick.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SimulationError {
    /// The model left what numbers can hold.
    #[error(
        "the model has no finite solution after minute {minute}: the step fell below 1e-12 min; check the parameters set"
    )]
    StepTooSmall {
        /// Where the step started.
        minute: f64,
    },
    /// The model changes too fast to follow.
    #[error(
        "more than 100,000 solver steps were needed within 0.1 min at minute {minute}; check the parameters set"
    )]
    TooManySteps {
        /// Where the step started.
        minute: f64,
    },
    /// Too many reactions to simulate one by one.
    #[error(
        "more than 5,000,000 reactions would fire within 0.1 min at minute {minute}; check the parameters set, or choose the engine ode"
    )]
    TooManyEvents {
        /// Where the tick started.
        minute: f64,
    },
    /// A tick that lies behind.
    #[error(
        "tick {tick} lies before the cell's tick {now}; a cell runs forward only, restore a checkpoint instead"
    )]
    Backwards {
        /// As asked.
        tick: u64,
        /// The cell's.
        now: u64,
    },
    /// A tick beyond the grid.
    #[error("tick {tick} is beyond the last one, 1,000,000,000,000")]
    BeyondGrid {
        /// As asked.
        tick: u64,
    },
    /// A specification or a change that cannot hold; a cell's schedule, being validated, has none.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// No steady state.
    #[error(
        "no steady state was found under these settings: the cell stops growing or does not settle; follow it with a number of minutes instead"
    )]
    NoSteadyState,
}

impl Cell {
    /// A cell at minute 0: its chassis stands at its unlimited steady state (td, R, act and phiE as set), newborn
    /// where the engine is stochastic; the other parameters and the allocation hold from then on.
    ///
    /// # Errors
    /// What [`CellSpec::validate`] finds.
    pub fn new(spec: &CellSpec) -> Result<Self, SpecError> {
        Ok(match spec.engine {
            Engine::Ode => Self::Ode(Box::new(OdeCell::new(spec)?)),
            Engine::Stochastic => Self::Stochastic(Box::new(StochasticCell::of_pack(spec)?)),
        })
    }

    /// The engine that it runs on.
    #[must_use]
    pub fn engine(&self) -> Engine {
        match self {
            Self::Ode(_) => Engine::Ode,
            Self::Stochastic(_) => Engine::Stochastic,
        }
    }

    /// The committed tick.
    #[must_use]
    pub fn tick(&self) -> u64 {
        match self {
            Self::Ode(cell) => cell.tick(),
            Self::Stochastic(cell) => cell.tick(),
        }
    }

    /// Where it stands in its lineage; none for the mean cell, which does not divide.
    #[must_use]
    pub fn lineage(&self) -> Option<Lineage> {
        match self {
            Self::Ode(_) => None,
            Self::Stochastic(cell) => Some(cell.lineage()),
        }
    }

    /// Runs to `tick`, applying scheduled changes on the way.
    ///
    /// # Errors
    /// See [`SimulationError`]; the cell then stays at the last tick that it could commit.
    pub fn advance_to(&mut self, tick: u64) -> Result<(), SimulationError> {
        match self {
            Self::Ode(cell) => cell.advance_to(tick),
            Self::Stochastic(cell) => cell.advance_to(tick),
        }
    }

    /// Runs towards `tick`, for about as long as `max_solver_steps` tries of a step take. Where it stops changes
    /// nothing in the trajectory.
    ///
    /// # Errors
    /// See [`SimulationError`]; the cell then stays at the last tick that it could commit.
    pub fn advance_for(&mut self, tick: u64, max_solver_steps: u32) -> Result<Progress, SimulationError> {
        self.advance_within(tick, None, max_solver_steps)
    }

    /// The same, but no further than the tick at which the cell has divided `generations` times. The mean cell does
    /// not divide, and goes to `tick`.
    ///
    /// # Errors
    /// See [`SimulationError`]; the cell then stays at the last tick that it could commit.
    pub fn advance_within(
        &mut self,
        tick: u64,
        generations: Option<u64>,
        max_solver_steps: u32,
    ) -> Result<Progress, SimulationError> {
        match self {
            Self::Ode(cell) => cell.advance_for(tick, max_solver_steps),
            Self::Stochastic(cell) => cell.advance_for(tick, generations, max_solver_steps),
        }
    }

    /// Applies `change` now: it is for the committed tick. The same as if it had been scheduled. One that changes
    /// nothing leaves every bit as it is.
    ///
    /// # Errors
    /// A change for another tick, or one that cannot hold; nothing is changed then.
    pub fn apply(&mut self, change: &Change) -> Result<(), SpecError> {
        match self {
            Self::Ode(cell) => cell.apply(change),
            Self::Stochastic(cell) => cell.apply(change),
        }
    }

    /// Lets the cell carry `load_wp` from its committed tick on: heterologous transcription of all that is installed,
    /// 1/min, beside the parameter wp and what plasmids cost, in place of what was installed before. The same as a
    /// [`Change`] with this `installed_load_wp`, in either engine.
    ///
    /// # Errors
    /// A load that is not a number from 0 to 1e15; nothing is changed then.
    pub fn carry_load(&mut self, load_wp: f64) -> Result<(), SpecError> {
        self.apply(&Change { tick: self.tick(), installed_load_wp: Some(load_wp), ..Change::default() })
    }

    /// Heterologous transcription of all that is installed, 1/min.
    #[must_use]
    pub fn installed_load_wp(&self) -> f64 {
        self.regime().installed
    }

    /// Figures at the committed tick.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        match self {
            Self::Ode(cell) => cell.metrics(),
            Self::Stochastic(cell) => cell.metrics(),
        }
    }

    /// The state at the committed tick, variable by variable, in molecules.
    pub fn variables(&self) -> impl Iterator<Item = (&'static str, f64)> + '_ {
        let values: Vec<_> = match self {
            Self::Ode(cell) => cell.variables().collect(),
            Self::Stochastic(cell) => cell.variables().collect(),
        };
        values.into_iter()
    }

    /// The cell as bytes.
    #[must_use]
    pub fn checkpoint(&self) -> Vec<u8> {
        match self {
            Self::Ode(cell) => cell.checkpoint(),
            Self::Stochastic(cell) => cell.checkpoint(),
        }
    }

    /// The cell that [`Cell::checkpoint`] gave these bytes for; it goes on with the same bits.
    ///
    /// # Errors
    /// Bytes that are none of this version's, or damaged.
    pub fn restore(bytes: &[u8]) -> Result<Self, CheckpointError> {
        if saved::is_one(bytes) {
            return Ok(Self::Stochastic(Box::new(StochasticCell::restore_of_pack(bytes)?)));
        }
        Ok(Self::Ode(Box::new(OdeCell::restore(bytes)?)))
    }

    /// Energy over that of the chassis' unlimited steady state: the same figure as in [`Cell::metrics`], for less.
    #[must_use]
    pub fn atp_level(&self) -> f64 {
        self.core()[A] / self.regime().reference.atp
    }

    /// What the cell is given now.
    #[must_use]
    pub fn allocation(&self) -> Allocation {
        self.regime().allocation
    }

    /// A specification with what holds in the cell now, and nothing to come: its parameters as they have been set and
    /// changed, what its plasmids cost included.
    #[must_use]
    pub fn spec_now(&self) -> CellSpec {
        let regime = self.regime();
        let mut parameters: BTreeMap<String, f64> =
            regime.settings.iter().map(|(symbol, value)| (symbol.name().to_owned(), value)).collect();
        let load = regime.load + regime.installed;
        if load > 0.0 {
            *parameters.entry(Symbol::Wp.name().to_owned()).or_default() += load;
        }
        CellSpec { parameters, allocation: regime.allocation, ..CellSpec::unlimited(regime.chassis) }
    }

    /// What holds now.
    pub(crate) fn regime(&self) -> &Regime {
        match self {
            Self::Ode(cell) => &cell.regime,
            Self::Stochastic(cell) => cell.regime(),
        }
    }

    /// The core's state; of a stochastic cell per volume, so that rates and fractions are those of the mean cell.
    pub(crate) fn core(&self) -> Vector {
        match self {
            Self::Ode(cell) => cell.state,
            Self::Stochastic(cell) => cell.core(),
        }
    }

    /// Everything that the cell carries beside its core: of a stochastic cell, its genes.
    #[must_use]
    pub fn organism(&self) -> OrganismReadout {
        match self {
            Self::Ode(cell) => cell.organism(),
            Self::Stochastic(cell) => cell.organism(),
        }
    }

    /// The operons named, or all of them where none is.
    ///
    /// # Errors
    /// A chassis without operons; a name that the pack does not list.
    pub fn operons(&self, named: &[String]) -> Result<Vec<OperonReadout>, OrganismError> {
        match self {
            Self::Ode(cell) => cell.operons(named),
            Self::Stochastic(cell) => cell.operons(named),
        }
    }

    /// The genes named, or all that the pack lists where none is.
    ///
    /// # Errors
    /// A chassis without a table of genes; a name that it does not list.
    pub fn genes(&self, named: &[String]) -> Result<Vec<GeneReadout>, OrganismError> {
        match self {
            Self::Ode(cell) => cell.genes(named),
            Self::Stochastic(cell) => cell.listed_genes(named),
        }
    }

    /// What was installed, by name.
    #[must_use]
    pub fn packages(&self) -> Vec<PackageReadout> {
        match self {
            Self::Ode(cell) => cell.packages(),
            Self::Stochastic(cell) => cell.packages(),
        }
    }

    /// All plasmids of the pack, also those that the cell does not carry.
    ///
    /// # Errors
    /// A chassis without plasmids.
    pub fn plasmids(&self) -> Result<Vec<PlasmidReadout>, OrganismError> {
        match self {
            Self::Ode(cell) => cell.plasmids(),
            Self::Stochastic(cell) => cell.plasmids(),
        }
    }
}

/// The steady state under `spec`'s parameters and allocation, its schedule aside.
///
/// # Errors
/// A specification that does not validate; settings under which the cell stops growing.
pub fn steady_state(spec: &CellSpec) -> Result<Metrics, SimulationError> {
    let (regime, state) = steady_vector(spec)?;
    Ok(Metrics::of(&regime, &state, 0.0, None))
}

pub(crate) fn steady_vector(spec: &CellSpec) -> Result<(Regime, Vector), SimulationError> {
    let (regime, baseline) = Regime::of(spec)?;
    let state = steady::find(&regime.constants, &baseline.state).ok_or(SimulationError::NoSteadyState)?;
    Ok((regime, state))
}
