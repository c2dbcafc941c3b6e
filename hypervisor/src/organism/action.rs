//! What may be done to a cell's genes, operons and plasmids, and why it may be refused. It changes nothing itself.

use serde::{Deserialize, Serialize};

use crate::chassis::ChassisName;
use crate::chassis::pack::Pack;
use crate::chassis::pack::genes::{Gene, GeneTable};
use crate::chassis::pack::operons::Operon;
use crate::chassis::pack::plasmids::Plasmid;
use crate::nearest::nearest;
use crate::organism::package::PackageParts;

/// Most actions of one change, and most names of one action: bound what a schedule holds.
pub(crate) const MAX_ACTIONS: usize = 64;
pub(crate) const MAX_NAMES: usize = 256;
/// Most bytes of a name: longer than any.
pub(crate) const MAX_NAME_BYTES: usize = 100;

/// Something done to what a cell carries, at a grid point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum OrganismAction {
    /// Regulates operons.
    Operons {
        /// By name.
        operons: Vec<String>,
        /// How.
        action: OperonAction,
    },
    /// Starts one transcription of each gene, beyond those that the cell starts itself.
    Transcription {
        /// By symbol or locus.
        genes: Vec<String>,
    },
    /// Puts one copy of a plasmid in; nothing where the cell has it.
    InsertPlasmid {
        /// By name.
        plasmid: String,
    },
    /// Takes all copies of a plasmid out; nothing where the cell has none.
    RemovePlasmid {
        /// By name.
        plasmid: String,
    },
    /// Puts in what a package holds; nothing where the cell has a package of that name.
    InstallPackage {
        /// What it holds.
        package: PackageParts,
    },
}

/// How an operon is regulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperonAction {
    /// Its activators act, its repressors do not.
    Activate,
    /// Its repressors act, its activators do not.
    Repress,
    /// Its repressors let go; its activators stay as they are.
    Derepress,
}

/// Why an action or a question about genes, operons or plasmids is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrganismError {
    /// The chassis has none of it.
    #[error("{chassis} has no {what}; {has}")]
    Unsupported {
        /// The chassis.
        chassis: ChassisName,
        /// Operons, plasmids or genes.
        what: &'static str,
        /// Which chassis has.
        has: &'static str,
    },
    /// A name that the pack does not list.
    #[error("{chassis} has no {what} {name:?} in its pack, which lists {listed}; the nearest: {}", .nearest.join(", "))]
    Unknown {
        /// The chassis.
        chassis: ChassisName,
        /// Operon, plasmid or gene.
        what: &'static str,
        /// As given.
        name: String,
        /// The nearest names, at most five.
        nearest: Vec<String>,
        /// How many there are.
        listed: String,
    },
    /// Nothing was measured from which it could be followed.
    #[error(
        "nothing is measured of the gene {name:?}: its copies of mRNA are not known, so it cannot be followed; choose a gene with a mean_mrna in the pack"
    )]
    NotMeasured {
        /// As given.
        name: String,
    },
    /// A single cell has no count of it.
    #[error(
        "the gene {name:?} is not simulated in single cells, which have counts of genes for proteins alone; choose one of those, or create the VM with the engine ode"
    )]
    NotSimulated {
        /// As given.
        name: String,
    },
    /// A figure of a package that cannot be.
    #[error("package {package:?}: {what} is {value}; expected {expected}")]
    Package {
        /// Its name.
        package: String,
        /// Which figure.
        what: &'static str,
        /// As given.
        value: String,
        /// The range.
        expected: &'static str,
    },
    /// More than one change may hold.
    #[error("{count} {what}; expected at most {most}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
        /// The most.
        most: usize,
    },
}

/// A gene by its place: in the table of genes, or in an operon.
pub(crate) type GeneAt = usize;

/// Finds names in a chassis' pack.
#[derive(Clone, Copy)]
pub(crate) struct Names {
    pub(crate) chassis: ChassisName,
    pub(crate) pack: &'static Pack,
}

impl Names {
    pub(crate) fn of(chassis: ChassisName) -> Self {
        Self { chassis, pack: chassis.pack() }
    }

