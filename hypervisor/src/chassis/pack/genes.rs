//! Genes: where they lie, how long they are, how often their products are found. It knows no rates and no model.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::table::{Row, Table, TableError};

const NEEDED: [&str; 9] =
    ["locus", "symbol", "start", "end", "strand", "type", "class", "proteins_per_cell", "mean_mrna"];
const OPTIONAL: [&str; 2] = ["length_nt", "pseudo"];
/// No genome is longer.
pub(crate) const MAX_POSITION_BP: u64 = 1_000_000_000_000;

/// A strand of the genome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Strand {
    /// As the record is written.
    #[serde(rename = "+")]
    Forward,
    /// Its complement.
    #[serde(rename = "-")]
    Reverse,
}

impl Strand {
    /// `+` or `-`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forward => "+",
            Self::Reverse => "-",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Forward, Self::Reverse].into_iter().find(|strand| strand.as_str() == text)
    }
}

/// What a gene codes for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// A protein.
    #[serde(rename = "CDS")]
    Cds,
    /// A transfer RNA.
    #[serde(rename = "tRNA")]
    Trna,
    /// A ribosomal RNA.
    #[serde(rename = "rRNA")]
    Rrna,
    /// Another RNA.
    #[serde(rename = "ncRNA")]
    Ncrna,
    /// The transfer-messenger RNA.
    #[serde(rename = "tmRNA")]
    Tmrna,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Cds, Self::Trna, Self::Rrna, Self::Ncrna, Self::Tmrna];

    /// As a table and GenBank write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cds => "CDS",
            Self::Trna => "tRNA",
            Self::Rrna => "rRNA",
            Self::Ncrna => "ncRNA",
            Self::Tmrna => "tmRNA",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// What happens to a cell without the gene.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Class {
    /// It dies.
    #[serde(rename = "E")]
    Essential,
    /// It grows more slowly.
    #[serde(rename = "Q")]
    QuasiEssential,
    /// Nothing much.
    #[serde(rename = "N")]
    NonEssential,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Essential, Self::QuasiEssential, Self::NonEssential];

    /// `E`, `Q` or `N`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Essential => "E",
            Self::QuasiEssential => "Q",
            Self::NonEssential => "N",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == text)
    }
}

/// One gene.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gene {
    /// Its locus tag, unique.
    pub locus: String,
    /// Its symbol, or several with `;` between them; empty where it has none.
    pub symbol: String,
    /// First position, 1-based; behind `end` where the gene crosses the origin.
    pub start: u64,
    /// Last position, included.
    pub end: u64,
    /// The strand that it is read from.
    pub strand: Strand,
    /// What it codes for.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// What happens without it; none where nobody says.
    pub class: Option<Class>,
    /// Measured proteins per cell; none where nothing was measured.
    pub proteins_per_cell: Option<f64>,
    /// Mean copies of its mRNA per cell; none where nothing is reported.
    pub mean_mrna: Option<f64>,
    /// Its length, nucleotides: the sum of its parts.
    pub length_nt: u64,
    /// Whether it is known to be broken.
    pub pseudo: bool,
}

impl Gene {
    /// Whether single cells have counts of it: it codes for a protein, and its mRNA is reported.
    pub(crate) fn is_simulated(&self) -> bool {
        self.kind == Kind::Cds && !self.pseudo && self.mean_mrna.is_some()
    }

    /// The length of its protein, amino acids: whole codons without the stop; 0 for what codes for none.
    #[must_use]
    pub fn length_aa(&self) -> u64 {
        if self.kind == Kind::Cds { (self.length_nt / 3).saturating_sub(1) } else { 0 }
    }

    /// The names that people call it by: symbols, then locus.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let symbols = self.symbol.split(';').map(str::trim).filter(|symbol| !symbol.is_empty());
        symbols.chain([self.locus.as_str()])
    }

    fn read(row: Row<'_, '_>) -> Result<Self, TableError> {
        let position = |text: &str| text.parse().ok().filter(|at| (1..=MAX_POSITION_BP).contains(at));
        let start: u64 = row.value("start", "a position from 1 on", position)?;
        let end: u64 = row.value("end", "a position from 1 on", position)?;
        let length_nt = if row.text("length_nt").is_empty() {
            // Across the origin the length does not follow from the two positions.
            (end + 1).checked_sub(start).filter(|length| *length > 0).ok_or_else(|| {
                row.misfit("end", "a position not before start, or a column length_nt with the length")
            })?
        } else {
            row.value("length_nt", "a number of nucleotides from 1 on", position)?
        };
        let locus = row.value("locus", "a name", |text| (!text.is_empty()).then(|| text.to_owned()))?;
        Ok(Self {
            locus,
            symbol: row.text("symbol").to_owned(),
            start,
            end,
            strand: row.value("strand", "+ or -", Strand::parse)?,
            kind: row.value("type", "CDS, tRNA, rRNA, ncRNA or tmRNA", Kind::parse)?,
            class: match row.text("class") {
                "" => None,
                _ => Some(row.value("class", "E, Q, N or nothing", Class::parse)?),
            },
            proteins_per_cell: row.amount("proteins_per_cell")?,
            mean_mrna: row.amount("mean_mrna")?,
            length_nt,
            pseudo: match row.text("pseudo") {
                "" | "no" => false,
                _ => row.value("pseudo", "yes, no or nothing", |text| (text == "yes").then_some(true))?,
            },
        })
    }
}

