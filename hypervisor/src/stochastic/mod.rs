//! The stochastic engine: a cell in which every count of molecules comes from simulated reactions.
//!
//! ```text
//!   tick:  counts --> totals --> environment (energy, nutrient, ribosomes; continuous) --> rates
//!                                                                                           |
//!          next tick <-- division at twice the mass <-- counts <-- reactions, one by one <--+
//! ```
//!
//! | module | job |
//! |---|---|
//! | `genes` | rates of genes from a table, in closed form |
//! | `gene_layer`, `choice` | counts by gene, by composition-rejection |
//! | `core_layer` | counts by class where there are no genes, by the direct method |
//! | `carried`, `actions` | operons and plasmids beside them; what is done to any of these |
//! | `layer` | either of the two |
//! | `draw`, `readout` | the kind of reaction that fires; figures for people |
//! | `shared` | the same genes for all cells of a pack |
//! | `environment` | energy, nutrient, growth, shared ribosomes |
//! | `saved` | the same as bytes |
//!
//! Rates stand still within a tick (a tenth of that without genes) and depend on the counts at its start, so where
//! a caller stops changes no bit. No distribution is sampled in place of reactions; a division is a coin for each
//! molecule. No clock, no threads; random numbers by (seed, replicate, stream) alone.

mod actions;
mod carried;
mod choice;
mod core_layer;
mod draw;
mod environment;
mod gene_layer;
mod genes;
mod layer;
mod readout;
pub(crate) mod saved;
mod shared;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::f64::consts::LN_2;
use std::sync::Arc;

use serde::Serialize;

use crate::cell::{Progress, SimulationError};
use crate::chassis::pack::genes::GeneTable;
use crate::grid::{MAX_TICK, TICKS_PER_MINUTE, minutes_of};
use crate::maths;
use crate::parameters::Settings;
use crate::rng::Rng;
use crate::spec::{CellSpec, Change, Regime, SpecError, in_order};
pub(crate) use actions::served;
use carried::Carried;
use core_layer::CoreLayer;
use environment::Environment;
use gene_layer::GeneLayer;
use genes::{Genes, Reference};
use layer::Layer;
pub use readout::GeneCounts;

/// Reactions within one tick before giving up: about a fifth of a second. E. coli has 40,000.
const MAX_EVENTS_PER_TICK: f64 = 5e6;
/// A tick's length.
const TICK_MIN: f64 = 1.0 / TICKS_PER_MINUTE as f64;
/// Ticks that the mother of the first cell may take: a cell that does not divide by then starts as it is.
const MAX_MOTHER_TICKS: u32 = 5_000;
/// Reactions that take about as long as a solver step.
const EVENTS_PER_STEP: u64 = 64;
/// Streams of random numbers.
const REACTIONS: u64 = 0;
const DIVISIONS: u64 = 1;

/// One simulated cell of a lineage: at each division one daughter is followed.
#[derive(Clone, Debug)]
pub struct StochasticCell {
    regime: Regime,
    /// The settings that the reference was calibrated by.
    calibration: Settings,
    /// Changes to come, by tick.
    schedule: VecDeque<Change>,
    tick: u64,
    lineage: Lineage,
    environment: Environment,
    layer: Layer,
    /// Operons and plasmids; none where there are neither.
    carried: Option<Box<Carried>>,
    /// The environment is held at the reference: volume of the cell.
    held_volume: Option<f64>,
    seed: u64,
    replicate: u32,
    reactions: Rng,
    divisions: Rng,
    /// Reactions fired since minute 0.
    events: u64,
}

/// Where the cell stands in its lineage.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Lineage {
    /// Divisions since minute 0.
    pub generation: u64,
    /// The tick at which the cell was born.
    pub birth_tick: u64,
    /// Its mass then, aa.
    pub birth_mass_aa: f64,
}

/// Why a tick was not simulated.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    TooManyEvents,
}

impl StochasticCell {
    /// A cell at minute 0, just born. Its mother grew from the chassis' unlimited steady state where `genes` has
    /// figures of single genes; without any the newborn is that state itself, halved to whole molecules. The
    /// specification's parameters and allocation hold from then on. Its tolerance is not used.
    ///
    /// # Errors
    /// What [`CellSpec::validate`] finds.
    pub fn new(spec: &CellSpec, genes: &GeneTable, seed: u64, replicate: u32) -> Result<Self, SpecError> {
        Self::with(spec, Some(genes), seed, replicate)
    }

    /// The same with the genes of the chassis' pack, by the specification's key.
    pub(crate) fn of_pack(spec: &CellSpec) -> Result<Self, SpecError> {
        Self::with(spec, None, spec.seed, spec.replicate)
    }

