//! Chassis packs: what is known of an organism, as data with a source for each figure.
//!
//! ```text
//!   pack.toml, genes.tsv, operons.tsv, plasmids.tsv --parse--> Pack (validated)
//! ```
//!
//! It reads texts that it is given, and touches no file. What a pack lacks is null, with `complete: false`.

pub(crate) mod error;
pub(crate) mod genbank;
pub(crate) mod genes;
pub(crate) mod import;
pub(crate) mod operons;
pub(crate) mod plasmids;
pub(crate) mod sheet;
pub(crate) mod shipped;
pub(crate) mod table;
mod validate;

use serde::Serialize;

use error::PackError;
use genes::GeneTable;
use operons::Operon;
use plasmids::Plasmid;
use sheet::{FORMAT, GenesSheet, Sheet};

/// Names of the files of a pack, in the order of [`PackTexts`].
pub const PACK_FILES: [&str; 4] = ["pack.toml", "genes.tsv", "operons.tsv", "plasmids.tsv"];

/// The texts of a pack's files.
#[derive(Clone, Copy, Debug, Default)]
pub struct PackTexts<'a> {
    /// `pack.toml`.
    pub sheet: &'a str,
    /// `genes.tsv`, where there is one.
    pub genes: Option<&'a str>,
    /// `operons.tsv`, where there is one.
    pub operons: Option<&'a str>,
    /// `plasmids.tsv`, where there is one.
    pub plasmids: Option<&'a str>,
}

/// A chassis pack, validated.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pack {
    /// `pack.toml`: figures and sources.
    #[serde(flatten)]
    pub sheet: Sheet,
    /// The genes; none where the pack does not list any.
    pub gene_table: Option<GeneTable>,
    /// The operons that it lists.
    pub operon_table: Vec<Operon>,
    /// The plasmids that it lists.
    pub plasmid_table: Vec<Plasmid>,
    /// Whether every gene of the organism is listed.
    pub complete: bool,
}

impl Pack {
    /// The pack that `texts` describe.
    ///
    /// # Errors
    /// The first thing that does not fit, with what was expected.
    pub fn parse(texts: PackTexts<'_>) -> Result<Self, PackError> {
        let sheet: Sheet = toml::from_str(texts.sheet).map_err(|error| PackError::Toml(error.to_string()))?;
        if sheet.format != FORMAT {
            return Err(PackError::misfit("format", sheet.format, FORMAT));
        }
        let table = |file: &'static str| move |source| PackError::Table { file, source };
        let genes = texts.genes.map(GeneTable::parse_tsv).transpose().map_err(table("genes.tsv"))?;
        let gene_table = gene_table(&sheet, genes)?;
        let operons = texts.operons.map(Operon::table).transpose().map_err(table("operons.tsv"))?;
        let plasmids = texts.plasmids.map(Plasmid::table).transpose().map_err(table("plasmids.tsv"))?;
        belongs("operons.tsv", operons.is_some(), sheet.operons.is_some(), "[operons]")?;
        belongs("plasmids.tsv", plasmids.is_some(), sheet.plasmids.is_some(), "[plasmids]")?;
        let pack = Self {
            complete: gene_table.as_ref().is_some_and(|genes| genes.complete),
            gene_table,
            operon_table: operons.unwrap_or_default(),
            plasmid_table: plasmids.unwrap_or_default(),
            sheet,
        };
        validate::check(&pack)?;
        Ok(pack)
    }

    /// Genes that the pack covers, listed or in sum; none where it has no table.
    #[must_use]
    pub fn covered_genes(&self) -> Option<u32> {
        self.gene_table.as_ref().map(|table| table.all().genes())
    }

    /// Whether the pack names `gene`, in a table of genes or in an operon.
    pub(crate) fn knows_gene(&self, gene: &str) -> bool {
        let listed = self.gene_table.as_ref().is_some_and(|table| table.called(gene).next().is_some());
        listed || self.operon_table.iter().any(|operon| operon.genes.iter().any(|one| one.symbol == gene))
    }
}

/// The genes: those of the file, or a subset of another pack's; with the remainder that the sheet states.
fn gene_table(sheet: &Sheet, file: Option<GeneTable>) -> Result<Option<GeneTable>, PackError> {
    let Some(stated) = &sheet.genes else {
        belongs("genes.tsv", file.is_some(), false, "[genes]")?;
        return Ok(None);
    };
    let mut table = match (&stated.subset_of, file) {
        (None, Some(table)) => table,
        (Some(other), None) => subset(stated, other)?,
        (None, None) => {
            return Err(PackError::Missing {
                what: "genes.tsv",
                hint: "or `subset_of` in [genes], or no [genes]",
            });
        }
        (Some(_), Some(_)) => {
            return Err(PackError::misfit("genes.tsv", "a file", "none beside `subset_of`"));
        }
    };
    table.remainder.clone_from(&stated.remainder);
    let genome = sheet.genome.as_ref().and_then(|genome| genome.genes.as_ref()).map(|genes| genes.value);
    table.complete =
        table.remainder.is_none() && genome.is_some_and(|genes| genes as usize == table.genes.len());
    Ok(Some(table))
}

fn subset(stated: &GenesSheet, other: &str) -> Result<GeneTable, PackError> {
    let whole = other.parse().ok().and_then(|name| shipped::pack(name).gene_table.as_ref());
    let whole =
        whole.ok_or_else(|| PackError::misfit("subset_of", other, "a chassis of this program with genes"))?;
    let mut genes = whole.genes.clone();
    genes.retain(|gene| gene.class.is_some_and(|class| stated.classes.contains(&class)));
    Ok(GeneTable { genes, remainder: None, complete: false })
}

fn belongs(file: &'static str, there: bool, stated: bool, section: &'static str) -> Result<(), PackError> {
    match (there, stated) {
        (true, false) => Err(PackError::Missing { what: section, hint: "it names the sources of the table" }),
        (false, true) => {
            Err(PackError::Missing { what: file, hint: "or leave its section out of pack.toml" })
        }
        _ => Ok(()),
    }
}
