//! How a cell's genes, operons and plasmids stand, as figures for people. What was never touched is at balance with
//! the present state. All of it is a prediction of the model; what nobody measured is null.

use serde::Serialize;

use super::action::{GeneAt, Names, OrganismError};
use super::environment::Environment;
use super::expression::Expression;
use super::state::{Followed, Regulation, gene_load};
use crate::chassis::ChassisName;
use crate::chassis::pack::genes::Class;
use crate::ode::OdeCell;
use crate::spec::Regime;

/// Everything that a cell carries beside its core.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OrganismReadout {
    /// All operons of the pack; empty where it has none.
    pub operons: Vec<OperonReadout>,
    /// The genes whose transcription was started; [`crate::Cell::genes`] gives any.
    pub genes: Vec<GeneReadout>,
    /// All plasmids of the pack, also those that the cell does not carry.
    pub plasmids: Vec<PlasmidReadout>,
    /// What was installed.
    pub packages: Vec<PackageReadout>,
    /// What plasmids and packages cost: heterologous transcription that the core carries, 1/min.
    pub plasmid_load_wp: f64,
}

/// An operon.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OperonReadout {
    /// Its name.
    pub operon: &'static str,
    /// What regulates it.
    pub regulation: Regulation,
    /// log2 of how much that changes its transcription; null where nothing was measured of it, and then it changes
    /// nothing.
    pub log2_fold_change: Option<f64>,
    /// Transcriptions, 1/min.
    pub transcription_per_min: f64,
    /// Messages, as the core counts them; in a single cell whose genes are simulated, transcripts of its genes.
    pub mrna: f64,
    /// Its genes in the order of transcription; in a single cell whose genes are simulated, those that are.
    pub genes: Vec<CistronReadout>,
    /// Its regulators, in words.
    pub regulators: &'static str,
}

/// A gene of an operon.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CistronReadout {
    /// Its symbol.
    pub gene: &'static str,
    /// Copies of its protein.
    pub proteins: f64,
}

/// A gene.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GeneReadout {
    /// Its locus.
    pub locus: &'static str,
    /// Its symbol; empty where it has none.
    pub symbol: &'static str,
    /// What happens without it.
    pub class: Option<Class>,
    /// Transcriptions, 1/min; null where its mRNA was not measured.
    pub transcription_per_min: Option<f64>,
    /// Copies of its mRNA; null where not measured.
    pub mrna: Option<f64>,
    /// Copies of its protein; null where not measured.
    pub proteins: Option<f64>,
}

/// A plasmid.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlasmidReadout {
    /// Its name.
    pub plasmid: &'static str,
    /// Copies: of a single cell those in it, else the mean per cell; 0 where the cell does not carry it.
    pub copies: f64,
    /// Copies at which replication keeps up with the present growth.
    pub balanced_copies: f64,
    /// Fewest published copies.
    pub copies_low: f64,
    /// Most published copies.
    pub copies_high: f64,
    /// What a copy costs: heterologous transcription, 1/min.
    pub wp_per_copy: f64,
}

/// An installed package.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PackageReadout {
    /// Its name.
    pub package: String,
    /// What it costs now: heterologous transcription, 1/min.
    pub load_wp: f64,
    /// Its plasmids.
    pub plasmids: Vec<PackagePlasmidReadout>,
}

/// A plasmid of an installed package.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PackagePlasmidReadout {
    /// Its name.
    pub plasmid: String,
    /// Mean copies per cell.
    pub copies: f64,
    /// Copies at which replication keeps up with the present growth.
    pub balanced_copies: f64,
    /// What a copy costs: heterologous transcription, 1/min.
    pub wp_per_copy: f64,
}

/// What is known of a chassis' essential genes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EssentialGenes {
    /// How many are essential.
    pub essential: u32,
    /// How many are quasi-essential.
    pub quasi_essential: u32,
    /// How many are neither.
    pub non_essential: u32,
    /// Those essential ones that the pack lists, by symbol or else locus.
    pub listed: Vec<&'static str>,
    /// Whether the pack lists every gene.
    pub complete: bool,
}

impl ChassisName {
    /// What is known of its essential genes.
    ///
    /// # Errors
    /// A chassis without a table of genes.
    pub fn essential_genes(self) -> Result<EssentialGenes, OrganismError> {
        let table = Names::of(self).genes()?;
        let all = table.all();
        let essential = table.genes.iter().filter(|gene| gene.class == Some(Class::Essential));
        Ok(EssentialGenes {
            essential: all.essential,
            quasi_essential: all.quasi_essential,
            non_essential: all.non_essential,
            listed: essential.filter_map(|gene| gene.names().next()).collect(),
            complete: table.complete,
        })
    }
}

impl OdeCell {
    /// Everything that the cell carries beside its core.
    #[must_use]
    pub fn organism(&self) -> OrganismReadout {
        let pack = self.regime.chassis.pack();
        let environment = self.environment();
        let plasmids = 0..pack.plasmid_table.len();
        let followed = self.organism.iter().flat_map(|organism| organism.genes.keys());
        OrganismReadout {
            operons: (0..pack.operon_table.len()).filter_map(|at| self.operon(at, &environment)).collect(),
            genes: followed.filter_map(|at| self.gene(*at, &environment)).collect(),
            plasmids: plasmids.filter_map(|at| self.plasmid(at, &environment)).collect(),
            packages: self.packages(),
            plasmid_load_wp: self.regime.load,
        }
    }

