//! A full pack from a GenBank record, a table of what was measured, and a calibration. It invents nothing: what none
//! of the three states stays unknown.

use std::collections::BTreeMap;

use super::error::PackError;
use super::genbank::Record;
use super::genes::{Gene, GeneTable};
use super::sheet::{FORMAT, Figure, Genome, Sheet};
use super::{Pack, PackTexts};

/// The key of the record among the sources.
const RECORD_SOURCE: &str = "record";
/// The table that GenBank means where a coding sequence names none.
const STANDARD_CODE: u32 = 1;

/// A pack and its files.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportedPack {
    /// The pack, validated.
    pub pack: Pack,
    /// `pack.toml`.
    pub sheet: String,
    /// `genes.tsv`.
    pub genes: String,
    /// Genes of the record of which the table says nothing.
    pub unmeasured_genes: usize,
}

/// Builds the pack. `calibration` is a `pack.toml` without a genome: name, organism, sources, allocation,
/// calibration, functions where wanted, and in `[genes]` the sources of the table's columns. `measured` is a table
/// like that of [`GeneTable::parse_tsv`].
///
/// # Errors
/// A calibration that is none, a table that does not belong to the record, and what a pack's validation finds.
pub fn import(record: &Record, measured: Option<&str>, calibration: &str) -> Result<ImportedPack, PackError> {
    let mut sheet: Sheet = toml::from_str(calibration).map_err(|error| PackError::Toml(error.to_string()))?;
    if sheet.format != FORMAT {
        return Err(PackError::misfit("format", sheet.format, FORMAT));
    }
    for (section, given) in [
        ("[genome]", sheet.genome.is_some()),
        ("[operons]", sheet.operons.is_some()),
        ("[plasmids]", sheet.plasmids.is_some()),
    ] {
        if given {
            return Err(PackError::misfit(
                section,
                "given",
                "a calibration without it: add it to the pack afterwards",
            ));
        }
    }
    let measured = measured.map(GeneTable::parse_tsv).transpose();
    let measured = measured.map_err(|source| PackError::Table { file: "the table of genes", source })?;
    let (genes, unmeasured_genes) = join(record, measured.as_ref())?;
    let mut table = GeneTable { genes, remainder: None, complete: true };
    state_genome(&mut sheet, record, table.genes.len());
    let stated = sheet.genes.get_or_insert_default();
    stated.position_source = Some(RECORD_SOURCE.to_owned());
    (stated.subset_of, stated.remainder) = (None, None);
    stated.classes.clear();
    stated.totals = Some(table.sums());
    table.genes.shrink_to_fit();
    let comments = [
        format!("{}: every gene of {}.", sheet.organism, record.accession),
        "Sources of the columns: [genes] in pack.toml. Empty: not measured, or not reported.".to_owned(),
    ];
    let genes = table.to_tsv(&comments);
    let sheet = toml::to_string(&sheet).map_err(|error| PackError::Toml(error.to_string()))?;
    let texts = PackTexts { sheet: &sheet, genes: Some(&genes), operons: None, plasmids: None };
    let pack = Pack::parse(texts)?;
    Ok(ImportedPack { pack, sheet, genes, unmeasured_genes })
}

fn state_genome(sheet: &mut Sheet, record: &Record, genes: usize) {
    let source = || RECORD_SOURCE.to_owned();
    sheet.sources.insert(source(), format!("GenBank {}", record.accession));
    let note = match record.genetic_code {
        Some(_) => None,
        None => Some("no coding sequence names one: the standard code".to_owned()),
    };
    sheet.genome = Some(Genome {
        size_bp: Figure { value: record.size_bp, source: source(), note: None },
        gc_percent: record.gc_percent.map(|value| Figure { value, source: source(), note: None }),
        genetic_code: Figure { value: record.genetic_code.unwrap_or(STANDARD_CODE), source: source(), note },
        genes: Some(Figure { value: u32::try_from(genes).unwrap_or(u32::MAX), source: source(), note: None }),
    });
}

/// The record's genes with what was measured of them, and of how many nothing was.
fn join(record: &Record, measured: Option<&GeneTable>) -> Result<(Vec<Gene>, usize), PackError> {
    let rows = measured.map(|table| table.genes.as_slice()).unwrap_or_default();
    let mut by_locus: BTreeMap<&str, &Gene> = rows.iter().map(|gene| (gene.locus.as_str(), gene)).collect();
    let mut unmeasured = 0;
    let mut genes = record.genes.clone();
    for gene in &mut genes {
        let Some(row) = by_locus.remove(gene.locus.as_str()) else {
            unmeasured += 1;
            continue;
        };
        let place = |gene: &Gene| (gene.start, gene.end, gene.strand, gene.kind);
        if place(row) != place(gene) {
            let shown = |gene: &Gene| {
                format!("{} at {}..{} {}", gene.kind.as_str(), gene.start, gene.end, gene.strand.as_str())
            };
            let expected =
                format!("{}, as in the record: is the table for {}?", shown(gene), record.accession);
            return Err(PackError::misfit(format!("{} in the table", gene.locus), shown(row), expected));
        }
        if !row.symbol.is_empty() {
            gene.symbol.clone_from(&row.symbol);
        }
        gene.pseudo |= row.pseudo;
        (gene.class, gene.proteins_per_cell, gene.mean_mrna) =
            (row.class, row.proteins_per_cell, row.mean_mrna);
    }
    match by_locus.into_keys().next() {
        Some(locus) => {
            let expected = format!("a locus of {}", record.accession);
            Err(PackError::misfit("a locus in the table", locus, expected))
        }
        None => Ok((genes, unmeasured)),
    }
}