    fn with(
        spec: &CellSpec,
        genes: Option<&GeneTable>,
        seed: u64,
        replicate: u32,
    ) -> Result<Self, SpecError> {
        spec.validate()?;
        spec.schedule.iter().try_for_each(|change| served(spec.chassis, change))?;
        let (regime, _) = Regime::of(spec)?;
        let reference = Reference::of(regime.chassis, &regime.settings)?;
        let genes = match genes {
            Some(table) => Genes::new(table, reference).map(Arc::new),
            None => shared::genes(regime.chassis, &regime.settings, reference),
        };
        let carried = actions::at_reference(&regime, genes.as_deref(), LN_2, (seed, replicate));
        let layer = match genes {
            Some(genes) => Layer::Genes(Box::new(GeneLayer::at_reference(genes, LN_2))),
            None => Layer::Core(CoreLayer::at(&reference.state, LN_2)),
        };
        let schedule = in_order(&spec.schedule)?.into_iter().cloned().collect();
        let mut cell = Self {
            calibration: regime.settings.clone(),
            regime,
            schedule,
            tick: 0,
            lineage: Lineage { generation: 0, birth_tick: 0, birth_mass_aa: 0.0 },
            environment: Environment::of(&reference),
            layer,
            carried,
            held_volume: None,
            seed,
            replicate,
            reactions: Rng::new(seed, replicate, REACTIONS),
            divisions: Rng::new(seed, replicate, DIVISIONS),
            events: 0,
        };
        cell.be_born(&reference);
        cell.apply_due()?;
        Ok(cell)
    }

    /// Lives the mother's life, unlimited, and starts the count of time at the division.
    fn be_born(&mut self, reference: &Reference) {
        let constants = std::mem::replace(&mut self.regime.constants, reference.constants);
        self.lineage.birth_mass_aa = self.layer.mass(&reference.constants);
        if matches!(self.layer, Layer::Genes(_)) {
            for _ in 0..MAX_MOTHER_TICKS {
                // The reference's rates are those of a cell that can be followed.
                if self.lineage.generation > 0 || self.run_tick().is_err() {
                    break;
                }
            }
        }
        self.regime.constants = constants;
        let birth_mass_aa = self.layer.mass(&self.regime.constants);
        self.lineage = Lineage { generation: 0, birth_tick: 0, birth_mass_aa };
        (self.tick, self.events) = (0, 0);
        self.layer.rest();
    }

    /// The committed tick.
    #[must_use]
    pub fn tick(&self) -> u64 {
        self.tick
    }

    /// Where the cell stands in its lineage.
    #[must_use]
    pub fn lineage(&self) -> Lineage {
        self.lineage
    }

    /// Reactions fired since minute 0.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Runs to `tick`, applying scheduled changes on the way.
    ///
    /// # Errors
    /// See [`SimulationError`]; the cell then stays at the last tick that it could commit.
    pub fn advance_to(&mut self, tick: u64) -> Result<(), SimulationError> {
        self.advance_for(tick, None, u32::MAX).map(drop)
    }

    /// Runs until `generation` divisions are done, at the tick of the last; `false` if that is not so by `tick`.
    ///
    /// # Errors
    /// See [`SimulationError`]; the cell then stays at the last tick that it could commit.
    pub fn advance_to_generation(&mut self, generation: u64, tick: u64) -> Result<bool, SimulationError> {
        self.advance_for(tick, Some(generation), u32::MAX)?;
        Ok(self.lineage.generation >= generation)
    }

    /// Runs towards `tick`, or the tick at which `generation` is complete if that comes first, for about as long as
    /// `max_steps` solver steps take (a tick that was begun is finished). Where it stops changes nothing.
    ///
    /// # Errors
    /// See [`SimulationError`]; the cell then stays at the last tick that it could commit.
    pub fn advance_for(
        &mut self,
        tick: u64,
        generation: Option<u64>,
        max_steps: u32,
    ) -> Result<Progress, SimulationError> {
        if tick < self.tick {
            return Err(SimulationError::Backwards { tick, now: self.tick });
        }
        if tick > MAX_TICK {
            return Err(SimulationError::BeyondGrid { tick });
        }
        let done = self.advance_ticks(tick, generation, max_steps);
        self.layer.rest();
        done
    }

