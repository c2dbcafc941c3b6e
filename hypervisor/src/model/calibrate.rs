//! Closed-form constants from a chassis' measured figures: given its doubling time and composition, the one set
//! of constants under which that composition is a steady state of the core model. Growth itself always comes
//! from integrating; this only chooses the constants.

use std::f64::consts::LN_2;

use super::core::{A, C, CLASS_Q, CLASS_R, CLASSES, E, M, N, R, S, Vector};
use crate::parameters::{Symbol, Values};

/// Energy at half transcription over the energy of the steady state: the ratios of the reference chassis.
const THRESHOLD_RIBOSOMAL: f64 = 426.8693 / 10.7048;
const THRESHOLD_OTHER: f64 = 4.37973 / 10.7048;
/// Housekeeping protein of the steady state over its amount at half repression.
const REPRESSION: f64 = 1.567;
/// Internal nutrient of the steady state, molecules.
const NUTRIENT: f64 = 128.4;
/// Energy per nutrient; external nutrient; half saturations; Hill exponent; binding and unbinding.
const ENERGY_YIELD: f64 = 0.5;
const EXTERNAL_NUTRIENT: f64 = 1e4;
const HALF_SATURATION: f64 = 1000.0;
const REPRESSION_EXPONENT: f64 = 4.0;
const BINDING: f64 = 1.0;
/// Sequestration by a cap, 1/min.
const SEQUESTRATION: f64 = 50.0;

/// A chassis' figures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) doubling_time_min: f64,
    pub(crate) mass_aa: f64,
    pub(crate) ribosome_length_aa: f64,
    pub(crate) protein_length_aa: f64,
    pub(crate) ribosomes: f64,
    /// Highest elongation rate, aa/min.
    pub(crate) elongation_max: f64,
    /// Share of the ribosomes that translate.
    pub(crate) active: f64,
    /// Transport and metabolic protein as a fraction of the mass.
    pub(crate) enzyme_fraction: f64,
    /// Energy molecules.
    pub(crate) energy: f64,
    /// mRNA decay, 1/min.
    pub(crate) decay: f64,
}

/// Why no constants exist for some figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Infeasible {
    /// The ribosomes would have to elongate faster than they can: the shortest doubling time they allow.
    TooFast { shortest_doubling_time_min: f64 },
    /// Ribosomes and enzymes leave no room for other protein: the fraction that they would fill.
    TooMuchProtein { fraction: f64 },
}

/// The constants under which `figures` hold at a steady state, and that state.
pub(crate) fn calibrate(figures: &Figures) -> Result<(Values, Vector), Infeasible> {
    let f = figures;
    let growth = LN_2 / f.doubling_time_min;
    let translating = f.active * f.ribosomes;
    let elongation = growth * f.mass_aa / translating;
    if elongation >= f.elongation_max {
        let shortest = f.doubling_time_min * elongation / f.elongation_max;
        return Err(Infeasible::TooFast { shortest_doubling_time_min: shortest });
    }
    let ribosome_fraction = f.ribosome_length_aa * f.ribosomes / f.mass_aa;
    let housekeeping_fraction = 1.0 - ribosome_fraction - f.enzyme_fraction;
    if housekeeping_fraction <= 0.0 {
        return Err(Infeasible::TooMuchProtein { fraction: ribosome_fraction + f.enzyme_fraction });
    }
    let free = f.ribosomes - translating;
    let enzyme = f.enzyme_fraction * f.mass_aa / f.protein_length_aa / 2.0;
    let housekeeping = housekeeping_fraction * f.mass_aa / f.protein_length_aa;
    let protein = [f.ribosomes, enzyme, enzyme, housekeeping, 0.0];
    let half_repression = housekeeping / REPRESSION;
    let threshold_ribosomal = THRESHOLD_RIBOSOMAL * f.energy;
    let threshold_other = THRESHOLD_OTHER * f.energy;

    let mut state = [0.0; N];
    let mut transcription = [0.0; CLASSES];
    for class in 0..CLASSES {
        let (length, threshold) = if class == CLASS_R {
            (f.ribosome_length_aa, threshold_ribosomal)
        } else {
            (f.protein_length_aa, threshold_other)
        };
        let complex = growth * protein[class] * length / elongation;
        let mrna = (BINDING + elongation / length + growth) * complex / (BINDING * free);
        let share = f.energy / (threshold + f.energy);
        transcription[class] = ((f.decay + growth) * mrna + growth * complex) / share;
        state[M + class] = mrna;
        state[C + class] = complex;
    }
    let ratio = housekeeping / half_repression;
    transcription[CLASS_Q] *= 1.0 + (ratio * ratio) * (ratio * ratio);
    state[E..E + CLASSES - 1].copy_from_slice(&protein[1..]);
    state[R] = free;
    state[S] = NUTRIENT;
    state[A] = f.energy;
    let found = Found { growth, elongation, enzyme, transcription, half_repression };
    Ok((found.values(f), state))
}

/// What the figures determine, besides themselves.
struct Found {
    growth: f64,
    elongation: f64,
    enzyme: f64,
    transcription: [f64; CLASSES],
    half_repression: f64,
}

impl Found {
    /// A value for every symbol.
    fn values(&self, f: &Figures) -> Values {
        let metabolism = self.growth * (f.mass_aa + f.energy) / ENERGY_YIELD;
        let import = metabolism + self.growth * NUTRIENT;
        let import_share = EXTERNAL_NUTRIENT / (HALF_SATURATION + EXTERNAL_NUTRIENT);
        let metabolism_share = NUTRIENT / (HALF_SATURATION + NUTRIENT);
        let elongation_half = f.energy * (f.elongation_max / self.elongation - 1.0);
        let mut values = Values::zero();
        for (symbol, value) in [
            (Symbol::S0, EXTERNAL_NUTRIENT),
            (Symbol::Ns, ENERGY_YIELD),
            (Symbol::Vt, import / import_share / self.enzyme),
            (Symbol::Kt, HALF_SATURATION),
            (Symbol::Vm, metabolism / metabolism_share / self.enzyme),
            (Symbol::Km, HALF_SATURATION),
            (Symbol::Wr, self.transcription[0]),
            (Symbol::Wt, self.transcription[1]),
            (Symbol::Wm, self.transcription[2]),
            (Symbol::Wq, self.transcription[3]),
            (Symbol::Thr, THRESHOLD_RIBOSOMAL * f.energy),
            (Symbol::Thx, THRESHOLD_OTHER * f.energy),
            (Symbol::Kq, self.half_repression),
            (Symbol::Nq, REPRESSION_EXPONENT),
            (Symbol::Gmax, f.elongation_max),
            (Symbol::Kg, elongation_half),
            (Symbol::Kp, f.elongation_max / elongation_half),
            (Symbol::Nr, f.ribosome_length_aa),
            (Symbol::Nx, f.protein_length_aa),
            (Symbol::M, f.mass_aa),
            (Symbol::Kb, BINDING),
            (Symbol::Ku, BINDING),
            (Symbol::Dm, f.decay),
            (Symbol::KCm, crate::chassis::CHLORAMPHENICOL_BINDING),
            (Symbol::Ks, SEQUESTRATION),
            (Symbol::Td, f.doubling_time_min),
            (Symbol::R, f.ribosomes),
            (Symbol::Act, f.active),
            (Symbol::PhiE, f.enzyme_fraction),
        ] {
            values.set(symbol, value);
        }
        values
    }
}
