//! Steady states: the model is integrated until it hardly changes within a doubling, then Newton's method takes
//! the integrated state the rest of the way. Never a table, never a closed form.

use super::rosenbrock::{Step, Tolerance, first_length_min};
use crate::model::core::{Constants, N, Vector};
use crate::model::factor::Factor;

/// Coarse: only the end matters, and Newton's method refines it.
const TOLERANCE: Tolerance = Tolerance { relative: 1e-6, absolute: 1e-6 };
/// Steps tried before giving up; the slowest of the published figures needs a few hundred.
const MAX_STEPS: u32 = 20_000;
/// Newton starts where no variable changes by more than this, relative, within 1 / growth rate.
const NEAR: f64 = 1e-3;
/// Below this growth rate, a doubling in 1,300 years, the cell does not grow.
const LEAST_GROWTH_PER_MIN: f64 = 1e-9;
/// A cell that has not settled after this many minutes, about 20,000 years, does not grow.
const LAST_MIN: f64 = 1e10;

/// The steady state that the cell reaches from `start`; `None` if it stops growing or never settles.
pub(crate) fn find(k: &Constants, start: &Vector) -> Option<Vector> {
    let mut y = *start;
    let mut length_min = first_length_min(k, &y, &TOLERANCE);
    let mut elapsed_min = 0.0;
    for _ in 0..MAX_STEPS {
        if change_per_generation(k, &y) < NEAR
            && let Some(steady) = newton(k, &y)
        {
            return Some(steady);
        }
        let step = Step::attempt(k, &y, length_min, &TOLERANCE);
        length_min = step.next_length_min();
        if step.is_accepted() {
            y = step.end;
            elapsed_min += step.length_min;
        }
        if length_min < 1e-12 || elapsed_min > LAST_MIN {
            return None;
        }
    }
    None
}

/// The greatest relative change of any variable within 1 / growth rate.
fn change_per_generation(k: &Constants, y: &Vector) -> f64 {
    let growth = k.rates(y).growth;
    let dy = k.derivative(y);
    (0..N).map(|i| dy[i].abs() / (growth * (y[i].abs() + 1e-3))).fold(0.0, f64::max)
}

/// Newton's method from a state near the steady one; `None` if it wanders off.
fn newton(k: &Constants, start: &Vector) -> Option<Vector> {
    const MAX_ITERATIONS: u32 = 30;
    const CONVERGED: f64 = 1e-13;
    const ROUNDED: f64 = 1e-10;
    const FAR: f64 = 0.3;
    let mut y = *start;
    let mut last = f64::INFINITY;
    for _ in 0..MAX_ITERATIONS {
        let delta = Factor::new(k, &y, 0.0).solve(&k.derivative(&y));
        let mut change: f64 = 0.0;
        for i in 0..N {
            y[i] += delta[i];
            change = change.max(delta[i].abs() / (y[i].abs() + 1e-6));
        }
        if !change.is_finite() {
            return None;
        }
        // Rounding ends the convergence: the corrections stop shrinking.
        if change < CONVERGED || (change < ROUNDED && change > 0.5 * last) {
            let near = (0..N).all(|i| (y[i] - start[i]).abs() <= FAR * (start[i].abs() + 1.0));
            return (near && k.rates(&y).growth > LEAST_GROWTH_PER_MIN).then_some(y);
        }
        last = change;
    }
    None
}
