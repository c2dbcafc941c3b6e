//! The rejection method: the direct method's events and waiting times, chosen by a `Selector`, for networks of
//! hundreds and thousands of reactions.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::SsaError;
use super::model::{MAX_INITIAL, ReactionModel, with_count};
use super::selector::Selector;
use crate::rng::{Rng, RngState};

/// A simulation by the rejection method.
#[derive(Clone, Debug)]
pub struct Rejection {
    model: Arc<ReactionModel>,
    slots: Vec<f64>,
    selector: Selector,
    /// Reached by the caller; no draw depends on it.
    time: f64,
    /// Of the next event; infinite where there is none.
    next: f64,
    events: u64,
    rng: Rng,
}

/// What a simulation needs to go on with the same bits, beside its model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RejectionState {
    counts: Vec<u64>,
    selector: Selector,
    time: f64,
    /// `None` where nothing can happen.
    next: Option<f64>,
    events: u64,
    rng: RngState,
}

impl Rejection {
    /// `model` at time 0 with its initial counts.
    ///
    /// # Errors
    /// Propensities beyond numbers.
    pub fn new(model: Arc<ReactionModel>, rng: Rng) -> Result<Self, SsaError> {
        let slots = model.network().slots_at(model.species().iter().map(|one| one.initial));
        let selector = Selector::new(model.reactions().len());
        let mut simulation = Self { model, slots, selector, time: 0.0, next: 0.0, events: 0, rng };
        simulation.begin_anew()?;
        Ok(simulation)
    }

    /// Goes to `time`, every event until then included, however many: where a model is not one's own, go by
    /// [`Rejection::advance_within`].
    ///
    /// # Errors
    /// A time that is not ahead, or propensities beyond numbers.
    pub fn advance_to(&mut self, time: f64) -> Result<(), SsaError> {
        self.advance_within(time, u64::MAX).map(|_| ())
    }

    /// Goes to `time`, or as far as `events_most` events lead; whether it got there.
    ///
    /// # Errors
    /// As of [`Rejection::advance_to`].
    pub fn advance_within(&mut self, time: f64, events_most: u64) -> Result<bool, SsaError> {
        if !(time >= self.time && time < f64::INFINITY) {
            return Err(SsaError::Time { now: self.time, asked: time });
        }
        let last = self.events.saturating_add(events_most);
        let model = Arc::clone(&self.model);
        let network = model.network();
        while self.next <= time {
            if self.events == last {
                return Ok(false);
            }
            let Some(reaction) = self.selector.select(&mut self.rng) else {
                self.next = f64::INFINITY;
                break;
            };
            for change in network.changes(reaction) {
                self.slots[change.slot as usize] += change.by;
            }
            for affected in network.affected(reaction) {
                let affected = *affected as usize;
                self.selector.update(affected, network.laws()[affected].propensity(&self.slots))?;
            }
            self.time = self.next;
            self.events += 1;
            self.schedule();
        }
        self.time = time;
        Ok(true)
    }

    /// Sets the molecules of a species at the time reached. The next event is drawn anew.
    ///
    /// # Errors
    /// A species or a count that cannot be.
    pub fn set_count(&mut self, species: usize, count: u64) -> Result<(), SsaError> {
        let counts = with_count(self.counts(), species, count)?;
        self.slots = self.model.network().slots_at(counts.into_iter());
        self.begin_anew()
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

    /// All that it needs to go on with the same bits, beside its model.
    #[must_use]
    pub fn state(&self) -> RejectionState {
        RejectionState {
            counts: self.counts(),
            selector: self.selector.clone(),
            time: self.time,
            next: self.next.is_finite().then_some(self.next),
            events: self.events,
            rng: self.rng.state(),
        }
    }

    /// The simulation that [`Rejection::state`] gave this for.
    ///
    /// # Errors
    /// A state that is none of this model's.
    pub fn restore(model: Arc<ReactionModel>, state: &RejectionState) -> Result<Self, SsaError> {
        let counts_fit = state.counts.len() == model.species().len()
            && state.counts.iter().all(|count| *count <= 2 * MAX_INITIAL);
        if !counts_fit {
            return Err(SsaError::State { what: "the counts" });
        }
        let slots = model.network().slots_at(state.counts.iter().copied());
        let laws = model.network().laws();
        let same = |at: usize| state.selector.propensity(at) == laws[at].propensity(&slots);
        if state.selector.len() != laws.len() || !(0..laws.len()).all(same) {
            return Err(SsaError::State { what: "a propensity" });
        }
        let next = state.next.unwrap_or(f64::INFINITY);
        if !(state.time >= 0.0 && state.time < f64::INFINITY && next >= state.time) {
            return Err(SsaError::State { what: "the time" });
        }
        let (selector, time, events) = (state.selector.clone(), state.time, state.events);
        Ok(Self { model, slots, selector, time, next, events, rng: Rng::restore(state.rng) })
    }

    /// All that follows from the counts, and the next event from `time` on: waiting times have no memory.
    fn begin_anew(&mut self) -> Result<(), SsaError> {
        for (reaction, law) in self.model.network().laws().iter().enumerate() {
            self.selector.update(reaction, law.propensity(&self.slots))?;
        }
        self.next = self.time;
        self.schedule();
        Ok(())
    }

    /// The event after the one that has just been fired.
    #[inline]
    fn schedule(&mut self) {
        let total = self.selector.total();
        self.next = if total > 0.0 { self.next + self.rng.exponential() / total } else { f64::INFINITY };
    }
}