    /// Whether all of `actions` can be carried out.
    pub(crate) fn check(self, actions: &[OrganismAction]) -> Result<(), OrganismError> {
        at_most("actions in one change", actions.len(), MAX_ACTIONS)?;
        for action in actions {
            match action {
                OrganismAction::Operons { operons, .. } => {
                    at_most("operons in one action", operons.len(), MAX_NAMES)?;
                    operons.iter().try_for_each(|name| self.operon(name).map(|_| ()))?;
                }
                OrganismAction::Transcription { genes } => {
                    at_most("genes in one action", genes.len(), MAX_NAMES)?;
                    genes.iter().try_for_each(|name| self.measured_gene(name).map(|_| ()))?;
                }
                OrganismAction::InsertPlasmid { plasmid } | OrganismAction::RemovePlasmid { plasmid } => {
                    self.plasmid(plasmid)?;
                }
                OrganismAction::InstallPackage { package } => package.check()?,
            }
        }
        Ok(())
    }

    /// The place of an operon.
    pub(crate) fn operon(self, name: &str) -> Result<usize, OrganismError> {
        let operons = self.operons()?;
        operons
            .iter()
            .position(|operon| operon.name == name)
            .ok_or_else(|| self.unknown("operon", name, operons.iter().map(|operon| operon.name.as_str())))
    }

    /// The place of a plasmid.
    pub(crate) fn plasmid(self, name: &str) -> Result<usize, OrganismError> {
        let plasmids = self.plasmids()?;
        plasmids.iter().position(|plasmid| plasmid.name == name).ok_or_else(|| {
            self.unknown("plasmid", name, plasmids.iter().map(|plasmid| plasmid.name.as_str()))
        })
    }

    /// The place of a gene: its symbol (the first that has it) or its locus.
    pub(crate) fn gene(self, name: &str) -> Result<GeneAt, OrganismError> {
        let table = self.genes()?;
        let called = |gene: &Gene| gene.names().any(|known| known == name);
        table
            .genes
            .iter()
            .position(called)
            .ok_or_else(|| self.unknown("gene", name, table.genes.iter().flat_map(Gene::names)))
    }

    /// The place of a gene that can be followed.
    pub(crate) fn measured_gene(self, name: &str) -> Result<GeneAt, OrganismError> {
        let at = self.gene(name)?;
        let gene = self.pack.gene_table.as_ref().and_then(|table| table.genes.get(at));
        match gene.and_then(|gene| gene.mean_mrna).filter(|mrna| *mrna > 0.0) {
            Some(_) => Ok(at),
            None => Err(OrganismError::NotMeasured { name: shown(name) }),
        }
    }

    pub(crate) fn operons(self) -> Result<&'static [Operon], OrganismError> {
        match self.pack.operon_table.as_slice() {
            [] => Err(self.unsupported("operons", "ecoli has")),
            operons => Ok(operons),
        }
    }

    pub(crate) fn plasmids(self) -> Result<&'static [Plasmid], OrganismError> {
        match self.pack.plasmid_table.as_slice() {
            [] => Err(self.unsupported("plasmids", "ecoli has")),
            plasmids => Ok(plasmids),
        }
    }

    pub(crate) fn genes(self) -> Result<&'static GeneTable, OrganismError> {
        let table = self.pack.gene_table.as_ref();
        table.ok_or_else(|| self.unsupported("list of genes", "syn3a and minimal_cell have"))
    }

    fn unsupported(self, what: &'static str, has: &'static str) -> OrganismError {
        OrganismError::Unsupported { chassis: self.chassis, what, has }
    }

    fn unknown<'a>(
        self,
        what: &'static str,
        name: &str,
        known: impl Iterator<Item = &'a str>,
    ) -> OrganismError {
        let known: Vec<&str> = known.collect();
        let listed = match (what, self.pack.sheet.genome.as_ref().and_then(|genome| genome.genes.as_ref())) {
            ("gene", Some(genes)) => {
                let listed = self.pack.gene_table.as_ref().map_or(0, |table| table.genes.len());
                format!("{listed} of {} genes", genes.value)
            }
            _ => format!("{} {what}s", known.len()),
        };
        OrganismError::Unknown {
            chassis: self.chassis,
            what,
            name: shown(name),
            nearest: nearest(&shown(name), known),
            listed,
        }
    }
}

pub(super) fn at_most(what: &'static str, count: usize, most: usize) -> Result<(), OrganismError> {
    if count <= most { Ok(()) } else { Err(OrganismError::TooMany { what, count, most }) }
}

pub(super) fn shown(name: &str) -> String {
    name.chars().take(MAX_NAME_BYTES / 4).collect()
}
