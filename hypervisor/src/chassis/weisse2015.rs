//! The reference chassis: Weiße et al., PNAS 2015;112:E1038, by the published parameters. Its steady state is found
//! from the published initial state, once a process; it is the same everywhere to the last bit.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::pack::sheet::Figure;
use super::{Baseline, ChassisName, reference};
use crate::model::core::{A, N, R};
use crate::parameters::{Settings, Symbol, Values};
use crate::solver::steady;
use crate::spec::SpecError;

/// What the equations need; Kg follows from gmax and Kp.
const NEEDED: [Symbol; 24] = [
    Symbol::S0,
    Symbol::Ns,
    Symbol::Vt,
    Symbol::Kt,
    Symbol::Vm,
    Symbol::Km,
    Symbol::Wr,
    Symbol::Wt,
    Symbol::Wm,
    Symbol::Wq,
    Symbol::Thr,
    Symbol::Thx,
    Symbol::Kq,
    Symbol::Nq,
    Symbol::Gmax,
    Symbol::Kp,
    Symbol::Nr,
    Symbol::Nx,
    Symbol::M,
    Symbol::Kb,
    Symbol::Ku,
    Symbol::Dm,
    Symbol::KCm,
    Symbol::Ks,
];

/// The published initial state: it lags for hours, so a cell starts at the steady state that it leads to.
const INITIAL_FREE_RIBOSOMES: f64 = 10.0;
const INITIAL_ENERGY: f64 = 1000.0;

/// A value for every symbol, from those of a pack.
pub(crate) fn values(parameters: &BTreeMap<String, Figure<f64>>) -> Result<Values, SpecError> {
    let figures = parameters.iter().map(|(name, figure)| (name.clone(), figure.value)).collect();
    let settings = Settings::default().with(&figures)?;
    if let Some(missing) = NEEDED.into_iter().find(|symbol| settings.get(*symbol).is_none()) {
        return Err(SpecError::MissingParameter { symbol: missing.name() });
    }
    Ok(Values::zero().with(&settings, true))
}

/// The published parameters, unchanged, and their steady state.
pub(crate) fn baseline() -> &'static Baseline {
    static BASELINE: OnceLock<Baseline> = OnceLock::new();
    BASELINE.get_or_init(|| {
        #[expect(clippy::expect_used, reason = "constants only: a test computes it")]
        let values =
            values(&ChassisName::Weisse2015.pack().sheet.parameters).expect("a pack of the program's");
        let k = values.constants(1.0, f64::INFINITY);
        let mut initial = [0.0; N];
        initial[R] = INITIAL_FREE_RIBOSOMES;
        initial[A] = INITIAL_ENERGY;
        #[expect(clippy::expect_used, reason = "constants only: a test computes it")]
        let state = steady::find(&k, &initial).expect("the published parameters have a steady state");
        Baseline { values, state, reference: reference(&k, &state) }
    })
}
