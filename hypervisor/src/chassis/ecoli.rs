//! Escherichia coli K-12 MG1655 at a doubling time of 30 min: figures only. Composition: Bremer and Dennis.

use crate::model::calibrate::Figures;

/// Most ribosome units: the full complement.
pub(crate) const MOST_RIBOSOME_UNITS: u32 = 30;
/// Genome, base pairs (U00096.3).
pub(crate) const GENOME_SIZE_BP: u64 = 4_641_652;

pub(crate) const FIGURES: Figures = Figures {
    doubling_time_min: 30.0,
    mass_aa: 2.15e9,
    ribosome_length_aa: 7549.0,
    protein_length_aa: 300.0,
    ribosomes: 44_000.0,
    elongation_max: 1800.0,
    active: 0.85,
    enzyme_fraction: 0.346,
    energy: 1.0e7,
    decay: 0.315,
};
