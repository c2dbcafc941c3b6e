//! A package as bytes: a tar (POSIX ustar, not compressed) of plain files in the order package.toml, then modules by name,
//! without owners and times. The same package has the same bytes, and the digest is of these.
//!
//! It reads entry by entry in memory and unpacks nothing, so a path can lead nowhere; links, devices, sparse files and
//! extended headers are refused by their kind.

use std::collections::BTreeMap;
use std::io::Read as _;

use bioxen_protocol::digest::sha256_hex;
use bioxen_protocol::limits::PACKAGE_BYTES;
use bioxen_protocol::package::is_package_name;
use tar::{Archive, Builder, EntryType, Header};

use crate::{MAX_MANIFEST_BYTES, MAX_MODULE_BYTES, MAX_MODULES, Package, PackageError};

pub(crate) const MANIFEST: &str = "package.toml";
pub(crate) const MODULES: &str = "modules/";
pub(crate) const LUAU: &str = ".luau";

/// `sha256:` and the hexadecimal digits, of an archive's bytes.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", sha256_hex(bytes))
}

impl Package {
    /// The package as bytes.
    ///
    /// # Errors
    /// More than fits an archive.
    pub fn archive(&self) -> Result<Vec<u8>, PackageError> {
        let mut builder = Builder::new(Vec::new());
        add(&mut builder, MANIFEST, &self.manifest_text)?;
        for (name, source) in &self.modules {
            add(&mut builder, &format!("{MODULES}{name}{LUAU}"), source)?;
        }
        let bytes = builder.into_inner().map_err(PackageError::NotAnArchive)?;
        small_enough(&bytes)?;
        Ok(bytes)
    }

    /// The package that these bytes are.
    ///
    /// # Errors
    /// Bytes that are no such archive, hold what no package does, or a package that is wrong.
    pub fn open(bytes: &[u8]) -> Result<Self, PackageError> {
        small_enough(bytes)?;
        let mut manifest = None;
        let mut modules = BTreeMap::new();
        let mut archive = Archive::new(bytes);
        // Raw: extended headers come as entries of their own, and are refused.
        for entry in archive.entries().map_err(PackageError::NotAnArchive)?.raw(true) {
            let mut entry = entry.map_err(PackageError::NotAnArchive)?;
            let path = path_of(&entry.path_bytes())?;
            let refuse = |problem| PackageError::Entry { path: path.clone(), problem };
            if entry.header().entry_type() != EntryType::Regular {
                return Err(refuse("is no plain file"));
            }
            let module = module_of(&path);
            let most = match (&module, path == MANIFEST) {
                (_, true) => MAX_MANIFEST_BYTES,
                (Some(_), _) => MAX_MODULE_BYTES,
                (None, false) => return Err(refuse("has no place in a package")),
            };
            if entry.size() > most as u64 {
                return Err(refuse("is too long"));
            }
            let mut text = String::new();
            entry.read_to_string(&mut text).map_err(|_| refuse("is no UTF-8 text, or is cut off"))?;
            if text.len() as u64 != entry.size() {
                return Err(refuse("is cut off"));
            }
            let before = match module {
                Some(name) => modules.insert(name, text),
                None => manifest.replace(text),
            };
            if before.is_some() {
                return Err(refuse("stands there twice"));
            }
            if modules.len() > MAX_MODULES {
                return Err(refuse("is one module more than 32"));
            }
        }
        Self::new(manifest.ok_or(PackageError::NoManifest)?, modules)
    }
}

fn small_enough(bytes: &[u8]) -> Result<(), PackageError> {
    if bytes.len() <= PACKAGE_BYTES {
        return Ok(());
    }
    Err(PackageError::TooLarge { bytes: bytes.len(), most: PACKAGE_BYTES })
}

fn add(builder: &mut Builder<Vec<u8>>, path: &str, text: &str) -> Result<(), PackageError> {
    let mut header = Header::new_ustar();
    header.set_path(path).map_err(PackageError::NotAnArchive)?;
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_entry_type(EntryType::Regular);
    header.set_cksum();
    builder.append(&header, text.as_bytes()).map_err(PackageError::NotAnArchive)
}

fn path_of(bytes: &[u8]) -> Result<String, PackageError> {
    const SHOWN: usize = 100;
    String::from_utf8(bytes.to_vec()).map_err(|_| PackageError::Entry {
        path: String::from_utf8_lossy(bytes).chars().take(SHOWN).collect(),
        problem: "has a name that is no UTF-8",
    })
}

/// NAME of `modules/NAME.luau`.
pub(crate) fn module_of(path: &str) -> Option<String> {
    let name = path.strip_prefix(MODULES)?.strip_suffix(LUAU)?;
    is_package_name(name).then(|| name.to_owned())
}
