//! The equations of the core model: Weiße et al., PNAS 2015;112:E1038, with a heterologous class `p`, a cap on
//! active ribosomes by sequestration, and a factor on the energy supply. Units: molecules per cell, minutes.
//!
//! ```text
//!   nutrient --e_t--> s_i --e_m--> a (energy) --> transcription of r, t, m, q, p
//!                                      \--> translation: m_x + r <-> c_x --> protein
//! ```
//!
//! The complexes that chloramphenicol holds are one pool, `BOUND`: in the published model each z_x gains
//! f*c_x and is only diluted, and nothing reads it, so their sum obeys the same equation with the sum of c_x.
//!
//! It knows nothing of chassis, time steps or allocations as users state them.

use crate::maths;

/// State variables.
pub(crate) const N: usize = 19;
/// mRNA of the classes r, t, m, q, p.
pub(crate) const M: usize = 0;
/// Ribosome-mRNA complexes of the classes r, t, m, q, p.
pub(crate) const C: usize = 5;
/// Protein of the classes t, m, q, p.
pub(crate) const E: usize = 10;
/// Free ribosomes.
pub(crate) const R: usize = 14;
/// Complexes that chloramphenicol holds.
pub(crate) const BOUND: usize = 15;
/// Ribosomes idled by the cap.
pub(crate) const IDLE: usize = 16;
/// Internal nutrient.
pub(crate) const S: usize = 17;
/// Energy molecules.
pub(crate) const A: usize = 18;

/// Protein classes.
pub(crate) const CLASSES: usize = 5;
/// The class of ribosomal protein.
pub(crate) const CLASS_R: usize = 0;
/// The class of housekeeping protein, which represses its own transcription.
pub(crate) const CLASS_Q: usize = 3;
/// The heterologous class.
pub(crate) const CLASS_P: usize = 4;
/// The proteins t, m, q as indexes from `E`.
pub(crate) const TRANSPORT: usize = 0;
pub(crate) const METABOLIC: usize = 1;
pub(crate) const HOUSEKEEPING: usize = 2;

/// The names of the state variables, in order.
pub(crate) const NAMES: [&str; N] = [
    "m_r", "m_t", "m_m", "m_q", "m_p", "c_r", "c_t", "c_m", "c_q", "c_p", "e_t", "e_m", "q", "p", "r",
    "z_bound", "z_idle", "s_i", "a",
];

/// A state of the model, or a change of one.
pub(crate) type Vector = [f64; N];

/// The constants of the equations, allocations included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Constants {
    /// Highest transcription rate of each class, 1/min.
    pub(crate) transcription: [f64; CLASSES],
    /// 1 / length of a ribosome's protein, 1/aa.
    pub(crate) per_ribosome: f64,
    /// 1 / length of any other protein, 1/aa.
    pub(crate) per_protein: f64,
    /// Highest elongation rate, aa/min.
    pub(crate) elongation_max: f64,
    /// Energy at half of the highest elongation rate.
    pub(crate) elongation_half: f64,
    /// Energy at half of the highest transcription, ribosomal class.
    pub(crate) threshold_ribosomal: f64,
    /// Energy at half of the highest transcription, other classes.
    pub(crate) threshold_other: f64,
    /// Housekeeping protein at half repression.
    pub(crate) repression_half: f64,
    /// Hill exponent of that repression.
    pub(crate) repression_exponent: f64,
    /// Cell mass, aa.
    pub(crate) mass: f64,
    /// Binding of a ribosome and an mRNA, 1/min a molecule.
    pub(crate) binding: f64,
    /// Unbinding, 1/min.
    pub(crate) unbinding: f64,
    /// mRNA decay, 1/min.
    pub(crate) decay: f64,
    /// Nutrient import of a transporter, 1/min: vt*s0/(Kt+s0).
    pub(crate) import: f64,
    /// Highest turnover of a metabolic enzyme, 1/min.
    pub(crate) metabolism: f64,
    /// Internal nutrient at half of that.
    pub(crate) metabolism_half: f64,
    /// Energy per nutrient, the ATP allocation included.
    pub(crate) energy_yield: f64,
    /// Chloramphenicol binding, 1/min: cl*k_cm.
    pub(crate) inhibition: f64,
    /// Cap on active ribosomes; infinite where there is none.
    pub(crate) cap: f64,
    /// Rate of sequestration and release, 1/min.
    pub(crate) sequestration: f64,
}

