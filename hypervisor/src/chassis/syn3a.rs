//! JCVI-syn3A: figures only. Breuer et al., eLife 2019;8:e36842; Thornburg et al., Cell 2022;185:345.

use crate::model::calibrate::Figures;

/// Most ribosome units: the full complement.
pub(crate) const MOST_RIBOSOME_UNITS: u32 = 15;
/// Genome, base pairs.
pub(crate) const GENOME_SIZE_BP: u64 = 543_379;
/// Genes of every kind.
pub(crate) const GENES: u32 = 496;
/// Genes classified as essential.
pub(crate) const ESSENTIAL_GENES: u32 = 270;
/// Genes classified as essential or quasi-essential.
pub(crate) const ESSENTIAL_OR_QUASI_ESSENTIAL_GENES: u32 = 383;

pub(crate) const FIGURES: Figures = Figures {
    doubling_time_min: 105.0,
    mass_aa: 29.64e6,
    ribosome_length_aa: 6775.0,
    protein_length_aa: 382.5,
    ribosomes: 503.0,
    elongation_max: 720.0,
    active: 0.8,
    enzyme_fraction: 0.434,
    energy: 73_700.0,
    decay: 0.2006,
};
