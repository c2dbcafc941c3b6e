//! Exact stochastic simulation: moments that are known in closed form, both methods against each other, and the
//! same bits however a simulation was driven. And no model that cannot be is taken for one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bits;
mod moments;
mod refusals;
#[path = "../rows/mod.rs"]
mod rows;
mod selector;

use std::sync::Arc;

use bioxen_hypervisor::rng::Rng;
use bioxen_hypervisor::ssa::{
    Direct, DirectState, Reaction, ReactionModel, Rejection, RejectionState, Species, SsaError,
};
use rows::show;

/// What both methods can, so that each test runs with both.
trait Method: Sized + Clone {
    const NAME: &'static str;

    fn begin(model: &Arc<ReactionModel>, rng: Rng) -> Self;
    fn advance_to(&mut self, time: f64) -> Result<(), SsaError>;
    fn advance_within(&mut self, time: f64, events_most: u64) -> Result<bool, SsaError>;
    fn set_count(&mut self, species: usize, count: u64) -> Result<(), SsaError>;
    fn counts(&self) -> Vec<u64>;
    fn events(&self) -> u64;
    fn save(&self) -> String;
    fn load(model: &Arc<ReactionModel>, saved: &str) -> Result<Self, SsaError>;
}

macro_rules! method {
    ($method:ident, $state:ident) => {
        impl Method for $method {
            const NAME: &'static str = stringify!($method);

            fn begin(model: &Arc<ReactionModel>, rng: Rng) -> Self {
                Self::new(Arc::clone(model), rng).unwrap()
            }
            fn advance_to(&mut self, time: f64) -> Result<(), SsaError> {
                self.advance_to(time)
            }
            fn advance_within(&mut self, time: f64, events_most: u64) -> Result<bool, SsaError> {
                self.advance_within(time, events_most)
            }
            fn set_count(&mut self, species: usize, count: u64) -> Result<(), SsaError> {
                self.set_count(species, count)
            }
            fn counts(&self) -> Vec<u64> {
                self.counts()
            }
            fn events(&self) -> u64 {
                self.events()
            }
            fn save(&self) -> String {
                serde_json::to_string(&self.state()).unwrap()
            }
            fn load(model: &Arc<ReactionModel>, saved: &str) -> Result<Self, SsaError> {
                let state: $state = serde_json::from_str(saved).unwrap();
                Self::restore(Arc::clone(model), &state)
            }
        }
    };
}

method!(Direct, DirectState);
method!(Rejection, RejectionState);

fn species(name: &str, initial: u64) -> Species {
    Species { name: name.to_owned(), initial }
}

/// `A + B -> C` as text, with its rate.
fn reaction(text: &str, rate: f64) -> Reaction {
    let (left, right) = text.split_once("->").unwrap();
    let names = |side: &str| {
        side.split('+').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
    };
    Reaction { name: text.to_owned(), reactants: names(left), products: names(right), rate }
}

fn model(counts: &[(&str, u64)], reactions: &[(&str, f64)]) -> Arc<ReactionModel> {
    let counts = counts.iter().map(|(name, initial)| species(name, *initial)).collect();
    let reactions = reactions.iter().map(|(text, rate)| reaction(text, *rate)).collect();
    Arc::new(ReactionModel::new(counts, reactions).unwrap())
}

/// The oscillator of Vilar et al., PNAS 2002;99:5988, per hour.
fn vilar() -> Arc<ReactionModel> {
    let counts =
        [("DA", 1), ("DR", 1), ("DAa", 0), ("DRa", 0), ("MA", 0), ("MR", 0), ("A", 0), ("R", 0), ("C", 0)];
    model(
        &counts,
        &[
            ("DA + A -> DAa", 1.0),
            ("DAa -> DA + A", 50.0),
            ("DR + A -> DRa", 1.0),
            ("DRa -> DR + A", 100.0),
            ("DAa -> DAa + MA", 500.0),
            ("DA -> DA + MA", 50.0),
            ("DRa -> DRa + MR", 50.0),
            ("DR -> DR + MR", 0.01),
            ("MA -> MA + A", 50.0),
            ("MR -> MR + R", 5.0),
            ("A + R -> C", 2.0),
            ("C -> R", 1.0),
            ("A ->", 1.0),
            ("R ->", 0.2),
            ("MA ->", 10.0),
            ("MR ->", 0.5),
        ],
    )
}
