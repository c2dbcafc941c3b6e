//! The kinds of cell that BioXen knows, each by its own pack, and the state in which a cell of it starts.

mod codec;
pub(crate) mod imported;
pub(crate) mod pack;
pub(crate) mod weisse2015;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::calibrate::{Figures, Infeasible, calibrate};
use crate::model::core::{A, BOUND, Constants, IDLE, R, Vector, translating};
use crate::organism::environment::Environment;
use crate::parameters::{Settings, Symbol, Values};
use crate::spec::SpecError;
use imported::Imported;
use pack::Pack;
use pack::sheet::Calibration;

/// Chloramphenicol binding, 1/(min uM): the same in every chassis.
pub(crate) const CHLORAMPHENICOL_BINDING: f64 = 0.005990373118888;

/// A chassis by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChassisName {
    /// JCVI-syn3A, the minimal bacterial cell.
    Syn3a,
    /// Escherichia coli K-12 MG1655.
    Ecoli,
    /// A cell like JCVI-syn3.0.
    MinimalCell,
    /// The reference chassis: the published model by its own parameters.
    Weisse2015,
    /// Of a pack that was made known to this process by [`ChassisName::import`].
    Imported(Imported),
}

impl ChassisName {
    /// Those that come with the program.
    pub const ALL: [Self; 4] = [Self::Syn3a, Self::Ecoli, Self::MinimalCell, Self::Weisse2015];

    /// As people write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Syn3a => "syn3a",
            Self::Ecoli => "ecoli",
            Self::MinimalCell => "minimal_cell",
            Self::Weisse2015 => "weisse2015",
            Self::Imported(imported) => imported.name(),
        }
    }

    /// The most ribosome units that it takes; they mean its full complement and no cap.
    #[must_use]
    pub fn most_ribosome_units(self) -> u32 {
        self.pack().sheet.allocation.most_ribosome_units.value
    }

    /// What is known of it: figures with their sources, genes, operons, plasmids.
    #[must_use]
    pub fn pack(self) -> &'static Pack {
        pack::shipped::pack(self)
    }

    /// The length of a protein of the heterologous class, in amino acids.
    #[must_use]
    pub fn heterologous_length_aa(self) -> f64 {
        match self.figures() {
            Some(figures) => figures.protein_length_aa,
            None => 1.0 / weisse2015::baseline().constants(1.0, f64::INFINITY).per_protein,
        }
    }

    /// What it is calibrated to; the reference chassis is not.
    fn figures(self) -> Option<Figures> {
        self.pack().sheet.calibration.as_ref().map(Calibration::values)
    }
}

impl fmt::Display for ChassisName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ChassisName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ChassisName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl FromStr for ChassisName {
    type Err = SpecError;

    fn from_str(name: &str) -> Result<Self, SpecError> {
        Self::ALL
            .into_iter()
            .find(|chassis| chassis.as_str() == name)
            .or_else(|| Self::imported(name))
            .ok_or_else(|| SpecError::UnknownChassis { name: name.chars().take(40).collect() })
    }
}

/// Figures of a chassis' unlimited steady state, to relate a state to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reference {
    pub(crate) growth_rate_per_min: f64,
    pub(crate) atp: f64,
    /// The full complement, molecules.
    pub(crate) ribosomes_total: f64,
    pub(crate) import_per_min: f64,
    pub(crate) metabolism_per_min: f64,
    pub(crate) transcription_per_min: f64,
    pub(crate) translation_aa_per_min: f64,
    /// What it offers to genes.
    pub(crate) environment: Environment,
}

/// A chassis under some settings: what its constants are, and its unlimited steady state (td, R, act and phiE as
/// set, everything else its own).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Baseline {
    values: Values,
    pub(crate) state: Vector,
    pub(crate) reference: Reference,
}

impl Baseline {
    /// The constants under an energy supply of `atp` (1 = all of it) and a cap in molecules.
    pub(crate) fn constants(&self, atp: f64, cap: f64) -> Constants {
        self.values.constants(atp, cap)
    }
}

/// The chassis `name` under `settings`.
pub(crate) fn baseline(name: ChassisName, settings: &Settings) -> Result<Baseline, SpecError> {
    let Some(figures) = name.figures() else {
        if let Some((symbol, _)) = settings.iter().find(|(symbol, _)| symbol.calibrates()) {
            return Err(SpecError::NotCalibrated { symbol: symbol.name(), chassis: name });
        }
        let mut baseline = *weisse2015::baseline();
        baseline.values = baseline.values.with(settings, true);
        return Ok(baseline);
    };
    calibrated(&figures, settings)
}

