//! The reference chassis: Weiße et al., PNAS 2015;112:E1038, by the published parameters. Its steady state is found
//! from the published initial state, once a process; it is the same everywhere to the last bit.

use std::sync::OnceLock;

use super::{Baseline, CHLORAMPHENICOL_BINDING, reference};
use crate::model::core::{A, N, R};
use crate::parameters::{Symbol, Values};
use crate::solver::steady;

/// Most ribosome units: the full complement.
pub(crate) const MOST_RIBOSOME_UNITS: u32 = 15;

const PARAMETERS: [(Symbol, f64); 25] = [
    (Symbol::S0, 1e4),
    (Symbol::Ns, 0.5),
    (Symbol::Vt, 726.0),
    (Symbol::Kt, 1000.0),
    (Symbol::Vm, 5800.0),
    (Symbol::Km, 1000.0),
    (Symbol::Wr, 929.9678874564831),
    (Symbol::Wt, 4.139172187824451),
    (Symbol::Wm, 4.139172187824451),
    (Symbol::Wq, 948.9349882947897),
    (Symbol::Thr, 426.8693338968694),
    (Symbol::Thx, 4.379733394834643),
    (Symbol::Kq, 152_219.040_373_749),
    (Symbol::Nq, 4.0),
    (Symbol::Gmax, 1260.0),
    (Symbol::Kp, 180.1378030928276),
    (Symbol::Kg, 1260.0 / 180.1378030928276),
    (Symbol::Nr, 7549.0),
    (Symbol::Nx, 300.0),
    (Symbol::M, 1e8),
    (Symbol::Kb, 1.0),
    (Symbol::Ku, 1.0),
    (Symbol::Dm, 0.1),
    (Symbol::KCm, CHLORAMPHENICOL_BINDING),
    (Symbol::Ks, 10.0),
];

/// The published initial state: it lags for hours, so a cell starts at the steady state that it leads to.
const INITIAL_FREE_RIBOSOMES: f64 = 10.0;
const INITIAL_ENERGY: f64 = 1000.0;

/// The published parameters, unchanged, and their steady state.
pub(crate) fn baseline() -> &'static Baseline {
    static BASELINE: OnceLock<Baseline> = OnceLock::new();
    BASELINE.get_or_init(|| {
        let mut values = Values::zero();
        for (symbol, value) in PARAMETERS {
            values.set(symbol, value);
        }
        let k = values.constants(1.0, f64::INFINITY);
        let mut initial = [0.0; N];
        initial[R] = INITIAL_FREE_RIBOSOMES;
        initial[A] = INITIAL_ENERGY;
        #[expect(clippy::expect_used, reason = "constants only: a test computes it")]
        let state = steady::find(&k, &initial).expect("the published parameters have a steady state");
        Baseline { values, state, reference: reference(&k, &state) }
    })
}
