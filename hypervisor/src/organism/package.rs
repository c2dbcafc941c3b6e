//! What an installed package costs a cell: constructs in the chromosome at a constant load, plasmids that replicate by
//! the same law as a pack's. It knows no archives, no modules and no chassis.
//!
//! All of it is transcription of the core's heterologous class p. Its equations are linear in m_p, c_p and p where
//! energy, free ribosomes and growth are given, so constructs of equal length add up exactly: the sum of their
//! transcriptions is the class's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::action::{MAX_NAME_BYTES, OrganismError, at_most, shown};
use super::environment::{self, Environment};
use super::readout::{PackagePlasmidReadout, PackageReadout};

/// Most packages of one cell: bound what its checkpoint holds.
pub const MAX_PACKAGES: usize = 16;
/// Most plasmids of one package.
pub const MAX_PACKAGE_PLASMIDS: usize = 8;
/// Highest constant load of a package, 1/min: some ten times what any chassis transcribes itself.
pub const LARGEST_PACKAGE_LOAD_WP: f64 = 1e5;

/// What a package puts into a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageParts {
    /// By which a cell knows that it has it.
    pub name: String,
    /// Heterologous transcription of the constructs in the chromosome, 1/min.
    pub load_wp: f64,
    /// Plasmids, each put in as one copy.
    #[serde(default)]
    pub plasmids: Vec<PackagePlasmid>,
}

/// A plasmid of a package: n' = k0 n / (1 + n/K) - lambda n.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackagePlasmid {
    /// Its name, unique in the package.
    pub name: String,
    /// k0: replications of a lone copy, 1/min.
    pub k0_per_min: f64,
    /// K: the copies at which each replicates half as often.
    pub half_copies: f64,
    /// What a copy costs: heterologous transcription, 1/min.
    pub wp_per_copy: f64,
}

impl PackageParts {
    /// Whether a cell can carry it.
    ///
    /// # Errors
    /// The first figure that is out of its range.
    pub fn check(&self) -> Result<(), OrganismError> {
        const LOAD: &str = "a number from 0 to 100000 per minute";
        at_most("plasmids in one package", self.plasmids.len(), MAX_PACKAGE_PLASMIDS)?;
        self.name_fits("the name", &self.name)?;
        self.within("the load", self.load_wp, (0.0, LARGEST_PACKAGE_LOAD_WP), LOAD)?;
        for (at, plasmid) in self.plasmids.iter().enumerate() {
            self.name_fits("a plasmid's name", &plasmid.name)?;
            if self.plasmids[..at].iter().any(|known| known.name == plasmid.name) {
                return Err(self.refuse("a plasmid's name", shown(&plasmid.name), "each name once"));
            }
            let PackagePlasmid { k0_per_min, half_copies, wp_per_copy, .. } = *plasmid;
            self.within("k0_per_min", k0_per_min, (1e-6, 100.0), "a number from 0.000001 to 100")?;
            self.within("half_copies", half_copies, (1e-6, 1e5), "a number from 0.000001 to 100000")?;
            self.within("wp_per_copy", wp_per_copy, (0.0, LARGEST_PACKAGE_LOAD_WP), LOAD)?;
        }
        Ok(())
    }

    fn name_fits(&self, what: &'static str, name: &str) -> Result<(), OrganismError> {
        if (1..=MAX_NAME_BYTES).contains(&name.len()) {
            return Ok(());
        }
        Err(self.refuse(what, format!("{} bytes long", name.len()), "1 to 100 bytes"))
    }

    fn within(
        &self,
        what: &'static str,
        value: f64,
        (low, high): (f64, f64),
        expected: &'static str,
    ) -> Result<(), OrganismError> {
        if (low..=high).contains(&value) {
            return Ok(());
        }
        Err(self.refuse(what, value.to_string(), expected))
    }

    fn refuse(&self, what: &'static str, value: String, expected: &'static str) -> OrganismError {
        OrganismError::Package { package: shown(&self.name), what, value, expected }
    }
}

/// An installed package as the cell carries it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Carried {
    pub(crate) load_wp: f64,
    /// Each with its copies: whole numbers in a single cell.
    pub(crate) plasmids: Vec<(PackagePlasmid, f64)>,
}

impl Carried {
    fn of(package: &PackageParts) -> Self {
        let plasmids = package.plasmids.iter().map(|plasmid| (plasmid.clone(), 1.0)).collect();
        Self { load_wp: package.load_wp, plasmids }
    }

    /// Goes one tick on.
    pub(super) fn advance(&mut self, environment: &Environment) {
        for (plasmid, copies) in &mut self.plasmids {
            *copies =
                environment::plasmids(*copies, plasmid.k0_per_min, plasmid.half_copies, environment.growth);
        }
    }

    /// Heterologous transcription in a cell of this volume, in the mean cell's terms, 1/min.
    pub(crate) fn load(&self, volume: f64) -> f64 {
        let cost =
            |load, (plasmid, copies): &(PackagePlasmid, f64)| load + plasmid.wp_per_copy * copies / volume;
        self.plasmids.iter().fold(self.load_wp, cost)
    }

    pub(super) fn copies(&self) -> f64 {
        self.plasmids.iter().map(|(_, copies)| copies).sum()
    }

    /// As a cell of this volume has it.
    pub(crate) fn readout(&self, name: &str, growth_rate_per_min: f64, volume: f64) -> PackageReadout {
        let plasmids = self.plasmids.iter().map(|(plasmid, copies)| PackagePlasmidReadout {
            plasmid: plasmid.name.clone(),
            copies: *copies,
            balanced_copies: plasmid.balanced_copies(growth_rate_per_min),
            wp_per_copy: plasmid.wp_per_copy,
        });
        PackageReadout { package: name.to_owned(), load_wp: self.load(volume), plasmids: plasmids.collect() }
    }
}

/// Puts a package in; nothing where there is one of its name.
pub(crate) fn install(
    packages: &mut BTreeMap<String, Carried>,
    package: &PackageParts,
) -> Result<(), OrganismError> {
    if !packages.contains_key(&package.name) {
        at_most("packages in one cell", packages.len() + 1, MAX_PACKAGES)?;
        packages.insert(package.name.clone(), Carried::of(package));
    }
    Ok(())
}

impl PackagePlasmid {
    /// Copies in balanced growth: K (k0/lambda - 1); 0 where it cannot keep up with growth.
    #[must_use]
    pub fn balanced_copies(&self, growth_rate_per_min: f64) -> f64 {
        (self.half_copies * (self.k0_per_min / growth_rate_per_min - 1.0)).max(0.0)
    }
}
