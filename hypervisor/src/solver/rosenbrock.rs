//! One step in time by Rodas5P: an eight-stage, stiffly accurate, L-stable Rosenbrock method of order 5 with an
//! error estimate of order 4 and a dense output of order 4. Method and coefficients: G. Steinebach, BIT
//! Numerical Mathematics 63:27 (2023). The step-size rule looks at one step only, so a step that is taken again
//! from the same state with the same length gives the same bits and the same next length.

use crate::maths;
use crate::model::core::{Constants, N, Vector};
use crate::model::factor::Factor;
use serde::{Deserialize, Serialize};

const GAMMA: f64 = 0.211_937_563_194_290_14;
const STAGES: usize = 8;

/// What rounding and tolerance may leave below zero, molecules.
const LEAST_AMOUNT: f64 = 1e-3;

/// Weights of earlier stages in a stage's argument; stages 7 and 8 add the stage before with weight 1.
const ARGUMENT: [[f64; 5]; 6] = [
    [0.0; 5],
    [3.0, 0.0, 0.0, 0.0, 0.0],
    [2.849394379747939, 0.45842242204463923, 0.0, 0.0, 0.0],
    [-6.954028509809101, 2.489845061869568, -10.358996098473584, 0.0, 0.0],
    [2.8029986275628964, 0.5072464736228206, -0.3988312541770524, -0.04721187230404641, 0.0],
    [-7.502846399306121, 2.561846144803919, -11.627539656261098, -0.18268767659942256, 0.030198172008377946],
];

/// Weights of earlier stages in a stage's right-hand side, to be divided by the step.
const RIGHT: [[f64; 7]; STAGES] = [
    [0.0; 7],
    [-14.155112264123755, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    [-17.97296035885952, -2.859693295451294, 0.0, 0.0, 0.0, 0.0, 0.0],
    [147.12150275711716, -1.41221402718213, 71.68940251302358, 0.0, 0.0, 0.0, 0.0],
    [165.43517024871676, -0.4592823456491126, 42.90938336958603, -5.961986721573306, 0.0, 0.0, 0.0],
    [
        24.854864614690072,
        -3.0009227002832186,
        47.4931110020768,
        5.5814197821558125,
        -0.6610691825249471,
        0.0,
        0.0,
    ],
    [
        30.91273214028599,
        -3.1208243349937974,
        77.79954646070892,
        34.28646028294783,
        -19.097331116725623,
        -28.087943162872662,
        0.0,
    ],
    [
        37.80277123390563,
        -3.2571969029072276,
        112.26918849496327,
        66.9347231244047,
        -40.06618937091002,
        -54.66780262877968,
        -9.48861652309627,
    ],
];

/// Weights of the stages in the dense output.
const DENSE: [[f64; STAGES]; 3] = [
    [
        25.948786856663858,
        -2.5579724845846235,
        10.433815404888879,
        -2.3679251022684204,
        0.524948541321073,
        1.1241088310450404,
        0.4272876194431874,
        -0.17202221070155493,
    ],
    [
        -9.91568850695171,
        -0.9689944594115154,
        3.0438037242978453,
        -24.495224566215796,
        20.176138334709044,
        15.98066361424651,
        -6.789040303419874,
        -6.710236069923372,
    ],
    [
        11.419903575922262,
        2.8879645146136994,
        72.92137995996029,
        80.12511834622643,
        -52.072871366152654,
        -59.78993625266729,
        -0.15582684282751913,
        4.883087185713722,
    ],
];

/// How accurate a trajectory has to be: a step's estimated error stays below `absolute + relative * |value|`, in
/// the root mean square over the state variables.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tolerance {
    /// Relative to a variable's value.
    pub relative: f64,
    /// In molecules.
    pub absolute: f64,
}

impl Default for Tolerance {
    fn default() -> Self {
        Self { relative: 1e-8, absolute: 1e-8 }
    }
}

