//! Figures of a state, for people. All of them are predictions of the model; what a chassis pack does not know is
//! null, with `complete: false`.

use std::collections::BTreeMap;
use std::f64::consts::LN_2;

use serde::Serialize;

use crate::chassis::pack::Pack;
use crate::model::core::{A, BOUND, C, CLASSES, E, IDLE, M, METABOLIC, R, TRANSPORT, Vector, translating};
use crate::organism::state::{OrganismState, Regulation};
use crate::spec::Regime;

/// Figures of one state of a cell.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Metrics {
    /// Simulated minutes since minute 0.
    pub simulated_minutes: f64,
    /// Growth rate lambda, 1/min.
    pub growth_rate_per_min: f64,
    /// ln 2 / growth rate, min; null where the cell does not grow.
    pub doubling_time_min: Option<f64>,
    /// Energy molecules.
    pub atp: f64,
    /// Energy over that of the chassis' unlimited steady state.
    pub atp_level: f64,
    /// All ribosomes: active, held by chloramphenicol, idled by a cap.
    pub ribosomes_total: f64,
    /// Free and translating ribosomes.
    pub ribosomes_active: f64,
    /// nr * ribosomes_total / M.
    pub ribosome_mass_fraction: f64,
    /// Transport and metabolic protein over the mass.
    pub enzyme_mass_fraction: f64,
    /// Protein molecules, ribosomal protein counted at the mean length nx.
    pub protein_total: f64,
    /// Transcripts, free and in complexes.
    pub mrna_total: f64,
    /// Mass of all protein over M: 1 in balanced growth.
    pub mass_closure: f64,
    /// Energy supply over lambda*(M+a), what growth takes: 1 in balanced growth.
    pub energy_closure: f64,
    /// What only this kind of cell has.
    #[serde(flatten)]
    pub organism: Organism,
}

/// Figures that only some chassis have.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Organism {
    /// syn3a, minimal_cell and whatever else has a genome, but neither operons nor plasmids in its pack.
    Minimal(MinimalOrganism),
    /// E. coli and whatever else has operons or plasmids in its pack.
    Ecoli(EcoliOrganism),
    /// No genome, as the reference chassis.
    Reference {},
}

/// What syn3a and minimal_cell have.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MinimalOrganism {
    /// Genes classified as essential.
    pub essential_genes: u32,
    /// Genome, base pairs.
    pub genome_size_bp: u64,
    /// Genes of the genome.
    pub gene_count: u32,
    /// Of these, how many the chassis' gene list covers.
    pub modelled_genes: u32,
    /// What the cell does at this moment, against its unlimited steady state.
    pub function_status: FunctionStatus,
    /// Whether the chassis pack knows all of its organism.
    pub complete: bool,
}

/// What E. coli has.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EcoliOrganism {
    /// Copies of plasmids, all together: a mean over cells.
    pub plasmid_count: f64,
    /// From the growth rate and its change.
    pub growth_phase: GrowthPhase,
    /// What regulates each operon of the pack.
    pub operon_status: BTreeMap<&'static str, Regulation>,
    /// Genome, base pairs.
    pub genome_size_bp: u64,
    /// Null: the chassis pack does not list all genes.
    pub gene_count: Option<u32>,
    /// Whether the chassis pack knows all of its organism.
    pub complete: bool,
}

/// Each flux against that of the chassis' unlimited steady state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FunctionStatus {
    /// Nutrient import.
    pub nutrient_import: Function,
    /// Nutrient turned into energy.
    pub metabolism: Function,
    /// mRNA made.
    pub transcription: Function,
    /// Amino acids polymerised.
    pub translation: Function,
    /// Growth rate.
    pub growth: Function,
}

/// How a function runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    /// At nine tenths of the unlimited flux or more.
    Full,
    /// Below that.
    Reduced,
    /// Below a hundredth.
    Stopped,
}

/// How a culture of such cells would be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GrowthPhase {
    /// Balanced: the growth rate changes by less than a tenth within 1 / growth rate.
    Exponential,
    /// On the way from one growth rate to another.
    Shifting,
    /// Growth below a hundredth of the unlimited rate.
    Stationary,
}

