//! The ode engine: a cell's state at a point of the grid, and how it gets to the next.
//!
//! ```text
//!   restart ----step----|----step-------|--step--|        steps: free, as the model needs them
//!      |  tick  tick  tick  tick  tick  tick  tick        ticks: read off the step that covers them
//! ```
//!
//! The steps depend on the specification and on the changes applied, never on how far a caller asks to go, so
//! pauses, clones and checkpoints leave every bit as it is. A change restarts the steps from the state at its
//! tick. No clock, no randomness, no threads.

use std::collections::VecDeque;

use crate::cell::{Progress, SimulationError};
use crate::grid::{MAX_TICK, last_tick_within, minutes_between, minutes_of};
use crate::metrics::Metrics;
use crate::model::core::{IDLE, NAMES, R, Vector};
use crate::organism::state::OrganismState;
use crate::solver::rosenbrock::{Step, Tolerance, first_length_min};
use crate::spec::{CellSpec, Change, Regime, SpecError, in_order};

/// Longest step: bounds what a restored cell computes again.
const MAX_STEP_MIN: f64 = 100.0;
/// A step below this fraction of a minute means that the model left what numbers can hold.
const MIN_STEP_MIN: f64 = 1e-12;
/// Steps within one tick before giving up; a hard shift takes about 50.
const MAX_STEPS_PER_TICK: u32 = 100_000;

/// One simulated cell. Cloning it is cheap; the clone runs on by itself, with the same bits.
#[derive(Clone, Debug)]
pub struct OdeCell {
    pub(crate) regime: Regime,
    pub(crate) tolerance: Tolerance,
    /// Changes to come, by tick.
    pub(crate) schedule: VecDeque<Change>,
    /// The committed tick, and the state there.
    pub(crate) tick: u64,
    pub(crate) state: Vector,
    pub(crate) track: Track,
    /// Genes, operons and plasmids; none where nothing of this was touched.
    pub(crate) organism: Option<Box<OrganismState>>,
}

/// The steps since the last restart.
#[derive(Clone, Debug)]
pub(crate) struct Track {
    /// The tick of the restart.
    pub(crate) origin_tick: u64,
    /// Where the current step starts: minutes since the restart, and state.
    pub(crate) start_min: f64,
    pub(crate) start: Vector,
    /// The current step; none right after a restart.
    pub(crate) step: Option<Box<Step>>,
    /// Length to try for the next step.
    pub(crate) next_length_min: f64,
    /// Steps since one last reached a tick.
    pub(crate) steps_since_tick: u32,
}

impl OdeCell {
    /// A cell at minute 0: its chassis stands at its unlimited steady state (td, R, act and phiE as set); the
    /// other parameters and the allocation hold from then on.
    ///
    /// # Errors
    /// What [`CellSpec::validate`] finds.
    pub fn new(spec: &CellSpec) -> Result<Self, SpecError> {
        spec.validate()?;
        let (regime, baseline) = Regime::of(spec)?;
        let schedule = in_order(&spec.schedule)?.into_iter().cloned().collect();
        let track = Track::restart(&regime, &spec.tolerance, 0, &baseline.state);
        let mut cell = Self {
            regime,
            tolerance: spec.tolerance,
            schedule,
            tick: 0,
            state: baseline.state,
            track,
            organism: None,
        };
        cell.apply_due()?;
        Ok(cell)
    }

    /// The committed tick.
    #[must_use]
    pub fn tick(&self) -> u64 {
        self.tick
    }

    /// Runs to `tick`, applying scheduled changes on the way.
    ///
    /// # Errors
    /// See [`SimulationError`]; the cell then stays at the last tick that it could commit.
    pub fn advance_to(&mut self, tick: u64) -> Result<(), SimulationError> {
        while !self.advance_for(tick, u32::MAX)?.reached {}
        Ok(())
    }

    /// Runs towards `tick`, for about `max_solver_steps` tries of a step (a step that was begun is finished). Where it stops
    /// changes nothing in the trajectory.
    ///
    /// # Errors
    /// See [`SimulationError`]; the cell then stays at the last tick that it could commit.
    pub fn advance_for(&mut self, tick: u64, max_solver_steps: u32) -> Result<Progress, SimulationError> {
        if tick < self.tick {
            return Err(SimulationError::Backwards { tick, now: self.tick });
        }
        if tick > MAX_TICK {
            return Err(SimulationError::BeyondGrid { tick });
        }
        let mut steps: u32 = 0;
        loop {
            self.commit_within(tick)?;
            if self.tick == tick || steps >= max_solver_steps {
                return Ok(Progress { tick: self.tick, reached: self.tick == tick, steps });
            }
            let tried = self.track.advance(&self.regime, &self.tolerance)?;
            steps = steps.saturating_add(tried);
        }
    }

    /// Applies `change` now: it is for the committed tick. The same as if it had been scheduled. One that changes
    /// nothing leaves every bit as it is.
    ///
    /// # Errors
    /// A change for another tick, or one that cannot hold; nothing is changed then.
    pub fn apply(&mut self, change: &Change) -> Result<(), SpecError> {
        if change.tick != self.tick {
            return Err(SpecError::WrongTick { tick: change.tick, now: self.tick });
        }
        let mut regime = self.regime.after(change)?;
        for later in &self.schedule {
            regime = regime.after(later)?;
        }
        self.take(change)
    }

