//! The counts of a single cell: by gene where its pack has figures of single genes, else by class. It only passes on.

use super::core_layer::CoreLayer;
use super::gene_layer::GeneLayer;
use crate::model::core::Constants;
use crate::rng::Rng;

#[derive(Clone, Debug)]
pub(super) enum Layer {
    Genes(Box<GeneLayer>),
    Core(CoreLayer),
}

impl Layer {
    pub(super) fn mass(&self, k: &Constants) -> f64 {
        match self {
            Self::Genes(layer) => layer.mass(k),
            Self::Core(layer) => layer.mass(k),
        }
    }

    pub(super) fn rest(&mut self) {
        if let Self::Genes(layer) = self {
            layer.rest();
        }
    }

    pub(super) fn reference_growth(&self) -> f64 {
        match self {
            Self::Genes(layer) => layer.genes.reference.growth,
            Self::Core(_) => 0.0,
        }
    }

    /// Leaves each molecule to the followed daughter or to the other.
    pub(super) fn divide(&mut self, k: &Constants, rng: &mut Rng) {
        match self {
            Self::Genes(layer) => layer.divide(k, rng),
            Self::Core(layer) => layer.divide(rng),
        }
    }
}