/// The genes that a table does not list one by one, in sum: together with those listed they balance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remainder {
    /// Genes of proteins.
    pub cds: u32,
    /// Genes of transfer RNA.
    pub trna: u32,
    /// Genes of ribosomal RNA.
    pub rrna: u32,
    /// Genes of other RNA, tmRNA included.
    pub other_rna: u32,
    /// Essential ones.
    pub essential: u32,
    /// Quasi-essential ones.
    pub quasi_essential: u32,
    /// Non-essential ones.
    pub non_essential: u32,
    /// Length of the genes of proteins, nucleotides.
    pub cds_length_nt: u64,
    /// Length of their proteins, amino acids.
    pub length_aa: u64,
    /// Their measured proteins per cell.
    pub proteins_per_cell: f64,
    /// The amino acids in these: each gene's proteins by its length.
    pub protein_mass_aa: f64,
    /// Mean copies of their mRNA per cell.
    pub mean_mrna: f64,
}

impl Remainder {
    /// Genes of every kind.
    #[must_use]
    pub fn genes(&self) -> u32 {
        self.cds.saturating_add(self.trna).saturating_add(self.rrna).saturating_add(self.other_rna)
    }
}

/// The genes of a chassis.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct GeneTable {
    /// Those listed, in the order given.
    pub genes: Vec<Gene>,
    /// Those known in sum only; none where all are listed, or nothing is known of the others.
    pub remainder: Option<Remainder>,
    /// Whether every gene of the genome is listed.
    pub complete: bool,
}

impl GeneTable {
    /// The table of `text`: tab-separated, with the columns locus, symbol, start, end, strand, type, class,
    /// proteins_per_cell and mean_mrna, and length_nt and pseudo where wanted. Whether it is complete is not in it:
    /// it is taken as such, with no remainder.
    ///
    /// # Errors
    /// The first line that does not fit, with what was expected.
    pub fn parse_tsv(text: &str) -> Result<Self, TableError> {
        let table = Table::parse(text, &NEEDED, &OPTIONAL)?;
        let mut loci = BTreeSet::new();
        let mut genes = Vec::new();
        for row in table.rows() {
            let gene = Gene::read(row)?;
            if !loci.insert(gene.locus.clone()) {
                return Err(TableError::Twice { line: row.line, name: gene.locus });
            }
            genes.push(gene);
        }
        Ok(Self { genes, remainder: None, complete: true })
    }

    /// The table as [`GeneTable::parse_tsv`] reads it, `comments` above it.
    #[must_use]
    pub fn to_tsv(&self, comments: &[String]) -> String {
        let mut lines: Vec<String> = comments.iter().map(|comment| format!("# {comment}")).collect();
        lines.push([&NEEDED[..], &OPTIONAL[..]].concat().join("\t"));
        for gene in &self.genes {
            let amount = |amount: Option<f64>| amount.map(|amount| amount.to_string()).unwrap_or_default();
            let cells = [
                gene.locus.clone(),
                gene.symbol.clone(),
                gene.start.to_string(),
                gene.end.to_string(),
                gene.strand.as_str().to_owned(),
                gene.kind.as_str().to_owned(),
                gene.class.map(Class::as_str).unwrap_or_default().to_owned(),
                amount(gene.proteins_per_cell),
                amount(gene.mean_mrna),
                gene.length_nt.to_string(),
                if gene.pseudo { "yes" } else { "" }.to_owned(),
            ];
            lines.push(cells.join("\t"));
        }
        lines.join("\n") + "\n"
    }

    /// The sums over the genes listed, in the shape of a remainder.
    #[must_use]
    pub fn sums(&self) -> Remainder {
        let mut sums = Remainder::default();
        for gene in &self.genes {
            match gene.kind {
                Kind::Cds => {
                    sums.cds += 1;
                    sums.cds_length_nt += gene.length_nt;
                    sums.length_aa += gene.length_aa();
                }
                Kind::Trna => sums.trna += 1,
                Kind::Rrna => sums.rrna += 1,
                Kind::Ncrna | Kind::Tmrna => sums.other_rna += 1,
            }
            match gene.class {
                Some(Class::Essential) => sums.essential += 1,
                Some(Class::QuasiEssential) => sums.quasi_essential += 1,
                Some(Class::NonEssential) => sums.non_essential += 1,
                None => {}
            }
            let proteins = gene.proteins_per_cell.unwrap_or(0.0);
            sums.proteins_per_cell += proteins;
            sums.protein_mass_aa += proteins * gene.length_aa() as f64;
            sums.mean_mrna += gene.mean_mrna.unwrap_or(0.0);
        }
        sums
    }

