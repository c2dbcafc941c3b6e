//! Packs that are not the program's own. Each is made known once in a process, by its name and by a digest of its
//! texts, so that no cell goes on with other figures than it was made with. It reads no files.

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::ChassisName;
use super::pack::error::PackError;
use super::pack::{Pack, PackTexts};

/// Most packs of one process, and most bytes of a name.
const MAX_PACKS: usize = 64;
const MAX_NAME_BYTES: usize = 40;

static IMPORTED: Mutex<Vec<&'static ImportedPack>> = Mutex::new(Vec::new());

#[derive(Debug)]
struct ImportedPack {
    digest: String,
    pack: Pack,
}

/// A pack that was made known.
#[derive(Clone, Copy, Debug)]
pub struct Imported(&'static ImportedPack);

impl PartialEq for Imported {
    fn eq(&self, other: &Self) -> bool {
        self.0.digest == other.0.digest
    }
}

impl Eq for Imported {}

/// Why a pack is not made known.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ImportError {
    /// The pack itself does not fit.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// A name that cannot be one.
    #[error(
        "the name {0:?} cannot be a chassis'; expected 1 to 40 lower case letters, digits and _, a letter first"
    )]
    Name(String),
    /// A name that is taken by the program.
    #[error("the name {0:?} is that of a chassis of this program; give the pack another name in pack.toml")]
    Shipped(String),
    /// The same name with other content.
    #[error("two packs are called {0:?} and differ; give one of them another name in pack.toml")]
    Twice(String),
    /// Nothing to calibrate the model by.
    #[error("the pack {0:?} has no [calibration]; VMs need one")]
    NotCalibrated(String),
    /// More than one process takes.
    #[error("more than 64 packs; take some out of the folder")]
    TooMany,
}

impl Imported {
    pub(crate) fn name(self) -> &'static str {
        &self.0.pack.sheet.name
    }

    pub(crate) fn pack(self) -> &'static Pack {
        &self.0.pack
    }
}

impl ChassisName {
    /// Those of the program, and those that were imported in this process.
    pub fn known() -> Vec<Self> {
        let imported = IMPORTED.lock().unwrap_or_else(PoisonError::into_inner);
        let imported = imported.iter().map(|known| Self::Imported(Imported(known)));
        Self::ALL.into_iter().chain(imported).collect()
    }

    /// Makes the pack of these texts known in this process, under the name in its sheet, for good. The same texts
    /// again are the same chassis.
    ///
    /// # Errors
    /// See [`ImportError`].
    pub fn import(texts: PackTexts<'_>) -> Result<Self, ImportError> {
        let pack = Pack::parse(texts)?;
        let name = pack.sheet.name.clone();
        if name.len() > MAX_NAME_BYTES {
            return Err(ImportError::Name(name));
        }
        if Self::ALL.iter().any(|shipped| shipped.as_str() == name) {
            return Err(ImportError::Shipped(name));
        }
        if pack.sheet.calibration.is_none() {
            return Err(ImportError::NotCalibrated(name));
        }
        let digest = digest(texts);
        let mut imported = IMPORTED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = imported.iter().find(|known| known.pack.sheet.name == name) {
            let same = known.digest == digest;
            return if same { Ok(Self::Imported(Imported(known))) } else { Err(ImportError::Twice(name)) };
        }
        if imported.len() >= MAX_PACKS {
            return Err(ImportError::TooMany);
        }
        let known: &'static ImportedPack = Box::leak(Box::new(ImportedPack { digest, pack }));
        imported.push(known);
        Ok(Self::Imported(Imported(known)))
    }

    /// SHA-256 of its pack's texts, in hexadecimal; none for those of the program, which come with its version.
    #[must_use]
    pub fn digest(self) -> Option<&'static str> {
        match self {
            Self::Imported(Imported(known)) => Some(&known.digest),
            _ => None,
        }
    }

    /// The chassis of an imported pack, by name.
    pub(super) fn imported(name: &str) -> Option<Self> {
        let imported = IMPORTED.lock().unwrap_or_else(PoisonError::into_inner);
        let known = imported.iter().find(|known| known.pack.sheet.name == name);
        known.map(|known| Self::Imported(Imported(known)))
    }
}

/// Each text with its length before it, and whether it is there.
fn digest(texts: PackTexts<'_>) -> String {
    let mut hash = Sha256::new();
    for text in [Some(texts.sheet), texts.genes, texts.operons, texts.plasmids] {
        hash.update([u8::from(text.is_some())]);
        let text = text.unwrap_or_default();
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    hash.finalize().iter().fold(String::new(), |mut hex, byte| {
        // Writing to a text does not fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
