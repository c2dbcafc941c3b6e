//! The figures of a cell's present state that the analyses are made of: the one place of process code that looks into
//! the engine. It computes no analysis.

use crate::Cell;
use crate::chassis::{ChassisName, Reference};
use crate::model::core::{A, S};
use crate::parameters::Symbol;
use crate::spec::Allocation;

/// Rates are molecules or amino acids a minute.
pub(crate) struct Readout {
    pub(crate) chassis: ChassisName,
    pub(crate) allocation: Allocation,
    pub(crate) reference: Reference,
    pub(crate) growth_rate_per_min: f64,
    pub(crate) import_per_min: f64,
    pub(crate) metabolism_per_min: f64,
    pub(crate) transcription_per_min: f64,
    pub(crate) translation_aa_per_min: f64,
    /// Energy made, the allocation of ATP included.
    pub(crate) energy_supply_per_min: f64,
    /// Energy molecules.
    pub(crate) energy: f64,
    /// Their changes by the equations.
    pub(crate) nutrient_change_per_min: f64,
    pub(crate) energy_change_per_min: f64,
    /// Amino acids of the whole cell.
    pub(crate) mass_aa: f64,
    /// Shares of the highest rates that internal nutrient and energy allow.
    pub(crate) metabolism_saturation: f64,
    pub(crate) elongation_saturation: f64,
    pub(crate) chloramphenicol_um: f64,
}

impl Readout {
    pub(crate) fn of(cell: &Cell) -> Self {
        let (regime, y) = (cell.regime(), &cell.core());
        let k = &regime.constants;
        let rates = k.rates(y);
        let change = k.derivative(y);
        Self {
            chassis: regime.chassis,
            allocation: regime.allocation,
            reference: regime.reference,
            growth_rate_per_min: rates.growth,
            import_per_min: rates.import,
            metabolism_per_min: rates.metabolism,
            transcription_per_min: k.transcription(&rates).iter().sum(),
            translation_aa_per_min: rates.elongation * rates.translating,
            energy_supply_per_min: k.energy_yield * rates.metabolism,
            energy: y[A],
            nutrient_change_per_min: change[S],
            energy_change_per_min: change[A],
            mass_aa: k.mass,
            metabolism_saturation: y[S] / (k.metabolism_half + y[S]),
            elongation_saturation: y[A] / (k.elongation_half + y[A]),
            chloramphenicol_um: regime.settings.get(Symbol::Cl).unwrap_or(0.0),
        }
    }
}

/// Base pairs of the chassis' genome, as its pack has it; the reference chassis has none.
pub(crate) fn genome_size_bp(chassis: ChassisName) -> Option<u64> {
    chassis.pack().sheet.genome.as_ref().map(|genome| genome.size_bp.value)
}