    /// The sums over all genes that it covers: listed, and the remainder.
    #[must_use]
    pub fn all(&self) -> Remainder {
        let (mut all, rest) = (self.sums(), self.remainder.clone().unwrap_or_default());
        all.cds = all.cds.saturating_add(rest.cds);
        all.trna = all.trna.saturating_add(rest.trna);
        all.rrna = all.rrna.saturating_add(rest.rrna);
        all.other_rna = all.other_rna.saturating_add(rest.other_rna);
        all.essential = all.essential.saturating_add(rest.essential);
        all.quasi_essential = all.quasi_essential.saturating_add(rest.quasi_essential);
        all.non_essential = all.non_essential.saturating_add(rest.non_essential);
        all.cds_length_nt = all.cds_length_nt.saturating_add(rest.cds_length_nt);
        all.length_aa = all.length_aa.saturating_add(rest.length_aa);
        all.proteins_per_cell += rest.proteins_per_cell;
        all.protein_mass_aa += rest.protein_mass_aa;
        all.mean_mrna += rest.mean_mrna;
        all
    }

    /// The genes that people call `name` (a symbol, or a locus); several may share a symbol.
    pub fn called<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Gene> {
        self.genes.iter().filter(move |gene| gene.names().any(|known| known == name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "locus\tsymbol\tstart\tend\tstrand\ttype\tclass\tproteins_per_cell\tmean_mrna\n";

    fn table(rows: &str) -> Result<GeneTable, TableError> {
        GeneTable::parse_tsv(&format!("# for people\n{HEADER}{rows}"))
    }

    #[test]
    fn a_table_is_read_with_lengths_and_sums() {
        let genes =
            table("a_1\tdnaA; two\t1\t1353\t+\tCDS\tE\t148\t0.2605\na_2\t\t1400\t1475\t-\ttRNA\t\t\t\n");
        let genes = genes.unwrap();
        assert_eq!((genes.genes[0].length_nt, genes.genes[0].length_aa()), (1353, 450));
        assert_eq!((genes.genes[1].length_nt, genes.genes[1].length_aa()), (76, 0));
        assert_eq!(genes.genes[0].class, Some(Class::Essential));
        assert_eq!(genes.genes[1].proteins_per_cell, None);
        let sums = genes.sums();
        assert_eq!((sums.cds, sums.trna, sums.essential, sums.length_aa), (1, 1, 1, 450));
        assert_eq!(sums.protein_mass_aa, 148.0 * 450.0);
        assert_eq!(genes.called("two").count(), 1);
        assert_eq!(genes.called("a_2").count(), 1);
    }

    #[test]
    fn a_line_that_does_not_fit_is_named_with_what_was_expected() {
        for (rows, said) in [
            ("a\t\t5\t1\t+\tCDS\t\t\t\n", "line 3: end is \"1\"; expected a position not before start"),
            ("a\t\t1\t5\t?\tCDS\t\t\t\n", "line 3: strand is \"?\"; expected + or -"),
            ("a\t\t1\t5\t+\tgene\t\t\t\n", "line 3: type is \"gene\"; expected CDS, tRNA, rRNA"),
            ("a\t\t1\t5\t+\tCDS\tX\t\t\n", "line 3: class is \"X\"; expected E, Q, N or nothing"),
            ("a\t\t1\t5\t+\tCDS\t\t-1\t\n", "line 3: proteins_per_cell is \"-1\"; expected a number from 0"),
            ("a\t\t1\t5\t+\tCDS\t\tNaN\t\n", "line 3: proteins_per_cell is \"NaN\""),
            ("a\t\t1\t5\n", "line 3: 4 cells; expected 9"),
            (
                "a\t\t1\t5\t+\tCDS\t\t\t\na\t\t1\t5\t+\tCDS\t\t\t\n",
                "line 4: \"a\" stands in the table already",
            ),
        ] {
            let error = table(rows).unwrap_err().to_string();
            assert!(error.starts_with(said), "{error}");
        }
        let error = GeneTable::parse_tsv("locus\tsymbol\n").unwrap_err().to_string();
        assert!(error.contains("line 1") && error.contains("\"start\""), "{error}");
        let error = GeneTable::parse_tsv("# nothing\n").unwrap_err().to_string();
        assert!(error.contains("the table is empty"), "{error}");
    }
}
