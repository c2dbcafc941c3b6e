//! Solves (d*I - J) x = b, J being the analytic Jacobian of the core model, by eliminating along its structure.
//!
//! Everything is affine in three unknowns, the changes of free ribosomes, of energy and of translating
//! ribosomes: given those, each class is a 2x2 block of mRNA and complex (q's repression folded in), and every
//! protein, nutrient and pool follows by one division. So a factorisation costs three sweeps over the blocks
//! and the inverse of a 3x3 matrix, and a solution one sweep.

use super::core::{
    A, BOUND, C, CLASS_Q, CLASS_R, CLASSES, Constants, E, HOUSEKEEPING, IDLE, M, METABOLIC, N, R, Rates, S,
    TRANSPORT, Vector,
};

/// The unknowns that couple the blocks, in order.
const FREE: usize = 0;
const ENERGY: usize = 1;
const TRANSLATING: usize = 2;

/// Partial derivatives of the rates at one state.
struct Slopes {
    /// gamma/n_x of each class, 1/min.
    completion: [f64; CLASSES],
    /// Its derivative by energy.
    completion_by_energy: [f64; CLASSES],
    /// d(w_x)/da.
    transcription_by_energy: [f64; CLASSES],
    /// d(w_q)/dq, zero or below.
    repression: f64,
    elongation_by_energy: f64,
    growth_by_energy: f64,
    growth_by_translating: f64,
    metabolism_by_enzyme: f64,
    metabolism_by_nutrient: f64,
    /// The sequestration flux by free, translating and idle ribosomes.
    idled_by_free: f64,
    idled_by_translating: f64,
    idled_by_idle: f64,
}

impl Slopes {
    fn new(k: &Constants, y: &Vector, rates: &Rates) -> Self {
        let energy_term = k.elongation_half + y[A];
        let elongation_by_energy = k.elongation_max * k.elongation_half / (energy_term * energy_term);
        let ribosomal_term = k.threshold_ribosomal + y[A];
        let other_term = k.threshold_other + y[A];
        let by_energy = k.threshold_other / (other_term * other_term);
        let mut transcription_by_energy = k.transcription.map(|highest| highest * by_energy);
        transcription_by_energy[CLASS_Q] *= rates.repression;
        transcription_by_energy[CLASS_R] =
            k.transcription[CLASS_R] * k.threshold_ribosomal / (ribosomal_term * ribosomal_term);
        let housekeeping = y[E + HOUSEKEEPING];
        let repression = if housekeeping > 0.0 {
            let share = rates.transcription_other * rates.repression * rates.repression;
            let power = k.repression_power(housekeeping);
            -k.transcription[CLASS_Q] * share * power * k.repression_exponent / housekeeping
        } else {
            0.0
        };
        let nutrient_term = k.metabolism_half + y[S];
        let (idled_by_free, idled_by_translating, idled_by_idle) = sequestration(k, y, rates.translating);
        Self {
            completion: k.completion(rates.elongation),
            completion_by_energy: k.completion(elongation_by_energy),
            transcription_by_energy,
            repression,
            elongation_by_energy,
            growth_by_energy: elongation_by_energy * rates.translating / k.mass,
            growth_by_translating: rates.elongation / k.mass,
            metabolism_by_enzyme: k.metabolism * y[S] / nutrient_term,
            metabolism_by_nutrient: k.metabolism * y[E + METABOLIC] * k.metabolism_half
                / (nutrient_term * nutrient_term),
            idled_by_free,
            idled_by_translating,
            idled_by_idle,
        }
    }

    /// What each of the three unknowns adds to the right-hand sides of all equations.
    fn effects(&self, k: &Constants, y: &Vector, rates: &Rates, d: f64) -> [Vector; 3] {
        let mut effects = [[0.0; N]; 3];
        let mut mrna_total = 0.0;
        let mut freed_by_energy = self.completion_by_energy[CLASS_R] * y[C + CLASS_R];
        for class in 0..CLASSES {
            let freed = self.completion_by_energy[class] * y[C + class];
            let bound = k.binding * y[M + class];
            effects[FREE][M + class] = -bound;
            effects[FREE][C + class] = bound;
            effects[ENERGY][M + class] = self.transcription_by_energy[class] + freed;
            effects[ENERGY][C + class] = -freed;
            mrna_total += y[M + class];
            freed_by_energy += freed;
        }
        for protein in 0..CLASSES - 1 {
            effects[ENERGY][E + protein] = self.completion_by_energy[CLASS_Q] * y[C + 1 + protein];
        }
        effects[FREE][IDLE] = self.idled_by_free;
        effects[TRANSLATING][IDLE] = self.idled_by_translating;
        effects[TRANSLATING][BOUND] = k.inhibition;
        effects[FREE][R] = -(d + k.binding * mrna_total + rates.growth + self.idled_by_free);
        effects[ENERGY][R] = freed_by_energy;
        effects[TRANSLATING][R] = -self.idled_by_translating;
        effects[ENERGY][A] = -(d + rates.growth + self.elongation_by_energy * rates.translating);
        effects[TRANSLATING][A] = -rates.elongation;
        for i in 0..N {
            effects[ENERGY][i] -= y[i] * self.growth_by_energy;
            effects[TRANSLATING][i] -= y[i] * self.growth_by_translating;
        }
        effects
    }
}

