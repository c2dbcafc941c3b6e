//! The continuous part of a cell: energy, nutrient, growth, and how the ribosomes are shared among transcripts.
//! Amounts are per mean cell (molecules / volume), as in the core model. It holds no counts and draws nothing.
//!
//! Energy and nutrient follow the core's equations by implicit steps, which are stable however fast they are
//! and stand still where the equations do. Ribosomes on transcripts are at the core's balance at each step.

use super::genes::Reference;
use crate::model::core::{A, C, CLASSES, Constants, E, METABOLIC, R, S, TRANSPORT, Vector};

/// Keeps a quotient finite where a transcript loses its ribosomes neither by decay nor by growth, 1/min.
const LEAST_LOSS_PER_MIN: f64 = 1e-12;
/// Stands for infinity where nothing binds, so that quotients stay numbers.
const NEVER_BOUND: f64 = 1e150;

/// What the next step depends on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Environment {
    /// Energy molecules.
    pub(super) energy: f64,
    /// Internal nutrient.
    pub(super) nutrient: f64,
    /// Growth rate, 1/min.
    pub(super) growth: f64,
}

/// Ribosomes at balance.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shared {
    pub(super) free: f64,
    /// Complexes of each class per unit of demand: c_x / w_x at the core's balance, min.
    pub(super) complexes_per_demand: [f64; CLASSES],
    pub(super) translating: f64,
}

impl Environment {
    pub(super) fn of(reference: &Reference) -> Self {
        Self { energy: reference.state[A], nutrient: reference.state[S], growth: reference.growth }
    }

    /// Elongation, aa/min a ribosome.
    pub(super) fn elongation(&self, k: &Constants) -> f64 {
        k.elongation_max * self.energy / (k.elongation_half + self.energy)
    }

    /// Goes on for `minutes` with so many transporters and enzymes and so many ribosomes that translate.
    pub(super) fn advance(&mut self, k: &Constants, minutes: f64, y: &Vector, translating: f64) {
        let h = minutes;
        // s - s0 = h (import - turnover s/(Km + s) - growth s)
        let turnover = k.metabolism * y[E + METABOLIC];
        let begun = self.nutrient + h * k.import * y[E + TRANSPORT];
        let held = 1.0 + h * self.growth;
        let linear = held * k.metabolism_half - begun + h * turnover;
        self.nutrient = positive_root(held, linear, begun * k.metabolism_half);
        let metabolism = turnover * self.nutrient / (k.metabolism_half + self.nutrient);
        // a - a0 = h (supply - gmax a/(Kg + a) T (1 + a/M))
        let begun = self.energy + h * k.energy_yield * metabolism;
        let spent = h * k.elongation_max * translating;
        let linear = k.elongation_half - begun + spent;
        self.energy = positive_root(1.0 + spent / k.mass, linear, begun * k.elongation_half);
        self.growth = self.elongation(k) * translating / k.mass;
    }

    /// Shares `active` ribosomes among transcripts with these demands (transcription of each class as the
    /// transcripts there are stand for it): the balance of the core's complexes,
    /// c = w / (f + lambda + (dm + lambda) D / (kb r)) with D = ku + gamma/n + f + lambda, and r + sum(c) = active.
    pub(super) fn share(&self, k: &Constants, active: f64, demand: &[f64; CLASSES]) -> Shared {
        const MAX_ITERATIONS: u32 = 50;
        const CONVERGED: f64 = 1e-13;
        let completion = k.completion(self.elongation(k));
        let lost = (k.inhibition + self.growth).max(LEAST_LOSS_PER_MIN);
        // Growth and decay of a transcript without a ribosome, times free ribosomes.
        let loss = k.decay + self.growth;
        let scale = completion.map(|each| {
            (loss * (k.unbinding + each + k.inhibition + self.growth) / k.binding).min(NEVER_BOUND)
        });
        let mut free = 0.0;
        // The sum is concave and rises with r: from 0, Newton's method climbs to the root and never passes it.
        for _ in 0..MAX_ITERATIONS {
            let (mut sum, mut slope) = (free, 1.0);
            for class in 0..CLASSES {
                let bottom = (lost * free + scale[class]).max(LEAST_LOSS_PER_MIN);
                sum += demand[class] * free / bottom;
                slope += demand[class] * (scale[class] / bottom) / bottom;
            }
            let change = (active - sum) / slope;
            free += change.max(0.0);
            if change.is_nan() || change <= CONVERGED * active {
                break;
            }
        }
        let complexes_per_demand = scale.map(|scale| free / (lost * free + scale).max(LEAST_LOSS_PER_MIN));
        let translating = (0..CLASSES).map(|class| complexes_per_demand[class] * demand[class]).sum();
        Shared { free, complexes_per_demand, translating }
    }

    /// Writes energy and nutrient into a state.
    pub(super) fn write(&self, y: &mut Vector) {
        y[A] = self.energy;
        y[S] = self.nutrient;
    }
}

impl Shared {
    /// Writes free ribosomes and complexes into a state.
    pub(super) fn write(&self, y: &mut Vector, demand: &[f64; CLASSES]) {
        y[R] = self.free;
        for class in 0..CLASSES {
            y[C + class] = self.complexes_per_demand[class] * demand[class];
        }
    }
}

/// The root above 0 of a x^2 + b x - c, with a > 0 and c >= 0; no digits are lost whatever the sign of b.
fn positive_root(a: f64, b: f64, c: f64) -> f64 {
    let root = (b * b + 4.0 * a * c).sqrt();
    if b >= 0.0 { 2.0 * c / (b + root).max(f64::MIN_POSITIVE) } else { (root - b) / (2.0 * a) }
}
