//! Plasmids: how they replicate, how many copies were found, what a copy costs. It runs nothing.

use serde::Serialize;

use super::table::{Row, Table, TableError};

const COLUMNS: [&str; 6] =
    ["plasmid", "copies_low", "copies_high", "k0_per_min", "half_copies", "genes_expressed"];

/// A plasmid by its origin of replication: n' = k0 n / (1 + n/K) - lambda n.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plasmid {
    /// Its name, unique.
    pub name: String,
    /// Fewest published copies per cell.
    pub copies_low: f64,
    /// Most published copies per cell.
    pub copies_high: f64,
    /// k0: replications of a lone copy, 1/min.
    pub k0_per_min: f64,
    /// K: the copies at which each replicates half as often.
    pub half_copies: f64,
    /// Genes that a copy expresses as much as the genome does an average one.
    pub genes_expressed: f64,
}

impl Plasmid {
    /// Copies in balanced growth: K (k0/lambda - 1); 0 where it cannot keep up with growth.
    #[must_use]
    pub fn balanced_copies(&self, growth_rate_per_min: f64) -> f64 {
        (self.half_copies * (self.k0_per_min / growth_rate_per_min - 1.0)).max(0.0)
    }

    pub(crate) fn table(text: &str) -> Result<Vec<Self>, TableError> {
        let table = Table::parse(text, &COLUMNS, &[])?;
        let mut plasmids: Vec<Self> = Vec::new();
        for row in table.rows() {
            let plasmid = Self::read(row)?;
            if plasmids.iter().any(|known| known.name == plasmid.name) {
                return Err(TableError::Twice { line: row.line, name: plasmid.name });
            }
            plasmids.push(plasmid);
        }
        Ok(plasmids)
    }

    fn read(row: Row<'_, '_>) -> Result<Self, TableError> {
        let number = |column, expected, low: f64, high: f64| {
            row.value(column, expected, |text| {
                text.parse().ok().filter(|value: &f64| *value >= low && *value <= high)
            })
        };
        let copies_low = number("copies_low", "a number from 0 to 100000", 0.0, 1e5)?;
        Ok(Self {
            name: row.value("plasmid", "a name", |text| (!text.is_empty()).then(|| text.to_owned()))?,
            copies_low,
            copies_high: number("copies_high", "a number from copies_low to 100000", copies_low, 1e5)?,
            k0_per_min: number("k0_per_min", "a number from 0.000001 to 100", 1e-6, 100.0)?,
            half_copies: number("half_copies", "a number from 0.000001 to 100000", 1e-6, 1e5)?,
            genes_expressed: number("genes_expressed", "a number from 0 to 1000", 0.0, 1000.0)?,
        })
    }
}