    fn advance_ticks(
        &mut self,
        tick: u64,
        generation: Option<u64>,
        max_steps: u32,
    ) -> Result<Progress, SimulationError> {
        let mut steps: u32 = 0;
        loop {
            let reached = self.tick == tick || generation.is_some_and(|last| self.lineage.generation >= last);
            if reached || (steps >= max_steps && max_steps < u32::MAX) {
                return Ok(Progress { tick: self.tick, reached, steps });
            }
            let before = self.events;
            self.run_tick().map_err(|fault| self.describe(fault))?;
            self.apply_due()?;
            let done = 1 + (self.events - before) / EVENTS_PER_STEP;
            steps = steps.saturating_add(u32::try_from(done).unwrap_or(u32::MAX));
        }
    }

    fn describe(&self, fault: Fault) -> SimulationError {
        match fault {
            Fault::TooManyEvents => SimulationError::TooManyEvents { minute: minutes_of(self.tick) },
        }
    }

    /// Applies `change` now: it is for the committed tick. The same as if it had been scheduled.
    ///
    /// # Errors
    /// A change for another tick, or one that cannot hold; nothing is changed then.
    pub fn apply(&mut self, change: &Change) -> Result<(), SpecError> {
        if change.tick != self.tick {
            return Err(SpecError::WrongTick { tick: change.tick, now: self.tick });
        }
        served(self.regime.chassis, change)?;
        let mut regime = self.regime.after(change)?;
        for later in &self.schedule {
            regime = regime.after(later)?;
        }
        self.take(change)
    }

    fn apply_due(&mut self) -> Result<(), SpecError> {
        while self.schedule.front().is_some_and(|change| change.tick <= self.tick) {
            let Some(change) = self.schedule.pop_front() else { break };
            self.take(&change)?;
        }
        Ok(())
    }

    fn take(&mut self, change: &Change) -> Result<(), SpecError> {
        let regime = self.regime.after(change)?;
        self.has_room(&change.organism)?;
        self.regime = regime;
        self.act(&change.organism)?;
        self.carry_plasmids();
        Ok(())
    }

    /// Simulates one tick, a division at its end where it is due. A tick that fails leaves no trace.
    fn run_tick(&mut self) -> Result<(), Fault> {
        let mut carried = self.carried.clone();
        let beside = match &mut carried {
            Some(carried) => carried.run_tick(&self.regime, &self.offer())?,
            None => 0,
        };
        let k = &self.regime.constants;
        let (environment, reactions) = (self.environment, self.reactions.clone());
        let done = match &mut self.layer {
            Layer::Core(layer) => {
                let before = layer.clone();
                let done = layer.run_tick(k, &mut self.environment, &mut self.reactions);
                done.inspect_err(|_| *layer = before)
            }
            Layer::Genes(layer) => {
                let before = layer.counts.clone();
                let rates = match self.held_volume {
                    Some(volume) => layer.reference_rates(volume),
                    None => layer.next_rates(k, &mut self.environment, TICK_MIN),
                };
                let done = layer.run(&rates, TICK_MIN, &mut self.reactions);
                done.inspect_err(|_| layer.counts = before)
            }
        };
        let events = done.inspect_err(|_| {
            self.environment = environment;
            self.reactions = reactions;
        })?;
        self.carried = carried;
        self.events += events + beside;
        self.tick += 1;
        self.divide_if_due();
        self.carry_plasmids();
        Ok(())
    }

    /// An adder: a cell divides at the first tick at which it has gained ln 2 times the mean cell's mass since its
    /// birth. So cells are born with that mass on average, and their mean over a generation is the mean cell.
    fn divide_if_due(&mut self) {
        let k = &self.regime.constants;
        let due = match &mut self.held_volume {
            Some(volume) => {
                let growth = self.layer.reference_growth();
                *volume *= maths::exp(growth * TICK_MIN);
                let due = *volume >= 2.0 * LN_2 * (1.0 - 1e-9);
                *volume *= if due { 0.5 } else { 1.0 };
                due
            }
            None => self.layer.mass(k) - self.lineage.birth_mass_aa >= LN_2 * k.mass,
        };
        if due {
            self.layer.divide(k, &mut self.divisions);
            if let Some(carried) = &mut self.carried {
                carried.divide();
            }
            self.lineage = Lineage {
                generation: self.lineage.generation + 1,
                birth_tick: self.tick,
                birth_mass_aa: self.layer.mass(k),
            };
        }
    }

    pub(crate) fn regime(&self) -> &Regime {
        &self.regime
    }

    /// From here on the environment stays at the chassis' unlimited steady state, for comparing the reactions with
    /// another simulator: volume grows by the reference's growth rate, from ln 2 to twice that, then the cell divides.
    /// A cell without genes is not changed.
    #[must_use]
    pub fn in_constant_environment(mut self) -> Self {
        if matches!(self.layer, Layer::Genes(_)) {
            self.held_volume = Some(LN_2);
        }
        self
    }
}
