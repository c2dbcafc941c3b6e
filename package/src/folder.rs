//! A package as a person has it: a folder with package.toml and modules/. Only here files are touched.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::archive::{LUAU, MANIFEST, MODULES, module_of};
use crate::{MAX_MODULES, Package, PackageError};

const FIRST_MODULE: &str = include_str!("first_module.luau");

impl Package {
    /// The package in a folder. What else lies beside package.toml is left out; of modules/ every file counts.
    ///
    /// # Errors
    /// Files that cannot be read or have no place there; a package that is wrong.
    pub fn from_folder(folder: &Path) -> Result<Self, PackageError> {
        let manifest = folder.join(MANIFEST);
        if !manifest.is_file() {
            return Err(PackageError::NoManifest);
        }
        let text = read(&manifest)?;
        let mut modules = BTreeMap::new();
        let inside = folder.join(MODULES);
        if inside.is_dir() {
            let unread = |source| PackageError::File { path: inside.display().to_string(), source };
            for file in fs::read_dir(&inside).map_err(unread)?.take(MAX_MODULES + 1) {
                let path = file.map_err(unread)?.path();
                let name =
                    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                let name =
                    module_of(&format!("{MODULES}{name}")).filter(|_| path.is_file()).ok_or_else(|| {
                        let problem = "is no file NAME.luau";
                        PackageError::Entry { path: path.display().to_string(), problem }
                    })?;
                modules.insert(name, read(&path)?);
            }
        }
        Self::new(text, modules)
    }
}

/// Begins a package named as the folder: a manifest and a module to start from.
///
/// # Errors
/// A folder whose name is none for a package or that holds one already; files that cannot be written.
pub fn begin(folder: &Path) -> Result<Package, PackageError> {
    let there = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let name = there.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let text = first_manifest(&name);
    let package =
        Package::new(text.clone(), BTreeMap::from([("example".to_owned(), FIRST_MODULE.to_owned())]))?;
    let manifest = folder.join(MANIFEST);
    if manifest.exists() {
        return Err(PackageError::Exists(manifest.display().to_string()));
    }
    let module = folder.join(format!("{MODULES}example{LUAU}"));
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |source| PackageError::Write { path, source }
    };
    let modules = folder.join(MODULES);
    fs::create_dir_all(&modules).map_err(failed(&modules))?;
    fs::write(&manifest, text).map_err(failed(&manifest))?;
    fs::write(&module, FIRST_MODULE).map_err(failed(&module))?;
    Ok(package)
}

fn read(path: &Path) -> Result<String, PackageError> {
    fs::read_to_string(path).map_err(|source| PackageError::File { path: path.display().to_string(), source })
}

fn first_manifest(name: &str) -> String {
    format!(
        r#"format = 1
name = "{name}"
version = "0.1.0"
description = "What it is for, in a sentence."
authors = ["Your name"]
licence = "Apache-2.0"
# The chassis that it fits; without the line all of them.
# chassis = ["ecoli"]
modules = ["example"]

# Genes that the cell expresses beside its own. Every figure has a source.
# [[constructs]]
# name = "gfp"
# length_aa = 238
# transcription_per_min = 1.0
# source = "prasher1992"

# [sources]
# prasher1992 = "Prasher DC et al. Gene 1992;111:229-233."
"#
    )
}
