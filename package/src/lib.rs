//! Packages: a versioned archive of gene constructs, plasmids and Luau modules that a VM can be given.
//!
//! ```text
//!   folder --Package::from_folder--> Package --archive--> bytes --Package::open--> Package --for_chassis--> VmPackage
//!                                                           '---digest                 '---sources, for scripts
//! ```
//!
//! | file | job |
//! |---|---|
//! | `manifest` | `package.toml`: what it says, checked |
//! | `archive` | the bytes: a tar of plain files in a fixed order |
//! | `load` | what it costs a cell of a chassis |
//! | `folder` | a package as files of a person: read, or begun |
//!
//! Archives come from anybody: every byte is checked before it is believed, nothing is unpacked onto a disk, and what is
//! not known is refused. The crate knows no bus; only `folder` touches files.

mod archive;
mod error;
mod folder;
mod load;
mod manifest;

use std::collections::BTreeMap;

use bioxen_protocol::package::PackageId;

pub use archive::digest;
pub use error::PackageError;
pub use folder::begin;
pub use load::{install_action, per_min};
pub use manifest::{Construct, Manifest, Plasmid};

/// Modules of one package.
pub const MAX_MODULES: usize = 32;
/// Bytes of one module's source.
pub const MAX_MODULE_BYTES: usize = 64 * 1024;
/// Bytes of `package.toml`.
pub const MAX_MANIFEST_BYTES: usize = 48 * 1024;

/// A package whose parts fit each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Package {
    manifest: Manifest,
    /// As it was written, comments included.
    manifest_text: String,
    /// Sources, by name.
    modules: BTreeMap<String, String>,
}

impl Package {
    /// Puts a manifest and modules together.
    ///
    /// # Errors
    /// A manifest that is wrong; modules that it does not list, or lists and are not there.
    pub fn new(manifest_text: String, modules: BTreeMap<String, String>) -> Result<Self, PackageError> {
        let manifest = Manifest::read(&manifest_text)?;
        if let Some(name) = manifest.modules.iter().find(|name| !modules.contains_key(*name)) {
            return Err(PackageError::NoModule { name: name.clone() });
        }
        if let Some(name) = modules.keys().find(|name| !manifest.modules.contains(name)) {
            return Err(PackageError::UnlistedModule { name: name.clone() });
        }
        for (name, source) in &modules {
            let problem = match source.as_bytes() {
                bytes if bytes.len() > MAX_MODULE_BYTES => "is longer than 65,536 bytes: split it",
                // Compiled code begins with its version's number or ESC, and no source does.
                [first, ..] if *first < b'\t' || *first == 0x1b => "is no text but compiled: give its source",
                _ => continue,
            };
            return Err(PackageError::Module { name: name.clone(), problem });
        }
        Ok(Self { manifest, manifest_text, modules })
    }

    /// Name and version.
    #[must_use]
    pub fn id(&self) -> &PackageId {
        &self.manifest.id
    }

    /// What it says of itself.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Sources of its modules, by name.
    #[must_use]
    pub fn modules(&self) -> &BTreeMap<String, String> {
        &self.modules
    }
}