/// A step that was tried.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) length_min: f64,
    start: Vector,
    pub(crate) end: Vector,
    dense: [Vector; 3],
    /// Estimated error over tolerance; the step stands if it is at most 1.
    pub(crate) error: f64,
}

impl Step {
    /// Tries a step of `length_min` from `start`. The error is NaN or infinite where the model left the numbers.
    pub(crate) fn attempt(k: &Constants, start: &Vector, length_min: f64, tolerance: &Tolerance) -> Self {
        let per_length = 1.0 / length_min;
        let factor = Factor::new(k, start, per_length / GAMMA);
        let mut stages = [[0.0; N]; STAGES];
        let mut argument = *start;
        stages[0] = factor.solve(&k.derivative(start));
        stage::<1>(k, &factor, start, per_length, &mut stages, &mut argument);
        stage::<2>(k, &factor, start, per_length, &mut stages, &mut argument);
        stage::<3>(k, &factor, start, per_length, &mut stages, &mut argument);
        stage::<4>(k, &factor, start, per_length, &mut stages, &mut argument);
        stage::<5>(k, &factor, start, per_length, &mut stages, &mut argument);
        stage::<6>(k, &factor, start, per_length, &mut stages, &mut argument);
        stage::<7>(k, &factor, start, per_length, &mut stages, &mut argument);
        let mut end = argument;
        for i in 0..N {
            end[i] += stages[STAGES - 1][i];
        }
        let dense = DENSE.map(|weights| combined::<STAGES>(&[0.0; N], &stages, &weights));
        // No amount is negative. A step that jumps there may find a branch of the equations that no cell is on.
        let below = -(LEAST_AMOUNT + 10.0 * tolerance.absolute);
        let error = if end.iter().any(|value| *value < below) {
            f64::INFINITY
        } else {
            norm(&stages[STAGES - 1], start, &end, tolerance)
        };
        Self { length_min, start: *start, end, dense, error }
    }

    /// The state `minutes` after the step's start.
    pub(crate) fn at(&self, minutes: f64) -> Vector {
        let done = minutes / self.length_min;
        let left = 1.0 - done;
        let mut y = [0.0; N];
        for (i, value) in y.iter_mut().enumerate() {
            let inner = self.dense[1][i] + done * self.dense[2][i];
            *value = left * self.start[i] + done * (self.end[i] + left * (self.dense[0][i] + done * inner));
        }
        y
    }

    /// Whether it stands.
    pub(crate) fn is_accepted(&self) -> bool {
        self.error <= 1.0 && self.end.iter().all(|value| value.is_finite())
    }

    /// The length to try next, after this step or instead of it.
    pub(crate) fn next_length_min(&self) -> f64 {
        const SAFETY: f64 = 0.9;
        const LEAST: f64 = 0.1;
        const MOST: f64 = 8.0;
        if !self.error.is_finite() {
            return self.length_min * LEAST;
        }
        let factor = SAFETY * maths::pow(self.error.max(1e-12), -0.2);
        self.length_min * factor.clamp(LEAST, MOST)
    }
}

/// A first step from `y`: the one that brings an error of about the tolerance, by the size of the solution's first
/// two derivatives.
pub(crate) fn first_length_min(k: &Constants, y: &Vector, tolerance: &Tolerance) -> f64 {
    const LEAST_MIN: f64 = 1e-7;
    const MOST_MIN: f64 = 1.0;
    let slope = k.derivative(y);
    let slope_size = norm(&slope, y, y, tolerance);
    let probe_min = 1e-6 * norm(y, y, y, tolerance) / slope_size;
    if probe_min.is_nan() || probe_min >= MOST_MIN {
        return MOST_MIN;
    }
    let mut ahead = *y;
    for i in 0..N {
        ahead[i] += probe_min * slope[i];
    }
    let mut curvature = k.derivative(&ahead);
    for i in 0..N {
        curvature[i] = (curvature[i] - slope[i]) / probe_min;
    }
    let fastest_per_min = norm(&curvature, y, y, tolerance) / slope_size;
    let amplitude = slope_size / fastest_per_min;
    let length = 0.5 * maths::pow(amplitude.max(1.0), -0.2) / fastest_per_min;
    if length.is_finite() { length.clamp(LEAST_MIN, MOST_MIN) } else { LEAST_MIN }
}