    /// Figures at the committed tick.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        Metrics::of(&self.regime, &self.state, minutes_of(self.tick), self.organism.as_deref())
    }

    /// The state at the committed tick, variable by variable, in molecules.
    pub fn variables(&self) -> impl Iterator<Item = (&'static str, f64)> + '_ {
        NAMES.into_iter().zip(self.state)
    }

    /// Commits the ticks up to `tick` that the steps taken cover, changes on the way applied.
    fn commit_within(&mut self, tick: u64) -> Result<(), SimulationError> {
        loop {
            let next_change = self.schedule.front().map_or(tick, |change| change.tick.min(tick));
            let mut committed = self.track.covered_tick().min(next_change);
            if committed <= self.tick {
                return Ok(());
            }
            if let Some(organism) = &mut self.organism {
                committed = self.tick + 1;
                organism.advance(&self.regime, &self.state);
            }
            self.state = self.track.at(committed);
            self.tick = committed;
            self.carry_load();
            self.apply_due()?;
        }
    }

    /// Lets the core carry what the plasmids cost by now.
    fn carry_load(&mut self) {
        let drifted = self.organism.as_ref().and_then(|organism| organism.drifted_load(&self.regime));
        if let Some(load) = drifted {
            self.regime.set_loads(load, self.regime.installed);
            self.track = Track::restart(&self.regime, &self.tolerance, self.tick, &self.state);
        }
    }

    fn apply_due(&mut self) -> Result<(), SpecError> {
        while self.schedule.front().is_some_and(|change| change.tick <= self.tick) {
            let Some(change) = self.schedule.pop_front() else { break };
            self.take(&change)?;
        }
        Ok(())
    }

    fn take(&mut self, change: &Change) -> Result<(), SpecError> {
        let mut regime = self.regime.after(change)?;
        if !change.organism.is_empty() {
            let mut organism = self.organism.as_deref().cloned().unwrap_or_default();
            organism.act(&change.organism, &regime, &self.state)?;
            // What is there already must not start the steps anew for a load that has only drifted.
            if self.organism.as_deref() != Some(&organism) {
                regime.set_loads(organism.load(&regime), regime.installed);
                self.organism = Some(Box::new(organism)).filter(|organism| !organism.is_empty());
            }
        }
        if regime.settings == self.regime.settings
            && regime.allocation == self.regime.allocation
            && regime.load == self.regime.load
            && regime.installed == self.regime.installed
        {
            return Ok(());
        }
        // A cap that is lifted gives all idle ribosomes back at once.
        if regime.constants.cap == f64::INFINITY {
            self.state[R] += self.state[IDLE];
            self.state[IDLE] = 0.0;
        }
        self.regime = regime;
        self.track = Track::restart(&self.regime, &self.tolerance, self.tick, &self.state);
        Ok(())
    }
}

impl Track {
    fn restart(regime: &Regime, tolerance: &Tolerance, tick: u64, state: &Vector) -> Self {
        Self {
            origin_tick: tick,
            start_min: 0.0,
            start: *state,
            step: None,
            next_length_min: first_length_min(&regime.constants, state, tolerance),
            steps_since_tick: 0,
        }
    }

    /// The last tick that the current step covers.
    fn covered_tick(&self) -> u64 {
        last_tick_within(self.origin_tick, self.end_min())
    }

    pub(crate) fn end_min(&self) -> f64 {
        self.start_min + self.step.as_ref().map_or(0.0, |step| step.length_min)
    }

    /// The state at a tick within the current step.
    fn at(&self, tick: u64) -> Vector {
        let minutes = minutes_between(self.origin_tick, tick) - self.start_min;
        self.step.as_ref().map_or(self.start, |step| step.at(minutes))
    }

    /// Takes the next step; returns how many lengths it tried.
    fn advance(&mut self, regime: &Regime, tolerance: &Tolerance) -> Result<u32, SimulationError> {
        let (start_min, start) = (self.end_min(), self.step.as_ref().map_or(self.start, |step| step.end));
        let minute = minutes_of(self.origin_tick) + start_min;
        if self.steps_since_tick >= MAX_STEPS_PER_TICK {
            return Err(SimulationError::TooManySteps { minute });
        }
        let mut length_min = self.next_length_min.min(MAX_STEP_MIN);
        for tried in 1.. {
            if length_min < MIN_STEP_MIN || start_min + length_min == start_min {
                return Err(SimulationError::StepTooSmall { minute });
            }
            let step = Step::attempt(&regime.constants, &start, length_min, tolerance);
            let next = step.next_length_min();
            if !step.is_accepted() {
                // At least halved, so that the loop ends.
                length_min = next.min(0.5 * length_min);
                continue;
            }
            let covered = self.covered_tick();
            // Right after a try that failed, a longer step would fail as well.
            self.next_length_min = if tried > 1 { next.min(length_min) } else { next };
            self.start_min = start_min;
            self.start = start;
            match &mut self.step {
                Some(current) => **current = step,
                None => self.step = Some(Box::new(step)),
            }
            self.steps_since_tick =
                if self.covered_tick() > covered { 0 } else { self.steps_since_tick.saturating_add(1) };
            return Ok(tried);
        }
        Err(SimulationError::StepTooSmall { minute })
    }
}
