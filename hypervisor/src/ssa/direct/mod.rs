//! The direct method (Gillespie, J. Phys. Chem. 1977;81:2340) with a dependency graph, for small networks: an event
//! updates the propensities that it changes, and the next one is found by going through all, the highest first.
//!
//! ```text
//!   schedule: next = time + exponential / total          fire: uniform * total --> reaction --> counts,
//!      ^                                                           propensities, total by differences --\
//!      \-------------------------------------------------------------------------------------------------/
//! ```
//!
//! The total is summed anew, and the order of the search set anew, after a fixed number of events and where the
//! total has fallen far: both depend on the trajectory alone.

mod state;

use std::sync::Arc;

use super::error::SsaError;
use super::model::{ReactionModel, with_count};
use super::program::{Program, SLOTS, Table};
use crate::rng::Rng;

pub use state::DirectState;

/// Events between exact sums: the total's error stays near 4096 * 2^-53 of its highest value since.
const EVENTS_PER_SUM: u64 = 4096;
/// A total below this share of the last exact sum is summed again, for its error is relative to that sum.
const FALL: f64 = 1e-3;

/// A simulation by the direct method.
#[derive(Clone, Debug)]
pub struct Direct {
    model: Arc<ReactionModel>,
    program: Arc<Program>,
    slots: Box<Table>,
    propensities: Box<Table>,
    /// Reactions by falling propensity, when they were last summed.
    order: [u8; SLOTS],
    /// The sum of the propensities, by differences since the last exact sum.
    total: f64,
    /// Below it the total is summed again.
    floor: f64,
    /// Events until it is summed again.
    events_to_sum: u64,
    /// Reached by the caller; no draw depends on it.
    time: f64,
    /// Of the next event; infinite where there is none.
    next: f64,
    events: u64,
    rng: Rng,
}

impl Direct {
    /// `model` at time 0 with its initial counts.
    ///
    /// # Errors
    /// A model that is too large.
    pub fn new(model: Arc<ReactionModel>, rng: Rng) -> Result<Self, SsaError> {
        let initial: Vec<u64> = model.species().iter().map(|one| one.initial).collect();
        let mut simulation = Self::at_rest(model, rng, &initial)?;
        simulation.begin_anew();
        Ok(simulation)
    }

    /// With counts and propensities, and nothing summed or scheduled.
    fn at_rest(model: Arc<ReactionModel>, rng: Rng, counts: &[u64]) -> Result<Self, SsaError> {
        let network = model.network();
        let too_large = || SsaError::TooLarge { reactions: network.laws().len(), slots: network.slots() };
        let program = Arc::new(Program::new(network).ok_or_else(too_large)?);
        let mut simulation = Self {
            program,
            slots: Box::new([0.0; SLOTS]),
            propensities: Box::new([0.0; SLOTS]),
            order: Program::bytes(),
            total: 0.0,
            floor: 0.0,
            events_to_sum: 0,
            time: 0.0,
            next: 0.0,
            events: 0,
            rng,
            model,
        };
        simulation.put(counts);
        Ok(simulation)
    }

    /// Goes to `time`, every event until then included, however many: where a model is not one's own, go by
    /// [`Direct::advance_within`].
    ///
    /// # Errors
    /// A time that is not ahead.
    pub fn advance_to(&mut self, time: f64) -> Result<(), SsaError> {
        self.advance_within(time, u64::MAX).map(|_| ())
    }

    /// Goes to `time`, or as far as `events_most` events lead; whether it got there.
    ///
    /// # Errors
    /// As of [`Direct::advance_to`].
    pub fn advance_within(&mut self, time: f64, events_most: u64) -> Result<bool, SsaError> {
        if !(time >= self.time && time < f64::INFINITY) {
            return Err(SsaError::Time { now: self.time, asked: time });
        }
        let program = Arc::clone(&self.program);
        let last = self.events.saturating_add(events_most);
        while self.next <= time {
            let batch = self.events_to_sum.min(last - self.events);
            if batch == 0 {
                return Ok(false);
            }
            match self.fire(&program, time, batch) {
                Fired::Reached => break,
                Fired::Unscheduled => self.schedule(),
                Fired::NoneFound => {
                    self.sum_anew();
                    if self.total <= 0.0 {
                        self.next = f64::INFINITY;
                    }
                }
            }
        }
        self.time = time;
        Ok(true)
    }

