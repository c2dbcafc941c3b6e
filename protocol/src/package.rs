//! Packages by name and version, and what of one travels to a VM. What an archive holds is the crate `bioxen-package`'s
//! business.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits::ID_CHARS;
use crate::text::as_text;

/// The object store of published packages, by [`PackageId`].
pub const PACKAGES_BUCKET: &str = "BIOXEN_PACKAGES";

/// A published package: `name@major.minor.patch`. Its bytes never change.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PackageId {
    name: String,
    version: Version,
}

/// Three numbers, ordered as such.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u32, u32, u32);

/// Why a text names no package.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("package {shown:?} is not valid: expected {expected}")]
pub struct InvalidPackageId {
    pub shown: String,
    pub expected: &'static str,
}

const ID: &str = "name@version, as in growth-analysis@1.0.0";
const NAME: &str = "a name of 1 to 63 of a-z 0-9 _ - starting with a letter or digit";
const VERSION: &str = "a version of three numbers, as in 1.0.0";

impl PackageId {
    /// # Errors
    /// A name that cannot be one.
    pub fn new(name: &str, version: Version) -> Result<Self, InvalidPackageId> {
        match is_package_name(name) {
            true => Ok(Self { name: name.to_owned(), version }),
            false => Err(refuse(name, NAME)),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn version(&self) -> Version {
        self.version
    }
}

/// Names of packages, and of what stands in them.
pub fn is_package_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut bytes = text.bytes();
    text.len() <= ID_CHARS
        && bytes.next().is_some_and(fits)
        && bytes.all(|byte| fits(byte) || byte == b'_' || byte == b'-')
}

fn refuse(text: &str, expected: &'static str) -> InvalidPackageId {
    InvalidPackageId { shown: crate::id::shorten(text), expected }
}

impl FromStr for PackageId {
    type Err = InvalidPackageId;
    fn from_str(text: &str) -> Result<Self, InvalidPackageId> {
        let (name, version) = text.split_once('@').ok_or_else(|| refuse(text, ID))?;
        Self::new(name, version.parse()?)
    }
}

impl FromStr for Version {
    type Err = InvalidPackageId;
    fn from_str(text: &str) -> Result<Self, InvalidPackageId> {
        let number = |part: &str| {
            let is_plain =
                part.bytes().all(|byte| byte.is_ascii_digit()) && (part.len() == 1 || !part.starts_with('0'));
            part.parse().ok().filter(|_| is_plain)
        };
        let parts: Option<Vec<u32>> = text.split('.').map(number).collect();
        match parts.as_deref() {
            Some([major, minor, patch]) => Ok(Self(*major, *minor, *patch)),
            _ => Err(refuse(text, VERSION)),
        }
    }
}

impl fmt::Display for PackageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl Ord for PackageId {
    fn cmp(&self, other: &Self) -> Ordering {
        (&self.name, self.version).cmp(&(&other.name, other.version))
    }
}

impl PartialOrd for PackageId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

as_text!(PackageId, ID);
as_text!(Version, VERSION);

/// What a package is to VMs of one chassis: all that the cell needs, and the digest by which its modules are found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VmPackage {
    pub package: PackageId,
    /// `sha256:` and 64 hexadecimal digits, of the archive's bytes.
    pub digest: String,
    /// What it costs in balance with the chassis' unlimited growth: heterologous transcription, millionths a minute.
    pub load_micro_per_min: u64,
    /// Of that what does not depend on copies of plasmids, millionths a minute.
    pub constant_micro_per_min: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plasmids: Vec<VmPlasmid>,
    /// Whether scripts find modules in it.
    pub has_modules: bool,
}

/// A plasmid of a package, as the cell library takes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VmPlasmid {
    pub name: String,
    pub k0_per_min: f64,
    pub half_copies: f64,
    /// Heterologous transcription, 1/min.
    pub wp_per_copy: f64,
}

impl VmPackage {
    /// Whether it changes the cell.
    pub fn has_load(&self) -> bool {
        self.constant_micro_per_min > 0 || !self.plasmids.is_empty()
    }
}

/// A package whose modules a script may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModulesOf {
    pub package: PackageId,
    pub digest: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_versions_are_what_they_are_shown_as_and_nothing_else_is_one() {
        for good in ["a@0.0.0", "growth-analysis@1.20.3", "0_x@4294967295.0.1"] {
            assert_eq!(good.parse::<PackageId>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "a",
            "a@1",
            "a@1.0",
            "a@1.0.0.0",
            "a@01.0.0",
            "a@1.0.0-rc",
            "a@+1.0.0",
            "A@1.0.0",
            "@1.0.0",
            "../a@1.0.0",
            "a/b@1.0.0",
            "a@@1.0.0",
            "-a@1.0.0",
            "a@4294967296.0.0",
            "é@1.0.0",
        ] {
            assert!(bad.parse::<PackageId>().is_err(), "{bad:?} was taken for a package");
        }
        let newer: PackageId = "a@1.10.0".parse().unwrap();
        assert!(newer > "a@1.9.9".parse().unwrap());
    }
}