/// The quantities that the equations and their derivatives share.
pub(crate) struct Rates {
    /// Ribosomes that translate.
    pub(crate) translating: f64,
    /// Elongation, aa/min a ribosome.
    pub(crate) elongation: f64,
    /// Growth rate, 1/min.
    pub(crate) growth: f64,
    /// Nutrient import, 1/min.
    pub(crate) import: f64,
    /// Nutrient turned into energy, 1/min.
    pub(crate) metabolism: f64,
    /// Share of the highest transcription that energy allows, ribosomal and other classes.
    pub(crate) transcription_ribosomal: f64,
    pub(crate) transcription_other: f64,
    /// Share of the highest transcription that housekeeping protein leaves itself.
    pub(crate) repression: f64,
}

impl Constants {
    /// The shared rates at `y`.
    pub(crate) fn rates(&self, y: &Vector) -> Rates {
        let energy = y[A];
        let translating = translating(y);
        let elongation = self.elongation_max * energy / (self.elongation_half + energy);
        Rates {
            translating,
            elongation,
            growth: elongation * translating / self.mass,
            import: self.import * y[E + TRANSPORT],
            metabolism: self.metabolism * y[E + METABOLIC] * y[S] / (self.metabolism_half + y[S]),
            transcription_ribosomal: energy / (self.threshold_ribosomal + energy),
            transcription_other: energy / (self.threshold_other + energy),
            repression: 1.0 / (1.0 + self.repression_power(y[E + HOUSEKEEPING])),
        }
    }

    /// (q/Kq)^nq.
    pub(crate) fn repression_power(&self, housekeeping: f64) -> f64 {
        let ratio = housekeeping.max(0.0) / self.repression_half;
        if self.repression_exponent == 4.0 {
            let square = ratio * ratio;
            return square * square;
        }
        maths::pow(ratio, self.repression_exponent)
    }

    /// Transcription of each class, 1/min.
    pub(crate) fn transcription(&self, rates: &Rates) -> [f64; CLASSES] {
        let mut transcription = self.transcription;
        for (class, rate) in transcription.iter_mut().enumerate() {
            *rate *= if class == CLASS_R { rates.transcription_ribosomal } else { rates.transcription_other };
        }
        transcription[CLASS_Q] *= rates.repression;
        transcription
    }

    /// Completions of a protein per complex, 1/min.
    pub(crate) fn completion(&self, elongation: f64) -> [f64; CLASSES] {
        let mut completion = [elongation * self.per_protein; CLASSES];
        completion[CLASS_R] = elongation * self.per_ribosome;
        completion
    }

    /// Ribosomes that go idle minus those that come back, 1/min.
    pub(crate) fn sequestration_flux(&self, y: &Vector) -> f64 {
        if self.cap == f64::INFINITY {
            return 0.0;
        }
        let over = y[R] + translating(y) - self.cap;
        if over >= 0.0 {
            self.sequestration * over * y[R] / (1.0 + y[R])
        } else {
            self.sequestration * over * y[IDLE] / (1.0 + y[IDLE])
        }
    }

    /// dy/dt at `y`, 1/min.
    pub(crate) fn derivative(&self, y: &Vector) -> Vector {
        let rates = self.rates(y);
        let transcription = self.transcription(&rates);
        let completion = self.completion(rates.elongation);
        let growth = rates.growth;
        let mut dy = [0.0; N];
        let mut released = 0.0;
        for class in 0..CLASSES {
            let (mrna, complex) = (y[M + class], y[C + class]);
            let bound = self.binding * y[R] * mrna;
            let freed = (self.unbinding + completion[class]) * complex;
            dy[M + class] = transcription[class] + freed - bound - (self.decay + growth) * mrna;
            dy[C + class] = bound - freed - (self.inhibition + growth) * complex;
            released += freed - bound;
        }
        for protein in 0..CLASSES - 1 {
            dy[E + protein] = completion[1 + protein] * y[C + 1 + protein] - growth * y[E + protein];
        }
        let idled = self.sequestration_flux(y);
        dy[R] = released + completion[CLASS_R] * y[C + CLASS_R] - growth * y[R] - idled;
        dy[BOUND] = self.inhibition * rates.translating - growth * y[BOUND];
        dy[IDLE] = idled - growth * y[IDLE];
        dy[S] = rates.import - rates.metabolism - growth * y[S];
        dy[A] = self.energy_yield * rates.metabolism - rates.elongation * rates.translating - growth * y[A];
        dy
    }
}

/// Ribosomes that translate.
pub(crate) fn translating(y: &Vector) -> f64 {
    y[C] + y[C + 1] + y[C + 2] + y[C + 3] + y[C + 4]
}
