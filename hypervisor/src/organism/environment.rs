//! What a cell's state offers to any of its genes, and how far mRNA, proteins and plasmids get in one tick of it. It
//! knows no names.

use crate::grid::TICKS_PER_MINUTE;
use crate::maths;
use crate::model::core::{CLASSES, Constants, M, Vector, translating};

const TICK_MIN: f64 = 1.0 / TICKS_PER_MINUTE as f64;
/// Nothing in a cell is more numerous.
const MOST: f64 = 1e15;

/// What genes share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Environment {
    /// lambda, 1/min.
    pub(crate) growth: f64,
    /// Decay of mRNA, 1/min.
    pub(crate) decay: f64,
    /// Share of the highest transcription that energy allows, for ribosomal protein.
    pub(crate) transcription_ribosomal: f64,
    /// The same for any other.
    pub(crate) transcription_other: f64,
    /// Amino acids made per message, 1/min: elongation times the share of messages that carry a ribosome.
    pub(crate) translation: f64,
}

impl Environment {
    pub(crate) fn of(k: &Constants, y: &Vector) -> Self {
        let rates = k.rates(y);
        let carried = translating(y);
        let messages = carried + y[M..M + CLASSES].iter().sum::<f64>();
        Self {
            growth: rates.growth,
            decay: k.decay,
            transcription_ribosomal: rates.transcription_ribosomal,
            transcription_other: rates.transcription_other,
            translation: if messages > 0.0 { rates.elongation * carried / messages } else { 0.0 },
        }
    }
}

/// The closed form of a tick under constant rates. With w transcription and k translation per message:
/// m' = w - (d + lambda) m and p' = k m - lambda p.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tick {
    mrna_kept: f64,
    mrna_made: f64,
    protein_kept: f64,
    protein_from_mrna: f64,
    protein_from_transcription: f64,
}

impl Tick {
    pub(crate) fn of(environment: &Environment) -> Self {
        let (growth, decay) = (environment.growth.max(0.0), environment.decay);
        let lost = growth + decay;
        let protein_kept = maths::exp(-growth * TICK_MIN);
        let protein_from_mrna = protein_kept * TICK_MIN * shrinking(decay * TICK_MIN);
        let growing = TICK_MIN * shrinking(growth * TICK_MIN);
        // The difference loses its figures where nothing is lost; there the limit is exact enough.
        let protein_from_transcription = if lost * TICK_MIN < 1e-8 {
            0.5 * TICK_MIN * TICK_MIN
        } else {
            (growing - protein_from_mrna) / lost
        };
        Self {
            mrna_kept: maths::exp(-lost * TICK_MIN),
            mrna_made: TICK_MIN * shrinking(lost * TICK_MIN),
            protein_kept,
            protein_from_mrna,
            protein_from_transcription,
        }
    }

    /// mRNA a tick later.
    pub(crate) fn mrna(&self, mrna: f64, transcription: f64) -> f64 {
        bounded(mrna * self.mrna_kept + transcription * self.mrna_made)
    }

    /// A protein a tick later; `mrna` at the start of the tick.
    pub(crate) fn protein(&self, protein: f64, mrna: f64, transcription: f64, translation: f64) -> f64 {
        let made = mrna * self.protein_from_mrna + transcription * self.protein_from_transcription;
        bounded(protein * self.protein_kept + translation * made)
    }
}

/// Plasmids a tick later: n' = k0 n/(1 + n/K) - lambda n by the exponential midpoint rule, which keeps n positive and
/// stands still exactly where n' is 0.
pub(crate) fn plasmids(copies: f64, k0: f64, half: f64, growth: f64) -> f64 {
    let rate = |copies: f64| k0 / (1.0 + copies / half) - growth;
    let middle = bounded(copies * maths::exp(0.5 * TICK_MIN * rate(copies)));
    bounded(copies * maths::exp(TICK_MIN * rate(middle)))
}

/// (1 - exp(-x)) / x.
fn shrinking(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { -maths::exp_m1(-x) / x }
}

pub(crate) fn bounded(value: f64) -> f64 {
    if value.is_nan() { 0.0 } else { value.clamp(0.0, MOST) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The two equations in 10,000 steps of Runge and Kutta.
    fn followed(e: &Environment, start: (f64, f64), w: f64, k: f64) -> (f64, f64) {
        let slope = |m: f64, p: f64| (w - (e.decay + e.growth) * m, k * m - e.growth * p);
        let (mut m, mut p) = start;
        let h = TICK_MIN / 10_000.0;
        for _ in 0..10_000 {
            let (a, b) = slope(m, p);
            let (c, d) = slope(m + 0.5 * h * a, p + 0.5 * h * b);
            let (f, g) = slope(m + 0.5 * h * c, p + 0.5 * h * d);
            let (i, j) = slope(m + h * f, p + h * g);
            m += h / 6.0 * (a + 2.0 * c + 2.0 * f + i);
            p += h / 6.0 * (b + 2.0 * d + 2.0 * g + j);
        }
        (m, p)
    }

    #[test]
    fn a_tick_in_closed_form_is_the_solution_of_the_equations() {
        for (growth, decay) in
            [(0.023, 0.315), (0.0, 0.2), (0.05, 0.0), (0.0, 0.0), (3.0, 40.0), (1e-9, 1e-9)]
        {
            let environment = Environment {
                growth,
                decay,
                transcription_ribosomal: 1.0,
                transcription_other: 1.0,
                translation: 1.0,
            };
            let tick = Tick::of(&environment);
            for (start, w, k) in [((0.0, 0.0), 2.0, 5.0), ((3.0, 700.0), 0.4, 1.5), ((10.0, 0.0), 0.0, 9.0)] {
                let expected = followed(&environment, start, w, k);
                let found = (tick.mrna(start.0, w), tick.protein(start.1, start.0, w, k));
                assert!(
                    (found.0 - expected.0).abs() <= 1e-9 * expected.0.max(1e-3),
                    "{found:?} {expected:?}"
                );
                assert!(
                    (found.1 - expected.1).abs() <= 1e-7 * expected.1.max(1e-3),
                    "{found:?} {expected:?}"
                );
            }
        }
    }

    #[test]
    fn plasmids_settle_where_replication_keeps_up_with_growth() {
        let (k0, half, growth) = (0.1386294, 120.0, 0.0231049);
        let mut copies = 1.0;
        for _ in 0..20_000 {
            copies = plasmids(copies, k0, half, growth);
        }
        let balanced = half * (k0 / growth - 1.0);
        assert!((copies / balanced - 1.0).abs() < 1e-9, "{copies} {balanced}");
        assert!(plasmids(5.0, 0.01, 1.0, 1e15) >= 0.0);
    }
}
