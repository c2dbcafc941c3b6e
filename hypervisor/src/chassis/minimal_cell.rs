//! A cell like JCVI-syn3.0: syn3A's composition at its own doubling time. Its genes are a subset of syn3A's by class
//! (essential and quasi-essential), fewer than the genome has.

use super::syn3a;
use crate::model::calibrate::Figures;

/// Most ribosome units: the full complement.
pub(crate) const MOST_RIBOSOME_UNITS: u32 = 12;
/// Genome, base pairs; known to the thousand.
pub(crate) const GENOME_SIZE_BP: u64 = 531_000;
/// Genes.
pub(crate) const GENES: u32 = 473;
/// Genes that the subset of syn3A's covers.
pub(crate) const MODELLED_GENES: u32 = syn3a::ESSENTIAL_OR_QUASI_ESSENTIAL_GENES;

pub(crate) const FIGURES: Figures = Figures { doubling_time_min: 180.0, ..syn3a::FIGURES };