/// Derivatives of the sequestration flux by free, translating and idle ribosomes.
fn sequestration(k: &Constants, y: &Vector, translating: f64) -> (f64, f64, f64) {
    if k.cap == f64::INFINITY {
        return (0.0, 0.0, 0.0);
    }
    let over = y[R] + translating - k.cap;
    let pool = if over >= 0.0 { y[R] } else { y[IDLE] };
    let by_active = k.sequestration * pool / (1.0 + pool);
    let by_pool = k.sequestration * over / ((1.0 + pool) * (1.0 + pool));
    if over >= 0.0 { (by_active + by_pool, by_active, 0.0) } else { (by_active, by_active, by_pool) }
}

/// The matrix d*I - J, ready to solve with.
pub(crate) struct Factor {
    slopes: Slopes,
    energy_yield: f64,
    import: f64,
    /// kb*r, the step from mRNA to complex.
    bind: f64,
    /// ku + gamma/n_x, and the same with q's repression folded in.
    free: [f64; CLASSES],
    free_repressed: [f64; CLASSES],
    /// The entries of each class' inverted block that are not products of the others.
    mrna: f64,
    complex: [f64; CLASSES],
    per_determinant: [f64; CLASSES],
    /// 1 / diagonals of proteins, nutrient and idle pool.
    per_protein: f64,
    per_nutrient: f64,
    per_idle: f64,
    /// The effect of each of the three unknowns on every variable, all else eliminated.
    columns: [Vector; 3],
    /// Inverse of the 3x3 system that is left.
    inverse: [[f64; 3]; 3],
}

impl Factor {
    /// Factorises d*I - J at `y`; `d` in 1/min.
    pub(crate) fn new(k: &Constants, y: &Vector, d: f64) -> Self {
        let rates = k.rates(y);
        let slopes = Slopes::new(k, y, &rates);
        let effects = slopes.effects(k, y, &rates, d);
        let diluted = d + rates.growth;
        let per_protein = 1.0 / diluted;
        let bind = k.binding * y[R];
        let mrna = diluted + bind + k.decay;
        let free = slopes.completion.map(|completion| completion + k.unbinding);
        let complex = free.map(|free| diluted + free + k.inhibition);
        let mut free_repressed = free;
        free_repressed[CLASS_Q] += slopes.repression * slopes.completion[CLASS_Q] * per_protein;
        let mut per_determinant = [0.0; CLASSES];
        for class in 0..CLASSES {
            per_determinant[class] = 1.0 / (mrna * complex[class] - free_repressed[class] * bind);
        }
        let mut factor = Self {
            energy_yield: k.energy_yield,
            import: k.import,
            bind,
            free,
            free_repressed,
            mrna,
            complex,
            per_determinant,
            per_protein,
            per_nutrient: 1.0 / (diluted + slopes.metabolism_by_nutrient),
            per_idle: 1.0 / (diluted - slopes.idled_by_idle),
            columns: [[0.0; N]; 3],
            inverse: [[0.0; 3]; 3],
            slopes,
        };
        let mut left = [[0.0; 3]; 3];
        for (unknown, effect) in effects.iter().enumerate() {
            let (column, rest) = factor.eliminate(effect);
            factor.columns[unknown] = column;
            for (row, rest) in rest.into_iter().enumerate() {
                left[row][unknown] = -rest;
            }
        }
        left[TRANSLATING][TRANSLATING] += 1.0;
        factor.inverse = inverse(&left);
        factor
    }

    /// x with (d*I - J) x = b.
    pub(crate) fn solve(&self, b: &Vector) -> Vector {
        let (mut x, rest) = self.eliminate(b);
        let unknown = self.inverse.map(|row| row[0] * rest[0] + row[1] * rest[1] + row[2] * rest[2]);
        for (column, unknown) in self.columns.iter().zip(unknown) {
            for (x, effect) in x.iter_mut().zip(column) {
                *x += effect * unknown;
            }
        }
        x[R] = unknown[FREE];
        x[A] = unknown[ENERGY];
        x
    }