    /// What was installed, by name.
    #[must_use]
    pub fn packages(&self) -> Vec<PackageReadout> {
        let growth = self.environment().growth;
        let carried = self.organism.iter().flat_map(|organism| &organism.packages);
        carried.map(|(name, carried)| carried.readout(name, growth, 1.0)).collect()
    }

    /// The operons named, or all of them where none is.
    ///
    /// # Errors
    /// A chassis without operons; a name that its pack does not list.
    pub fn operons(&self, named: &[String]) -> Result<Vec<OperonReadout>, OrganismError> {
        let names = Names::of(self.regime.chassis);
        let places = places(named, names.operons()?.len(), |name| names.operon(name))?;
        let environment = self.environment();
        Ok(places.into_iter().filter_map(|at| self.operon(at, &environment)).collect())
    }

    /// The genes named, or all that the pack lists where none is.
    ///
    /// # Errors
    /// A chassis without a table of genes; a name that it does not list.
    pub fn genes(&self, named: &[String]) -> Result<Vec<GeneReadout>, OrganismError> {
        let names = Names::of(self.regime.chassis);
        let places = places(named, names.genes()?.genes.len(), |name| names.gene(name))?;
        let environment = self.environment();
        Ok(places.into_iter().filter_map(|at| self.gene(at, &environment)).collect())
    }

    /// All plasmids of the pack, also those that the cell does not carry.
    ///
    /// # Errors
    /// A chassis without plasmids.
    pub fn plasmids(&self) -> Result<Vec<PlasmidReadout>, OrganismError> {
        let count = Names::of(self.regime.chassis).plasmids()?.len();
        let environment = self.environment();
        Ok((0..count).filter_map(|at| self.plasmid(at, &environment)).collect())
    }

    fn environment(&self) -> Environment {
        Environment::of(&self.regime.constants, &self.state)
    }

    fn operon(&self, at: usize, environment: &Environment) -> Option<OperonReadout> {
        let followed = self.organism.as_ref().and_then(|organism| organism.operons.get(&at));
        operon(&self.regime, at, followed, environment)
    }

    fn gene(&self, at: GeneAt, environment: &Environment) -> Option<GeneReadout> {
        let gene = self.regime.chassis.pack().gene_table.as_ref()?.genes.get(at)?;
        let expression = Expression::of_gene(&self.regime, at);
        let followed = self.organism.as_ref().and_then(|organism| organism.genes.get(&at));
        let balanced = || expression.balanced(environment, Regulation::Basal);
        let now: Option<Followed> = gene.mean_mrna.map(|_| followed.cloned().unwrap_or_else(balanced));
        Some(GeneReadout {
            locus: &gene.locus,
            symbol: &gene.symbol,
            class: gene.class,
            transcription_per_min: now
                .as_ref()
                .map(|now| expression.transcription(environment, now.regulation)),
            mrna: now.as_ref().map(|now| now.mrna),
            proteins: now.and_then(|now| now.proteins.first().copied()),
        })
    }

    fn plasmid(&self, at: usize, environment: &Environment) -> Option<PlasmidReadout> {
        let copies = self.organism.as_ref().and_then(|organism| organism.plasmids.get(&at));
        plasmid(&self.regime, at, copies.copied().unwrap_or(0.0), environment.growth)
    }
}

/// An operon as `followed` has it, or at balance with `environment`.
pub(crate) fn operon(
    regime: &Regime,
    at: usize,
    followed: Option<&Followed>,
    environment: &Environment,
) -> Option<OperonReadout> {
    let operon = regime.chassis.pack().operon_table.get(at)?;
    let expression = Expression::of_operon(regime, at);
    let now = followed.cloned().unwrap_or_else(|| expression.balanced(environment, Regulation::Basal));
    let genes = operon.genes.iter().zip(&now.proteins);
    Some(OperonReadout {
        operon: &operon.name,
        regulation: now.regulation,
        log2_fold_change: expression.log2_fold_change(now.regulation),
        transcription_per_min: expression.transcription(environment, now.regulation),
        mrna: now.mrna,
        genes: genes
            .map(|(gene, proteins)| CistronReadout { gene: &gene.symbol, proteins: *proteins })
            .collect(),
        regulators: &operon.regulation,
    })
}

/// A plasmid of which there are `copies`, in a cell that grows at `growth` 1/min.
pub(crate) fn plasmid(regime: &Regime, at: usize, copies: f64, growth: f64) -> Option<PlasmidReadout> {
    let plasmid = regime.chassis.pack().plasmid_table.get(at)?;
    Some(PlasmidReadout {
        plasmid: &plasmid.name,
        copies,
        balanced_copies: plasmid.balanced_copies(growth),
        copies_low: plasmid.copies_low,
        copies_high: plasmid.copies_high,
        wp_per_copy: plasmid.genes_expressed * gene_load(regime),
    })
}

pub(crate) fn places(
    named: &[String],
    count: usize,
    find: impl Fn(&str) -> Result<usize, OrganismError>,
) -> Result<Vec<usize>, OrganismError> {
    if named.is_empty() {
        return Ok((0..count).collect());
    }
    named.iter().map(|name| find(name)).collect()
}