/// Solves for the stage with index `INDEX` (1 to 7). The count is a constant so that the sums unroll.
fn stage<const INDEX: usize>(
    k: &Constants,
    factor: &Factor,
    start: &Vector,
    per_length: f64,
    stages: &mut [Vector; STAGES],
    argument: &mut Vector,
) {
    if INDEX < ARGUMENT.len() {
        *argument = combined::<INDEX>(start, stages, &ARGUMENT[INDEX]);
    } else {
        for i in 0..N {
            argument[i] += stages[INDEX - 1][i];
        }
    }
    let weights = RIGHT[INDEX].map(|weight| weight * per_length);
    let right = combined::<INDEX>(&k.derivative(argument), stages, &weights);
    stages[INDEX] = factor.solve(&right);
}

/// `base` and the first `COUNT` stages by their weights.
#[inline]
fn combined<const COUNT: usize>(base: &Vector, stages: &[Vector; STAGES], weights: &[f64]) -> Vector {
    let mut sum = *base;
    for i in 0..N {
        for j in 0..COUNT {
            sum[i] += weights[j] * stages[j][i];
        }
    }
    sum
}

/// Root mean square of `values`, each over its tolerance.
fn norm(values: &Vector, start: &Vector, end: &Vector, tolerance: &Tolerance) -> f64 {
    let mut sum = 0.0;
    for i in 0..N {
        let scaled = values[i] / (tolerance.absolute + tolerance.relative * start[i].abs().max(end[i].abs()));
        sum += scaled * scaled;
    }
    (sum / N as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chassis::{self, ChassisName};
    use crate::model::core::A;

    /// A shift of the reference chassis after some minutes, and its constants.
    fn shift() -> (Constants, Vector) {
        let baseline = chassis::baseline(ChassisName::Weisse2015, &Default::default()).unwrap();
        let mut k = baseline.constants(0.7, f64::INFINITY);
        k.inhibition = 0.02;
        let (mut y, mut minutes, mut length_min) = (baseline.state, 0.0, 1e-7);
        while minutes < 5.0 {
            let step = Step::attempt(&k, &y, length_min, &Tolerance::default());
            length_min = step.next_length_min();
            if step.is_accepted() {
                (y, minutes) = (step.end, minutes + step.length_min);
            }
        }
        (k, y)
    }

    /// `count` equal steps over `minutes`.
    fn run(k: &Constants, start: Vector, minutes: f64, count: u32) -> Vector {
        let length_min = minutes / f64::from(count);
        (0..count).fold(start, |y, _| Step::attempt(k, &y, length_min, &Tolerance::default()).end)
    }

    #[test]
    fn halving_the_step_divides_the_error_as_a_method_of_order_five_does() {
        // Energy off its balance, resolved: steps short against its relaxation of some 1e-5 min.
        let (k, mut start) = shift();
        start[A] *= 1.5;
        let minutes = 3e-5;
        let exact = run(&k, start, minutes, 400);
        let error = |count| (run(&k, start, minutes, count)[A] / exact[A] - 1.0).abs();
        let ratio = error(8) / error(16);
        assert!(ratio > 24.0, "{ratio}");
    }

    #[test]
    fn the_dense_output_is_as_accurate_as_order_four_asks() {
        let (k, mut start) = shift();
        start[A] *= 1.5;
        let error = |length_min: f64| {
            let step = Step::attempt(&k, &start, length_min, &Tolerance::default());
            let exact = run(&k, start, 0.4 * length_min, 400);
            (step.at(0.4 * length_min)[A] / exact[A] - 1.0).abs()
        };
        let ratio = error(4e-6) / error(2e-6);
        assert!(ratio > 16.0, "{ratio}");
    }
}
