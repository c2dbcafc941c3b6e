//! `pack.toml` as it is written: each figure with its source. Whether the figures fit each other is `validate`'s.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::genes::{Class, Remainder};
use crate::model::calibrate::Figures;

/// The only format that this program reads.
pub(crate) const FORMAT: u32 = 1;

/// A figure and where it comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure<T> {
    /// The figure.
    pub value: T,
    /// A key of `sources`.
    pub source: String,
    /// How it follows, or how well it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A whole `pack.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sheet {
    /// Of the file; 1.
    pub format: u32,
    /// The chassis' name: lower case letters, digits and `_`.
    pub name: String,
    /// What lives.
    pub organism: String,
    /// Citations by key.
    pub sources: BTreeMap<String, String>,
    /// What may be allocated.
    pub allocation: AllocationSheet,
    /// What the model is calibrated to; absent where `parameters` are given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// The model's parameters by symbol; empty where it is calibrated.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, Figure<f64>>,
    /// The genome; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub genome: Option<Genome>,
    /// On `genes.tsv`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub genes: Option<GenesSheet>,
    /// On `operons.tsv`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operons: Option<OperonsSheet>,
    /// On `plasmids.tsv`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plasmids: Option<PlasmidsSheet>,
    /// What the fluxes of the model stand for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<FunctionSheet>,
}

/// What may be allocated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllocationSheet {
    /// Ribosome units that mean the full complement.
    pub most_ribosome_units: Figure<u32>,
}

/// What the model is calibrated to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Doubling time.
    pub doubling_time_min: Figure<f64>,
    /// Protein of a cell.
    pub mass_aa: Figure<f64>,
    /// Protein of a ribosome.
    pub ribosome_length_aa: Figure<f64>,
    /// Mean length of any other protein.
    pub protein_length_aa: Figure<f64>,
    /// Ribosomes of a cell.
    pub ribosomes: Figure<f64>,
    /// Highest elongation rate of a ribosome.
    pub elongation_max_aa_per_min: Figure<f64>,
    /// Share of the ribosomes that translate.
    pub active_fraction: Figure<f64>,
    /// Transport and metabolic protein over the mass.
    pub enzyme_mass_fraction: Figure<f64>,
    /// Energy molecules of a cell.
    pub energy_molecules: Figure<f64>,
    /// Decay of mRNA.
    pub mrna_decay_per_min: Figure<f64>,
}

impl Calibration {
    /// Every figure with its name.
    pub(crate) fn figures(&self) -> [(&'static str, &Figure<f64>); 10] {
        [
            ("doubling_time_min", &self.doubling_time_min),
            ("mass_aa", &self.mass_aa),
            ("ribosome_length_aa", &self.ribosome_length_aa),
            ("protein_length_aa", &self.protein_length_aa),
            ("ribosomes", &self.ribosomes),
            ("elongation_max_aa_per_min", &self.elongation_max_aa_per_min),
            ("active_fraction", &self.active_fraction),
            ("enzyme_mass_fraction", &self.enzyme_mass_fraction),
            ("energy_molecules", &self.energy_molecules),
            ("mrna_decay_per_min", &self.mrna_decay_per_min),
        ]
    }

    pub(crate) fn values(&self) -> Figures {
        Figures {
            doubling_time_min: self.doubling_time_min.value,
            mass_aa: self.mass_aa.value,
            ribosome_length_aa: self.ribosome_length_aa.value,
            protein_length_aa: self.protein_length_aa.value,
            ribosomes: self.ribosomes.value,
            elongation_max: self.elongation_max_aa_per_min.value,
            active: self.active_fraction.value,
            enzyme_fraction: self.enzyme_mass_fraction.value,
            energy: self.energy_molecules.value,
            decay: self.mrna_decay_per_min.value,
        }
    }
}

/// The genome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genome {
    /// Base pairs.
    pub size_bp: Figure<u64>,
    /// Share of G and C.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gc_percent: Option<Figure<f64>>,
    /// Number of the translation table, as NCBI counts them.
    pub genetic_code: Figure<u32>,
    /// Genes of every kind; absent where the pack does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub genes: Option<Figure<u32>>,
}

/// On `genes.tsv`: the sources of its columns, and what is not listed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesSheet {
    /// A chassis whose genes these are, in place of a `genes.tsv`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subset_of: Option<String>,
    /// The classes that the subset has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<Class>,
    /// Of locus, symbol, position, strand and type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position_source: Option<String>,
    /// Of the class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_source: Option<String>,
    /// Of the proteins per cell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protein_source: Option<String>,
    /// Of the mean mRNA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mrna_source: Option<String>,
    /// What all genes together have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub totals: Option<Remainder>,
    /// What the genes have together that are not listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remainder: Option<Remainder>,
}

/// On `operons.tsv`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperonsSheet {
    /// Of positions and lengths.
    pub position_source: String,
    /// Of the fold changes.
    pub regulation_source: String,
}

/// On `plasmids.tsv`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlasmidsSheet {
    /// Of the range of copy numbers.
    pub copy_number_source: String,
    /// Of k0_per_min and half_copies.
    pub replication_source: String,
    /// Of genes_expressed.
    pub load_source: String,
}

/// A flux of the model, and genes that carry it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FunctionSheet {
    /// nutrient_import, metabolism, transcription, translation or growth.
    pub name: String,
    /// Symbols or loci.
    pub genes: Vec<String>,
}

/// A figure by its name, for a list of all.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NamedFigure {
    /// With its unit last.
    pub name: String,
    /// The figure.
    pub value: f64,
    /// A key of `sources`.
    pub source: String,
    /// How it follows, or how well it is known.
    pub note: Option<String>,
}

impl Sheet {
    /// Every figure outside of the tables.
    #[must_use]
    pub fn figures(&self) -> Vec<NamedFigure> {
        fn named(name: &str, value: f64, figure: &Figure<impl Copy>) -> NamedFigure {
            NamedFigure {
                name: name.to_owned(),
                value,
                source: figure.source.clone(),
                note: figure.note.clone(),
            }
        }
        let most = &self.allocation.most_ribosome_units;
        let mut all = vec![named("most_ribosome_units", f64::from(most.value), most)];
        let calibration = self.calibration.iter().flat_map(Calibration::figures);
        all.extend(calibration.map(|(name, figure)| named(name, figure.value, figure)));
        all.extend(self.parameters.iter().map(|(name, figure)| named(name, figure.value, figure)));
        if let Some(genome) = &self.genome {
            all.push(named("size_bp", genome.size_bp.value as f64, &genome.size_bp));
            all.extend(genome.gc_percent.as_ref().map(|gc| named("gc_percent", gc.value, gc)));
            all.push(named("genetic_code", f64::from(genome.genetic_code.value), &genome.genetic_code));
            all.extend(genome.genes.as_ref().map(|genes| named("genes", f64::from(genes.value), genes)));
        }
        all
    }
}