/// A chassis calibrated to `figures`, where `settings` do not say otherwise.
pub(crate) fn calibrated(figures: &Figures, settings: &Settings) -> Result<Baseline, SpecError> {
    let mut figures = *figures;
    for (symbol, figure) in [
        (Symbol::Td, &mut figures.doubling_time_min),
        (Symbol::R, &mut figures.ribosomes),
        (Symbol::Act, &mut figures.active),
        (Symbol::PhiE, &mut figures.enzyme_fraction),
    ] {
        if let Some(value) = settings.get(symbol) {
            *figure = value;
        }
    }
    let (values, state) = calibrate(&figures).map_err(|reason| infeasible(&figures, reason))?;
    let reference = reference(&values.constants(1.0, f64::INFINITY), &state);
    Ok(Baseline { values: values.with(settings, false), state, reference })
}

fn infeasible(figures: &Figures, reason: Infeasible) -> SpecError {
    match reason {
        Infeasible::TooFast { shortest_doubling_time_min } => SpecError::OutOfRange {
            symbol: "td",
            value: figures.doubling_time_min,
            expected: format!(
                "a doubling time above {shortest_doubling_time_min:.4} min, which {} ribosomes, {} of them active, \
                 can sustain at {} aa/min",
                figures.ribosomes, figures.active, figures.elongation_max
            ),
        },
        Infeasible::TooMuchProtein { fraction } => SpecError::OutOfRange {
            symbol: "phiE",
            value: figures.enzyme_fraction,
            expected: format!(
                "ribosomes (nr*R/M) and enzymes (phiE) that leave room for other protein; they fill {fraction:.4} \
                 of the mass"
            ),
        },
    }
}

/// The figures of an unlimited steady state.
fn reference(k: &Constants, y: &Vector) -> Reference {
    let rates = k.rates(y);
    Reference {
        growth_rate_per_min: rates.growth,
        atp: y[A],
        ribosomes_total: y[R] + translating(y) + y[BOUND] + y[IDLE],
        import_per_min: rates.import,
        metabolism_per_min: rates.metabolism,
        transcription_per_min: k.transcription(&rates).iter().sum(),
        translation_aa_per_min: rates.elongation * rates.translating,
        environment: Environment::of(k, y),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::core::{C, E, M, N, S};

    /// The largest flux through each variable, to relate a residual to.
    fn throughput(k: &Constants, y: &Vector) -> Vector {
        let rates = k.rates(y);
        let mut size = y.map(|value| value * rates.growth);
        let freed: f64 =
            (0..5).map(|class| (k.unbinding + k.completion(rates.elongation)[class]) * y[C + class]).sum();
        for class in 0..5 {
            let bound = k.binding * y[R] * y[M + class];
            size[M + class] += bound;
            size[C + class] += bound;
        }
        size[R] += freed;
        size[S] += rates.import;
        size[A] += rates.metabolism * k.energy_yield;
        size[E] += 0.0;
        size
    }

    #[test]
    fn a_calibrated_chassis_stands_at_its_steady_state_to_rounding() {
        for name in ChassisName::ALL {
            let baseline = baseline(name, &Settings::default()).unwrap();
            let k = baseline.constants(1.0, f64::INFINITY);
            let residual = k.derivative(&baseline.state);
            let size = throughput(&k, &baseline.state);
            for i in 0..N {
                assert!(
                    residual[i].abs() <= 1e-12 * size[i],
                    "{name} variable {i}: {}",
                    residual[i] / size[i]
                );
            }
        }
    }

    #[test]
    fn an_impossible_calibration_names_the_symbol_and_what_is_possible() {
        let settings =
            |name: &str, value| Settings::default().with(&[(name.to_owned(), value)].into()).unwrap();
        let error = baseline(ChassisName::Syn3a, &settings("td", 20.0)).unwrap_err().to_string();
        assert!(error.contains("td") && error.contains("20") && error.contains("above 70.9"), "{error}");
        let error = baseline(ChassisName::Ecoli, &settings("phiE", 0.9)).unwrap_err().to_string();
        assert!(error.contains("phiE") && error.contains("0.9"), "{error}");
        let error = baseline(ChassisName::Weisse2015, &settings("td", 30.0)).unwrap_err().to_string();
        assert!(error.contains("weisse2015") && error.contains("not calibrated"), "{error}");
    }
}
