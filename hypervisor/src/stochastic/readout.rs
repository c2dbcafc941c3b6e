//! A stochastic cell's figures for people. It changes nothing.

use super::actions::genes_of;
use super::{Layer, StochasticCell, TICK_MIN};
use crate::chassis::pack::genes::Gene;
use crate::chassis::pack::operons::Cistron;
use crate::grid::minutes_of;
use crate::metrics::Metrics;
use crate::model::core::{NAMES, Vector};
use crate::organism::action::{Names, OrganismError};
use crate::organism::readout::{
    self, CistronReadout, GeneReadout, OperonReadout, OrganismReadout, PackageReadout, PlasmidReadout, places,
};

/// One gene at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GeneCounts<'a> {
    /// Locus tag; `rest_r` and the like for a lump of genes that no table lists, `burden` for heterologous load.
    pub locus: &'a str,
    /// Symbol; may be empty.
    pub symbol: &'a str,
    /// Copies of its mRNA.
    pub mrna: u64,
    /// Copies of its protein.
    pub proteins: u64,
    /// mRNA made, 1/min.
    pub transcription_per_min: f64,
    /// mRNA decay, 1/min a transcript.
    pub decay_per_min: f64,
    /// Proteins completed, 1/min a transcript.
    pub translation_per_min: f64,
}