    /// The solution with the three unknowns at zero, and what it leaves of their own three equations.
    fn eliminate(&self, b: &Vector) -> (Vector, [f64; 3]) {
        let slopes = &self.slopes;
        let mut x = [0.0; N];
        let mut mrna = [0.0; CLASSES];
        mrna.copy_from_slice(&b[M..M + CLASSES]);
        mrna[CLASS_Q] += slopes.repression * self.per_protein * b[E + HOUSEKEEPING];
        let (mut freed, mut translating) = (0.0, 0.0);
        for class in 0..CLASSES {
            let (m, c, per) = (mrna[class], b[C + class], self.per_determinant[class]);
            x[M + class] = (self.complex[class] * m + self.free_repressed[class] * c) * per;
            x[C + class] = (self.bind * m + self.mrna * c) * per;
            freed += self.free[class] * x[C + class] - self.bind * x[M + class];
            translating += x[C + class];
        }
        for protein in 0..CLASSES - 1 {
            let made = slopes.completion[1 + protein] * x[C + 1 + protein];
            x[E + protein] = (b[E + protein] + made) * self.per_protein;
        }
        x[BOUND] = b[BOUND] * self.per_protein;
        x[IDLE] = b[IDLE] * self.per_idle;
        let by_enzyme = slopes.metabolism_by_enzyme * x[E + METABOLIC];
        x[S] = (b[S] + self.import * x[E + TRANSPORT] - by_enzyme) * self.per_nutrient;
        let made = slopes.completion[CLASS_R] * x[C + CLASS_R];
        let rest = [
            b[R] + freed + made - slopes.idled_by_idle * x[IDLE],
            b[A] + self.energy_yield * (by_enzyme + slopes.metabolism_by_nutrient * x[S]),
            translating,
        ];
        (x, rest)
    }
}

/// By cofactors, which does not mind that the three equations differ in scale.
fn inverse(a: &[[f64; 3]; 3]) -> [[f64; 3]; 3] {
    let cofactor = |r: usize, c: usize| {
        let (r1, r2, c1, c2) = ((r + 1) % 3, (r + 2) % 3, (c + 1) % 3, (c + 2) % 3);
        a[r1][c1] * a[r2][c2] - a[r1][c2] * a[r2][c1]
    };
    let per = 1.0 / (a[0][0] * cofactor(0, 0) + a[0][1] * cofactor(0, 1) + a[0][2] * cofactor(0, 2));
    let mut inverse = [[0.0; 3]; 3];
    for (row, entries) in inverse.iter_mut().enumerate() {
        for (column, entry) in entries.iter_mut().enumerate() {
            *entry = cofactor(column, row) * per;
        }
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chassis::{self, ChassisName};

    /// J by central differences, column by column.
    fn numeric_jacobian(k: &Constants, y: &Vector) -> [Vector; N] {
        let mut columns = [[0.0; N]; N];
        for (i, column) in columns.iter_mut().enumerate() {
            let step = 1e-6 * y[i].abs().max(1e-3);
            let (mut above, mut below) = (*y, *y);
            above[i] += step;
            below[i] -= step;
            let (above, below) = (k.derivative(&above), k.derivative(&below));
            for row in 0..N {
                column[row] = (above[row] - below[row]) / (2.0 * step);
            }
        }
        columns
    }

    #[test]
    fn the_structured_solution_solves_the_dense_system() {
        for name in ChassisName::ALL {
            let baseline = chassis::baseline(name, &Default::default()).unwrap();
            for (cap, exponent, shift) in [(f64::INFINITY, 4.0, 1.0), (0.7, 4.0, 1.1), (1.4, 2.5, 0.9)] {
                let mut k = baseline.constants(1.0, cap * baseline.reference.ribosomes_total);
                k.inhibition = 0.03;
                k.transcription[4] = 50.0;
                k.repression_exponent = exponent;
                let mut y = baseline.state;
                for (i, value) in y.iter_mut().enumerate() {
                    *value = shift * value.max(3.0 + i as f64);
                }
                let jacobian = numeric_jacobian(&k, &y);
                for d in [0.5, 40.0] {
                    let mut b = [0.0; N];
                    for (i, value) in b.iter_mut().enumerate() {
                        *value = (1.0 + i as f64 * 0.37) * y[i];
                    }
                    let x = Factor::new(&k, &y, d).solve(&b);
                    for row in 0..N {
                        let mut sum = d * x[row];
                        let mut size = (d * x[row]).abs();
                        for (column, entry) in jacobian.iter().enumerate() {
                            sum -= entry[row] * x[column];
                            size += (entry[row] * x[column]).abs();
                        }
                        let tolerance = 1e-7 * size.max(b[row]);
                        assert!(
                            (sum - b[row]).abs() < tolerance,
                            "{name} row {row}: {sum} against {}",
                            b[row]
                        );
                    }
                }
            }
        }
    }
}
