//! Operons: where they lie, what they carry, what was measured of their regulation. It knows no rates.

use serde::Serialize;

use super::genes::Strand;
use super::table::{Row, Table, TableError};

const COLUMNS: [&str; 8] =
    ["operon", "strand", "left", "right", "class", "genes", "log2_fold_change", "regulation"];

/// What the model counts an operon's proteins to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OperonClass {
    /// Transcribed as ribosomal protein is.
    Ribosomal,
    /// Transcribed as any other.
    Other,
}

/// A gene of an operon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cistron {
    /// Its symbol.
    pub symbol: String,
    /// Its length.
    pub length_nt: u64,
}

impl Cistron {
    /// The length of its protein, without the stop codon.
    #[must_use]
    pub fn length_aa(&self) -> u64 {
        (self.length_nt / 3).saturating_sub(1).max(1)
    }
}

/// What a regulator does to an operon.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FoldChange {
    /// The regulator.
    pub regulator: String,
    /// log2 of transcription with it over that without.
    pub log2: f64,
}

/// An operon.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Operon {
    /// Its name, unique.
    pub name: String,
    /// The strand that it is read from.
    pub strand: Strand,
    /// First position on the forward strand.
    pub left: u64,
    /// Last position on the forward strand.
    pub right: u64,
    /// What the model counts its proteins to.
    pub class: OperonClass,
    /// In the order of transcription.
    pub genes: Vec<Cistron>,
    /// As far as measured.
    pub fold_changes: Vec<FoldChange>,
    /// In words.
    pub regulation: String,
}

impl Operon {
    /// Length of its genes, nucleotides.
    #[must_use]
    pub fn length_nt(&self) -> u64 {
        self.genes.iter().map(|gene| gene.length_nt).sum()
    }

    pub(crate) fn table(text: &str) -> Result<Vec<Self>, TableError> {
        let table = Table::parse(text, &COLUMNS, &[])?;
        let mut operons: Vec<Self> = Vec::new();
        for row in table.rows() {
            let operon = Self::read(row)?;
            if operons.iter().any(|known| known.name == operon.name) {
                return Err(TableError::Twice { line: row.line, name: operon.name });
            }
            operons.push(operon);
        }
        Ok(operons)
    }

    fn read(row: Row<'_, '_>) -> Result<Self, TableError> {
        let position = |text: &str| text.parse().ok().filter(|at| *at > 0_u64);
        let left = row.value("left", "a position from 1 on", position)?;
        let right = row
            .value("right", "a position behind left", |text| position(text).filter(|right| *right > left))?;
        Ok(Self {
            name: row.value("operon", "a name", |text| (!text.is_empty()).then(|| text.to_owned()))?,
            strand: row.value("strand", "+ or -", Strand::parse)?,
            left,
            right,
            class: row.value("class", "ribosomal or other", |text| match text {
                "ribosomal" => Some(OperonClass::Ribosomal),
                "other" => Some(OperonClass::Other),
                _ => None,
            })?,
            genes: row.value("genes", "symbol:length, with a comma between", |text| {
                text.split(',').map(cistron).collect()
            })?,
            fold_changes: row.value(
                "log2_fold_change",
                "regulator=number (from -20 to 20), with ; between, or nothing",
                fold_changes,
            )?,
            regulation: row.text("regulation").to_owned(),
        })
    }
}

fn cistron(text: &str) -> Option<Cistron> {
    let (symbol, length) = text.split_once(':')?;
    let length_nt = length.trim().parse().ok().filter(|length| (1..=1_000_000).contains(length))?;
    let symbol = symbol.trim();
    (!symbol.is_empty()).then(|| Cistron { symbol: symbol.to_owned(), length_nt })
}

fn fold_changes(text: &str) -> Option<Vec<FoldChange>> {
    let one = |text: &str| {
        let (regulator, log2) = text.split_once('=')?;
        let log2 = log2.trim().parse().ok().filter(|log2: &f64| log2.abs() <= 20.0)?;
        Some(FoldChange { regulator: regulator.trim().to_owned(), log2 })
    };
    text.split(';').map(str::trim).filter(|part| !part.is_empty()).map(one).collect()
}