impl StochasticCell {
    /// Figures at the committed tick. Amounts are those in the cell, which doubles from one division to the next;
    /// rates and fractions do not depend on its size.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let (y, volume) = self.state();
        let carried = self.carried.as_ref().map(|carried| carried.organism());
        let mut metrics = Metrics::of(&self.regime, &y, minutes_of(self.tick), carried.as_ref());
        if let Layer::Genes(layer) = &self.layer {
            metrics.mrna_total = layer.counts.mrna.iter().sum::<u64>() as f64 / volume;
        }
        for amount in [
            &mut metrics.atp,
            &mut metrics.ribosomes_total,
            &mut metrics.ribosomes_active,
            &mut metrics.protein_total,
            &mut metrics.mrna_total,
        ] {
            *amount *= volume;
        }
        metrics
    }

    /// The state at the committed tick, variable by variable, in molecules in the cell.
    pub fn variables(&self) -> impl Iterator<Item = (&'static str, f64)> + '_ {
        let (y, volume) = self.state();
        NAMES.into_iter().zip(y.map(|amount| unrounded(amount * volume)))
    }

    /// The core's state per volume.
    pub(crate) fn core(&self) -> Vector {
        self.state().0
    }

    /// Mass of the cell over that of the mean cell.
    #[must_use]
    pub fn volume(&self) -> f64 {
        self.state().1
    }

    /// The core's state per volume, and the volume.
    pub(super) fn state(&self) -> (Vector, f64) {
        let k = &self.regime.constants;
        match &self.layer {
            Layer::Core(layer) => layer.state(k, &self.environment),
            Layer::Genes(layer) => {
                let totals = layer.totals(k, &self.environment, self.held_volume);
                (totals.state, totals.volume)
            }
        }
    }

    /// Everything that the cell carries beside its core, amounts being those in it; all listed genes.
    pub(crate) fn organism(&self) -> OrganismReadout {
        OrganismReadout {
            operons: self.operons(&[]).unwrap_or_default(),
            genes: self.listed_genes(&[]).unwrap_or_default(),
            plasmids: self.plasmids().unwrap_or_default(),
            packages: self.packages(),
            plasmid_load_wp: self.regime.load,
        }
    }

    /// The operons named, or all of them where none is.
    pub(crate) fn operons(&self, named: &[String]) -> Result<Vec<OperonReadout>, OrganismError> {
        let names = Names::of(self.regime.chassis);
        let places = places(named, names.operons()?.len(), |name| names.operon(name))?;
        let (offer, genes) = (self.offer(), self.genes());
        let organism = self.carried.as_ref().map(|carried| carried.organism()).unwrap_or_default();
        let readout = |at: usize| {
            let mut readout =
                readout::operon(&self.regime, at, organism.operons.get(&at), &offer.environment)?;
            readout.transcription_per_min *= offer.volume;
            if let Layer::Genes(layer) = &self.layer {
                let simulated = genes_of(self.regime.chassis, &layer.genes, at);
                let simulated: Vec<_> = simulated.map(|(cistron, gene)| (cistron, &genes[gene])).collect();
                if !simulated.is_empty() {
                    sum_of_genes(&mut readout, &simulated);
                }
            }
            Some(readout)
        };
        Ok(places.into_iter().filter_map(readout).collect())
    }

    /// All plasmids of the pack, also those that the cell does not carry.
    pub(crate) fn plasmids(&self) -> Result<Vec<PlasmidReadout>, OrganismError> {
        let count = Names::of(self.regime.chassis).plasmids()?.len();
        let copies = |at| self.carried.as_ref().and_then(|carried| carried.plasmids.get(&at));
        let growth = self.environment.growth;
        let readout =
            |at| readout::plasmid(&self.regime, at, copies(at).map_or(0.0, |copies| *copies as f64), growth);
        Ok((0..count).filter_map(readout).collect())
    }

    /// What was installed.
    pub(crate) fn packages(&self) -> Vec<PackageReadout> {
        let installed = self.carried.iter().flat_map(|carried| &carried.packages);
        let (growth, volume) = (self.environment.growth, self.volume());
        installed.map(|(name, package)| package.readout(name, growth, volume)).collect()
    }

    /// The genes of the chassis' pack by name, or all of them, as this cell has them; null where it does not simulate
    /// one by itself.
    pub(crate) fn listed_genes(&self, named: &[String]) -> Result<Vec<GeneReadout>, OrganismError> {
        let names = Names::of(self.regime.chassis);
        let table = names.genes()?;
        let places = places(named, table.genes.len(), |name| names.gene(name))?;
        let simulated = self.genes();
        let readout = |gene: &'static Gene| {
            let counts = simulated.iter().find(|counts| counts.locus == gene.locus);
            GeneReadout {
                locus: &gene.locus,
                symbol: &gene.symbol,
                class: gene.class,
                transcription_per_min: counts.map(|counts| counts.transcription_per_min),
                mrna: counts.map(|counts| counts.mrna as f64),
                proteins: counts.and(gene.proteins_per_cell).and(counts.map(|counts| counts.proteins as f64)),
            }
        };
        Ok(places.into_iter().filter_map(|at| table.genes.get(at)).map(readout).collect())
    }

    /// Every gene that is simulated, in the table's order; none where there is no table.
    #[must_use]
    pub fn genes(&self) -> Vec<GeneCounts<'_>> {
        let Layer::Genes(layer) = &self.layer else { return Vec::new() };
        let rates = match self.held_volume {
            Some(volume) => layer.reference_rates(volume),
            None => layer.next_rates(&self.regime.constants, &mut self.environment.clone(), TICK_MIN),
        };
        (0..layer.genes.count()).map(|gene| layer.readout(gene, &rates)).collect()
    }
}

/// An operon whose genes are simulated by themselves, each with transcripts of its own.
fn sum_of_genes(readout: &mut OperonReadout, genes: &[(&'static Cistron, &GeneCounts<'_>)]) {
    readout.transcription_per_min = genes.iter().map(|(_, gene)| gene.transcription_per_min).sum();
    readout.mrna = genes.iter().map(|(_, gene)| gene.mrna as f64).sum();
    let proteins = genes
        .iter()
        .map(|(cistron, gene)| CistronReadout { gene: &cistron.symbol, proteins: gene.proteins as f64 });
    readout.genes = proteins.collect();
}

/// A whole number that went through a division by the volume and back, whole again.
fn unrounded(amount: f64) -> f64 {
    let whole = amount.round();
    if (amount - whole).abs() <= 1e-12 * whole { whole } else { amount }
}
