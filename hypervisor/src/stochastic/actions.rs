//! What is done to a single cell's genes, operons and plasmids, and what of it the cell carries. One meaning with the
//! mean cell: an operon's regulation scales its transcription by the measured fold change, a started transcription
//! is one more message, a plasmid starts as one copy, a package costs what it states. It simulates nothing.

use super::carried::{self, Carried, Offer};
use super::genes::Genes;
use super::{Layer, StochasticCell};
use crate::chassis::ChassisName;
use crate::chassis::pack::genes::Gene;
use crate::chassis::pack::operons::Cistron;
use crate::organism::action::{Names, OrganismAction, OrganismError};
use crate::organism::environment::Environment;
use crate::organism::expression::Expression;
use crate::organism::package::install;
use crate::organism::state::Regulation;
use crate::rng::Rng;
use crate::spec::{Change, Regime, SpecError};

/// Refuses what a single cell has no count of, although the mean cell follows it.
pub(crate) fn served(chassis: ChassisName, change: &Change) -> Result<(), SpecError> {
    let names = Names::of(chassis);
    for action in &change.organism {
        let OrganismAction::Transcription { genes } = action else { continue };
        for name in genes {
            let at = names.measured_gene(name)?;
            if !names.genes()?.genes.get(at).is_some_and(Gene::is_simulated) {
                return Err(OrganismError::NotSimulated { name: name.clone() }.into());
            }
        }
    }
    Ok(())
}

/// What a cell of this pack carries; none where the pack lists no operons, until a plasmid is put in.
pub(super) fn at_reference(
    regime: &Regime,
    genes: Option<&Genes>,
    volume: f64,
    key: (u64, u32),
) -> Option<Box<Carried>> {
    if regime.chassis.pack().operon_table.is_empty() {
        return None;
    }
    let by_gene = |at: usize| is_by_gene(regime.chassis, genes, at);
    Some(Box::new(Carried::at_reference(regime, volume, by_gene, Rng::new(key.0, key.1, carried::STREAM))))
}

/// Whether the operon at this place has its genes simulated by themselves: any of them.
pub(super) fn is_by_gene(chassis: ChassisName, genes: Option<&Genes>, at: usize) -> bool {
    genes.is_some_and(|genes| genes_of(chassis, genes, at).next().is_some())
}

/// Those of an operon's genes that are simulated by themselves, and the place of each.
pub(super) fn genes_of(
    chassis: ChassisName,
    genes: &Genes,
    operon: usize,
) -> impl Iterator<Item = (&'static Cistron, usize)> {
    let cistrons = chassis.pack().operon_table.get(operon).map_or(&[][..], |operon| &operon.genes);
    cistrons.iter().filter_map(|cistron| {
        let called = |(locus, symbols): &(String, String)| {
            *locus == cistron.symbol || symbols.split(';').any(|symbol| symbol.trim() == cistron.symbol)
        };
        Some((cistron, genes.names.iter().position(called)?))
    })
}

impl StochasticCell {
    /// Carries `actions` out; they were checked.
    pub(super) fn act(&mut self, actions: &[OrganismAction]) -> Result<(), OrganismError> {
        let names = Names::of(self.regime.chassis);
        for action in actions {
            match action {
                OrganismAction::Operons { operons, action } => {
                    for name in operons {
                        let counts = self.carried().operons.entry(names.operon(name)?).or_default();
                        counts.regulation = counts.regulation.after(*action);
                    }
                    self.regulate();
                }
                OrganismAction::Transcription { genes } => {
                    for name in genes {
                        let at = names.measured_gene(name)?;
                        let gene = names.genes()?.genes.get(at);
                        gene.iter().for_each(|gene| self.start_transcription(&gene.locus));
                    }
                }
                OrganismAction::InsertPlasmid { plasmid } => {
                    let at = names.plasmid(plasmid)?;
                    self.carried().plasmids.entry(at).or_insert(1);
                }
                OrganismAction::RemovePlasmid { plasmid } => {
                    let at = names.plasmid(plasmid)?;
                    self.carried().plasmids.remove(&at);
                }
                OrganismAction::InstallPackage { package } => {
                    install(&mut self.carried().packages, package)?;
                }
            }
        }
        Ok(())
    }

    /// Whether the packages that `actions` put in fit beside those that are there.
    pub(super) fn has_room(&self, actions: &[OrganismAction]) -> Result<(), OrganismError> {
        let mut installed = None;
        for action in actions {
            let OrganismAction::InstallPackage { package } = action else { continue };
            let there = || self.carried.as_ref().map(|carried| carried.packages.clone()).unwrap_or_default();
            install(installed.get_or_insert_with(there), package)?;
        }
        Ok(())
    }

    fn start_transcription(&mut self, locus: &str) {
        let Layer::Genes(layer) = &mut self.layer else { return };
        if let Some(gene) = layer.genes.names.iter().position(|(known, _)| known == locus) {
            layer.counts.mrna[gene] += 1;
        }
    }

    fn carried(&mut self) -> &mut Carried {
        let Self { carried, regime, seed, replicate, .. } = self;
        carried.get_or_insert_with(|| {
            let rng = Rng::new(*seed, *replicate, carried::STREAM);
            Box::new(Carried::at_reference(regime, 0.0, |_| true, rng))
        })
    }

    /// Lets the genes of regulated operons be transcribed by their fold changes.
    pub(super) fn regulate(&mut self) {
        let (Layer::Genes(layer), Some(carried)) = (&mut self.layer, &self.carried) else { return };
        let chassis = self.regime.chassis;
        let regulated = carried.operons.iter().filter(|(_, counts)| counts.regulation != Regulation::Basal);
        let mut folds = Vec::new();
        for (at, counts) in regulated {
            let fold = Expression::of_operon(&self.regime, *at).fold_change(counts.regulation);
            folds.extend(genes_of(chassis, &layer.genes, *at).map(|(_, gene)| (gene, fold)));
        }
        layer.regulate(&folds);
    }

    /// Lets the core carry what plasmids and packages cost by now, each copy at its concentration.
    pub(super) fn carry_plasmids(&mut self) {
        let load = match &self.carried {
            Some(carried) if !(carried.plasmids.is_empty() && carried.packages.is_empty()) => {
                let mass = self.layer.mass(&self.regime.constants);
                let volume = (mass / self.regime.constants.mass).max(f64::MIN_POSITIVE);
                carried.load(&self.regime, volume)
            }
            _ => 0.0,
        };
        if load != self.regime.load {
            let installed = self.regime.installed;
            self.regime.set_loads(load, installed);
        }
    }

    /// What the cell offers to what it carries, as it stands.
    pub(super) fn offer(&self) -> Offer {
        let k = &self.regime.constants;
        match &self.layer {
            Layer::Core(layer) => {
                let (y, volume) = layer.state(k, &self.environment);
                Offer { environment: Environment::of(k, &y), volume }
            }
            Layer::Genes(layer) => {
                let totals = layer.totals(k, &self.environment, self.held_volume);
                let mut environment = Environment::of(k, &totals.state);
                // Transcripts are those measured, not the core's messages.
                let share = layer.translation_share(&totals, self.environment.elongation(k));
                environment.translation = self.regime.reference.environment.translation * share;
                Offer { environment, volume: totals.volume }
            }
        }
    }
}
