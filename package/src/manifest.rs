//! `package.toml`: what a package says of itself. Unknown fields are refused with the nearest known one, names and
//! figures are checked, and every figure has a source.

use std::collections::BTreeMap;

use bioxen_hypervisor::{ChassisName, LARGEST_PACKAGE_LOAD_WP, MAX_PACKAGE_PLASMIDS};
use bioxen_protocol::codec::{self, DecodeLimits, Encoding};
use bioxen_protocol::error::{ErrorBody, nearest};
use bioxen_protocol::package::{PackageId, Version, is_package_name};
use serde::{Deserialize, Serialize};

use crate::{MAX_MANIFEST_BYTES, MAX_MODULES, PackageError};

/// The format of this version.
const FORMAT: u64 = 1;
const MAX_CONSTRUCTS: usize = 64;
const MAX_AUTHORS: usize = 16;
const MAX_SOURCES: usize = 64;
/// Bytes of a description, a citation, an author.
const MAX_TEXT_BYTES: usize = 1_000;
/// Longest protein: titin has some 35,000 residues.
const MAX_LENGTH_AA: f64 = 100_000.0;

/// A manifest, checked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Manifest {
    /// Name and version.
    pub id: PackageId,
    /// In a sentence or two.
    pub description: String,
    /// Who made it.
    pub authors: Vec<String>,
    /// An SPDX expression.
    pub licence: String,
    /// The chassis that it fits; all where none is named.
    pub chassis: Vec<ChassisName>,
    /// Citations by key.
    pub sources: BTreeMap<String, String>,
    /// Genes that the cell expresses beside its own.
    pub constructs: Vec<Construct>,
    /// What constructs may stand on, replicating by themselves.
    pub plasmids: Vec<Plasmid>,
    /// Modules for scripts.
    pub modules: Vec<String>,
}

/// A gene that the cell expresses beside its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Construct {
    /// Unique in the package.
    pub name: String,
    /// Residues of its protein.
    pub length_aa: f64,
    /// Highest transcription of a copy, 1/min, in the unit of the chassis' own (w_x of the model).
    pub transcription_per_min: f64,
    /// The plasmid that it stands on; without it one copy in the chromosome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plasmid: Option<String>,
    /// A key of `[sources]`.
    pub source: String,
}

/// A plasmid: n' = k0 n / (1 + n/K) - lambda n.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plasmid {
    /// Unique in the package.
    pub name: String,
    /// k0: replications of a lone copy, 1/min.
    pub k0_per_min: f64,
    /// K: the copies at which each replicates half as often.
    pub half_copies: f64,
    /// A key of `[sources]`.
    pub source: String,
}

/// As it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    format: u64,
    name: String,
    version: Version,
    description: String,
    #[serde(default)]
    authors: Vec<String>,
    licence: String,
    #[serde(default)]
    chassis: Vec<String>,
    #[serde(default)]
    sources: BTreeMap<String, String>,
    #[serde(default)]
    constructs: Vec<Construct>,
    #[serde(default)]
    plasmids: Vec<Plasmid>,
    #[serde(default)]
    modules: Vec<String>,
}