impl Metrics {
    pub(crate) fn of(
        regime: &Regime,
        y: &Vector,
        simulated_minutes: f64,
        carried: Option<&OrganismState>,
    ) -> Self {
        let k = &regime.constants;
        let rates = k.rates(y);
        let active = y[R] + translating(y);
        let ribosomes = active + y[BOUND] + y[IDLE];
        let protein: f64 = y[E..E + CLASSES - 1].iter().sum();
        let protein_total = protein + ribosomes * k.per_protein / k.per_ribosome;
        let supply = k.energy_yield * rates.metabolism;
        Self {
            simulated_minutes,
            growth_rate_per_min: rates.growth,
            doubling_time_min: Some(LN_2 / rates.growth)
                .filter(|minutes| minutes.is_finite() && *minutes > 0.0),
            atp: y[A],
            atp_level: y[A] / regime.reference.atp,
            ribosomes_total: ribosomes,
            ribosomes_active: active,
            ribosome_mass_fraction: ribosomes / k.per_ribosome / k.mass,
            enzyme_mass_fraction: (y[E + TRANSPORT] + y[E + METABOLIC]) / k.per_protein / k.mass,
            protein_total,
            mrna_total: y[M..M + CLASSES].iter().sum::<f64>()
                + y[C..C + CLASSES].iter().sum::<f64>()
                + y[BOUND],
            mass_closure: protein_total / k.per_protein / k.mass,
            energy_closure: supply / (rates.growth * (k.mass + y[A])),
            organism: organism(regime, y, carried),
        }
    }
}

fn organism(regime: &Regime, y: &Vector, carried: Option<&OrganismState>) -> Organism {
    let pack = regime.chassis.pack();
    let genome_size_bp = pack.sheet.genome.as_ref().map_or(0, |genome| genome.size_bp.value);
    let gene_count =
        pack.sheet.genome.as_ref().and_then(|genome| genome.genes.as_ref()).map(|genes| genes.value);
    let regulated = !(pack.operon_table.is_empty() && pack.plasmid_table.is_empty());
    match (&pack.sheet.genome, regulated) {
        (Some(_), false) => Organism::Minimal(MinimalOrganism {
            essential_genes: pack.gene_table.as_ref().map_or(0, |table| table.all().essential),
            genome_size_bp,
            gene_count: gene_count.unwrap_or(0),
            modelled_genes: pack.covered_genes().unwrap_or(0),
            function_status: function_status(regime, y),
            complete: pack.complete,
        }),
        (_, true) => Organism::Ecoli(EcoliOrganism {
            plasmid_count: carried.map_or(0.0, |carried| carried.plasmid_count()),
            growth_phase: growth_phase(regime, y),
            operon_status: operon_status(pack, carried),
            genome_size_bp,
            gene_count,
            complete: pack.complete,
        }),
        (None, false) => Organism::Reference {},
    }
}

fn operon_status(pack: &'static Pack, carried: Option<&OrganismState>) -> BTreeMap<&'static str, Regulation> {
    let regulation =
        |at| carried.and_then(|carried| carried.operons.get(&at)).map(|operon| operon.regulation);
    let operons = pack.operon_table.iter().enumerate();
    operons.map(|(at, operon)| (operon.name.as_str(), regulation(at).unwrap_or_default())).collect()
}

fn function_status(regime: &Regime, y: &Vector) -> FunctionStatus {
    let (k, reference) = (&regime.constants, &regime.reference);
    let rates = k.rates(y);
    let function = |flux: f64, unlimited: f64| match flux / unlimited {
        share if share >= 0.9 => Function::Full,
        share if share >= 0.01 => Function::Reduced,
        _ => Function::Stopped,
    };
    FunctionStatus {
        nutrient_import: function(rates.import, reference.import_per_min),
        metabolism: function(rates.metabolism, reference.metabolism_per_min),
        transcription: function(k.transcription(&rates).iter().sum(), reference.transcription_per_min),
        translation: function(rates.elongation * rates.translating, reference.translation_aa_per_min),
        growth: function(rates.growth, reference.growth_rate_per_min),
    }
}

fn growth_phase(regime: &Regime, y: &Vector) -> GrowthPhase {
    let k = &regime.constants;
    let rates = k.rates(y);
    if rates.growth < 0.01 * regime.reference.growth_rate_per_min {
        return GrowthPhase::Stationary;
    }
    let dy = k.derivative(y);
    let elongation_change = dy[A] * k.elongation_half / (y[A] * (k.elongation_half + y[A]));
    let change = elongation_change + translating(&dy) / rates.translating;
    if change.abs() < 0.1 * rates.growth { GrowthPhase::Exponential } else { GrowthPhase::Shifting }
}
