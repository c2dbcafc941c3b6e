//! A simulation by the direct method as a value that can be kept, and back. It does not choose an encoding.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::error::SsaError;
use super::super::model::{MAX_INITIAL, ReactionModel};
use super::{Direct, EVENTS_PER_SUM};
use crate::rng::{Rng, RngState};

/// What is not in the counts of a simulation, and they.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectState {
    counts: Vec<u64>,
    time: f64,
    /// `None` where nothing can happen.
    next: Option<f64>,
    events: u64,
    rng: RngState,
    total: f64,
    floor: f64,
    events_to_sum: u64,
    order: Vec<u8>,
}

impl Direct {
    /// All that it needs to go on with the same bits, beside its model.
    #[must_use]
    pub fn state(&self) -> DirectState {
        DirectState {
            counts: self.counts(),
            time: self.time,
            next: self.next.is_finite().then_some(self.next),
            events: self.events,
            rng: self.rng.state(),
            total: self.total,
            floor: self.floor,
            events_to_sum: self.events_to_sum,
            order: self.order[..self.program.reactions].to_vec(),
        }
    }

    /// The simulation that [`Direct::state`] gave this for.
    ///
    /// # Errors
    /// A state that is none of this model's.
    pub fn restore(model: Arc<ReactionModel>, state: &DirectState) -> Result<Self, SsaError> {
        state.check(&model)?;
        let mut simulation = Self::at_rest(model, Rng::restore(state.rng), &state.counts)?;
        simulation.order[..state.order.len()].copy_from_slice(&state.order);
        simulation.time = state.time;
        simulation.next = state.next.unwrap_or(f64::INFINITY);
        simulation.events = state.events;
        simulation.total = state.total;
        simulation.floor = state.floor;
        simulation.events_to_sum = state.events_to_sum;
        let sum: f64 = simulation.propensities.iter().sum();
        // What differences may have cost since the last sum; another model's would differ by more.
        if (sum - state.total).abs() > 1e-6 * sum {
            return Err(SsaError::State { what: "the sum of the propensities" });
        }
        Ok(simulation)
    }
}

impl DirectState {
    fn check(&self, model: &ReactionModel) -> Result<(), SsaError> {
        let mut order = self.order.clone();
        order.sort_unstable();
        order.dedup();
        let reactions = model.reactions().len();
        let in_range = |value: f64| (0.0..f64::INFINITY).contains(&value);
        let fits = [
            ("the number of species", self.counts.len() == model.species().len()),
            ("a count", self.counts.iter().all(|count| *count <= 2 * MAX_INITIAL)),
            ("the order of reactions", self.order.len() == reactions && order.len() == reactions),
            ("the order of reactions", order.last().is_none_or(|last| usize::from(*last) < reactions)),
            ("the time", in_range(self.time)),
            ("the next event", self.next.is_none_or(|next| next >= self.time && next < f64::INFINITY)),
            ("the sum of the propensities", in_range(self.total) && in_range(self.floor)),
            ("the events since the last sum", (1..=EVENTS_PER_SUM).contains(&self.events_to_sum)),
        ];
        match fits.into_iter().find(|(_, fits)| !fits) {
            Some((what, _)) => Err(SsaError::State { what }),
            None => Ok(()),
        }
    }
}