impl Manifest {
    /// Reads and checks it.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub fn read(text: &str) -> Result<Self, PackageError> {
        if text.len() > MAX_MANIFEST_BYTES {
            let message = format!("it has {} bytes, at most {MAX_MANIFEST_BYTES} are read", text.len());
            return Err(PackageError::manifest(message));
        }
        let table: toml::Table = toml::from_str(text).map_err(Box::new)?;
        // Through the codec of commands: it bounds, and knows the nearest name of a field.
        let json = serde_json::to_vec(&table).map_err(|error| PackageError::manifest(error.to_string()))?;
        let limits = DecodeLimits { bytes: 4 * MAX_MANIFEST_BYTES, ..DecodeLimits::default() };
        let written: Written = codec::decode(Encoding::Json, &json, &limits).map_err(|error| {
            let error = ErrorBody::from(error);
            let nearest = error.details.nearest.first().cloned();
            PackageError::Manifest { message: error.message, nearest }
        })?;
        let manifest = Self {
            id: PackageId::new(&written.name, written.version)?,
            description: written.description,
            authors: written.authors,
            licence: written.licence,
            chassis: written.chassis.iter().map(|name| chassis(name)).collect::<Result<_, _>>()?,
            sources: written.sources,
            constructs: written.constructs,
            plasmids: written.plasmids,
            modules: written.modules,
        };
        if written.format != FORMAT {
            let message = format!("format is {}; this version reads {FORMAT}", written.format);
            return Err(PackageError::manifest(message));
        }
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), PackageError> {
        at_most("constructs", self.constructs.len(), MAX_CONSTRUCTS)?;
        at_most("plasmids", self.plasmids.len(), MAX_PACKAGE_PLASMIDS)?;
        at_most("modules", self.modules.len(), MAX_MODULES)?;
        at_most("authors", self.authors.len(), MAX_AUTHORS)?;
        at_most("sources", self.sources.len(), MAX_SOURCES)?;
        let texts = [&self.description, &self.licence].into_iter().chain(&self.authors);
        for text in texts.chain(self.sources.values()).chain(self.sources.keys()) {
            if text.trim().is_empty() || text.len() > MAX_TEXT_BYTES {
                let message = format!(
                    "description, licence, authors and sources are texts of 1 to {MAX_TEXT_BYTES} bytes"
                );
                return Err(PackageError::manifest(message));
            }
        }
        if self.constructs.is_empty() && self.plasmids.is_empty() && self.modules.is_empty() {
            return Err(PackageError::manifest("it holds nothing: add a construct, a plasmid or a module"));
        }
        names("construct", self.constructs.iter().map(|construct| &construct.name))?;
        names("plasmid", self.plasmids.iter().map(|plasmid| &plasmid.name))?;
        names("module", self.modules.iter())?;
        self.constructs.iter().try_for_each(|construct| self.check_construct(construct))?;
        self.plasmids.iter().try_for_each(|plasmid| self.check_plasmid(plasmid))
    }

    fn check_construct(&self, construct: &Construct) -> Result<(), PackageError> {
        let of = format!("construct {}", construct.name);
        within(&of, "length_aa", construct.length_aa, (1.0, MAX_LENGTH_AA))?;
        let most = (0.0, LARGEST_PACKAGE_LOAD_WP);
        within(&of, "transcription_per_min", construct.transcription_per_min, most)?;
        let known = || self.plasmids.iter().map(|plasmid| plasmid.name.as_str());
        if let Some(plasmid) = &construct.plasmid {
            known_as(&of, "plasmid", plasmid, known())?;
        }
        known_as(&of, "source", &construct.source, self.sources.keys().map(String::as_str))
    }

    fn check_plasmid(&self, plasmid: &Plasmid) -> Result<(), PackageError> {
        let of = format!("plasmid {}", plasmid.name);
        within(&of, "k0_per_min", plasmid.k0_per_min, (1e-6, 100.0))?;
        within(&of, "half_copies", plasmid.half_copies, (1e-6, 1e5))?;
        known_as(&of, "source", &plasmid.source, self.sources.keys().map(String::as_str))
    }
}

fn chassis(name: &str) -> Result<ChassisName, PackageError> {
    name.parse().map_err(|_| {
        let known = ChassisName::ALL.map(ChassisName::as_str);
        let message = format!("there is no chassis {name:?}; expected {}", known.join(", "));
        PackageError::Manifest { message, nearest: nearest(name, known) }
    })
}

fn at_most(what: &str, count: usize, most: usize) -> Result<(), PackageError> {
    if count <= most {
        return Ok(());
    }
    Err(PackageError::manifest(format!("{count} {what}; at most {most} fit a package")))
}

fn names<'a>(what: &str, names: impl Iterator<Item = &'a String>) -> Result<(), PackageError> {
    let mut known = Vec::new();
    for name in names {
        if !is_package_name(name) {
            return Err(PackageError::manifest(format!(
                "{what} {name:?}: expected a name of 1 to 63 of a-z 0-9 _ - starting with a letter or digit"
            )));
        }
        if known.contains(&name) {
            return Err(PackageError::manifest(format!("{what} {name} stands there twice")));
        }
        known.push(name);
    }
    Ok(())
}

fn within(of: &str, what: &str, value: f64, (low, high): (f64, f64)) -> Result<(), PackageError> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(PackageError::manifest(format!("{of}: {what} is {value}; expected a number from {low} to {high}")))
}

fn known_as<'a>(
    of: &str,
    what: &str,
    name: &str,
    known: impl Iterator<Item = &'a str>,
) -> Result<(), PackageError> {
    let known: Vec<&str> = known.collect();
    if known.contains(&name) {
        return Ok(());
    }
    let listed = if known.is_empty() { "none is listed".to_owned() } else { known.join(", ") };
    Err(PackageError::Manifest {
        message: format!(
            "{of}: there is no {what} {name:?} in package.toml; expected one of its own ({listed})"
        ),
        nearest: nearest(name, known),
    })
}