    /// The hot loop: events until `time`, at most `batch`.
    fn fire(&mut self, program: &Program, time: f64, batch: u64) -> Fired {
        let (slots, propensities) = (&mut *self.slots, &mut *self.propensities);
        let order = &self.order[..program.reactions];
        let (mut next, mut total, mut left) = (self.next, self.total, batch);
        let mut at = self.time;
        let fired = loop {
            if next > time {
                break Fired::Reached;
            }
            let Some(reaction) = search(order, propensities, self.rng.uniform_open() * total) else {
                break Fired::NoneFound;
            };
            let (changes, affected) = program.event(reaction);
            for change in changes {
                slots[usize::from(change.slot)] += change.by;
            }
            for law in affected {
                let propensity = law.propensity(slots);
                let old = &mut propensities[usize::from(law.reaction)];
                total += propensity - *old;
                *old = propensity;
            }
            at = next;
            left -= 1;
            if left == 0 || total < self.floor {
                break Fired::Unscheduled;
            }
            next += self.rng.exponential() / total;
        };
        (self.time, self.next, self.total) = (at, next, total);
        self.events += batch - left;
        self.events_to_sum -= batch - left;
        fired
    }

    /// The event after the one that has just been fired.
    fn schedule(&mut self) {
        if self.events_to_sum == 0 || self.total < self.floor {
            self.sum_anew();
        }
        self.next =
            if self.total > 0.0 { self.next + self.rng.exponential() / self.total } else { f64::INFINITY };
    }

    /// The propensities' sum at the counts that stand, and the next event from `time` on: waiting times have no
    /// memory.
    fn begin_anew(&mut self) {
        self.sum_anew();
        self.next = self.time;
        self.schedule();
    }

    /// Slots and propensities at these counts.
    fn put(&mut self, counts: &[u64]) {
        let slots = self.model.network().slots_at(counts.iter().copied());
        self.slots[..slots.len()].copy_from_slice(&slots);
        for law in self.program.laws() {
            self.propensities[usize::from(law.reaction)] = law.propensity(&self.slots);
        }
    }

    fn sum_anew(&mut self) {
        self.sort();
        self.total = self.propensities[..self.program.reactions].iter().sum();
        self.floor = FALL * self.total;
        self.events_to_sum = EVENTS_PER_SUM;
    }

    fn sort(&mut self) {
        let propensities = &self.propensities;
        let falling = |a: &u8, b: &u8| {
            propensities[usize::from(*b)].total_cmp(&propensities[usize::from(*a)]).then(a.cmp(b))
        };
        self.order[..self.program.reactions].sort_unstable_by(falling);
    }

    /// Sets the molecules of a species at the time reached. The next event is drawn anew.
    ///
    /// # Errors
    /// A species or a count that cannot be.
    pub fn set_count(&mut self, species: usize, count: u64) -> Result<(), SsaError> {
        let counts = with_count(self.counts(), species, count)?;
        self.put(&counts);
        self.begin_anew();
        Ok(())
    }

    /// Molecules of each species, in the model's order.
    #[must_use]
    pub fn counts(&self) -> Vec<u64> {
        (0..self.model.species().len()).map(|species| self.count(species)).collect()
    }

    /// Molecules of a species by its index in the model.
    ///
    /// # Panics
    /// Where the model has no such species.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a slot is a whole number from 0"
    )]
    pub fn count(&self, species: usize) -> u64 {
        self.slots[species] as u64
    }

    /// What it simulates.
    #[must_use]
    pub fn model(&self) -> &Arc<ReactionModel> {
        &self.model
    }

    /// Where the caller brought it.
    #[must_use]
    pub fn time(&self) -> f64 {
        self.time
    }

    /// Events so far.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }
}

/// Why the hot loop ended.
enum Fired {
    /// The next event lies beyond.
    Reached,
    /// An event was fired after which the sum, or the caller, wants attention.
    Unscheduled,
    /// The sum was too high by rounding, and the search came to its end.
    NoneFound,
}

/// The first reaction at which the sum of the propensities passes `target`.
#[inline(always)]
fn search(order: &[u8], propensities: &Table, target: f64) -> Option<u8> {
    let mut left = target;
    for reaction in order {
        left -= propensities[usize::from(*reaction)];
        if left < 0.0 {
            return Some(*reaction);
        }
    }
    None
}
