//! Chassis packs from a folder, made known to the cell library when a program starts. It reads files and decides nothing.
//!
//! ```text
//!   DIR/my_cell/pack.toml, genes.tsv, ..  --load--> ChassisName::import
//! ```

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use bioxen_hypervisor::{ChassisName, ImportError, PACK_FILES, PackTexts};

/// Why packs are not taken.
#[derive(Debug, thiserror::Error)]
pub enum PacksError {
    /// The folder or a file of it.
    #[error("{path} cannot be read: {source}; name a folder with a subfolder for each pack")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A pack that does not fit.
    #[error("the pack in {path}: {source}; `bioxen chassis validate` says the same of a pack by itself")]
    Pack {
        /// Its folder.
        path: PathBuf,
        /// Why.
        source: Box<ImportError>,
    },
}

/// Makes every pack known that stands in a subfolder of `dir` with a `pack.toml`, in the order of their names; name and
/// digest of each.
///
/// # Errors
/// The first file that cannot be read or pack that does not fit; those before it are known then.
pub fn load(dir: &Path) -> Result<BTreeMap<String, String>, PacksError> {
    let unread = |path: &Path| {
        let path = path.to_owned();
        move |source| PacksError::Read { path, source }
    };
    let mut folders = std::fs::read_dir(dir)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>())
        .map_err(unread(dir))?;
    folders.retain(|folder| folder.join(PACK_FILES[0]).is_file());
    folders.sort();
    let mut known = BTreeMap::new();
    for folder in folders {
        let [sheet, genes, operons, plasmids] = texts(&folder)?;
        let texts = PackTexts {
            sheet: sheet.as_deref().unwrap_or_default(),
            genes: genes.as_deref(),
            operons: operons.as_deref(),
            plasmids: plasmids.as_deref(),
        };
        let chassis = ChassisName::import(texts)
            .map_err(|error| PacksError::Pack { path: folder.clone(), source: Box::new(error) })?;
        known.insert(chassis.as_str().to_owned(), chassis.digest().unwrap_or_default().to_owned());
    }
    Ok(known)
}

/// The texts of a pack's files; none for one that is not there.
fn texts(folder: &Path) -> Result<[Option<String>; 4], PacksError> {
    let mut texts = [const { None }; 4];
    for (text, name) in texts.iter_mut().zip(PACK_FILES) {
        let path = folder.join(name);
        *text = match std::fs::read_to_string(&path) {
            Ok(read) => Some(read),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(PacksError::Read { path, source }),
        };
    }
    Ok(texts)
}
