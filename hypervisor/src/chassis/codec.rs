//! A chassis in a checkpoint: one of the program by its number, any other by name and digest, so that a cell never goes on
//! with another pack than it was made with.

use super::ChassisName;
use crate::checkpoint::{CheckpointError, Reader, Writer, content};

/// Stands before the name and the digest of a pack that is not the program's.
const IMPORTED: u8 = 255;

impl Writer {
    /// One of the program by its number, any other by its name and its pack's digest: both are short.
    pub(crate) fn chassis(&mut self, chassis: ChassisName) {
        let shipped = (0_u8..).zip(ChassisName::ALL).find(|(_, shipped)| *shipped == chassis);
        if let Some((code, _)) = shipped {
            return self.byte(code);
        }
        self.byte(IMPORTED);
        for text in [chassis.as_str(), chassis.digest().unwrap_or_default()] {
            let bytes = text.bytes().take(usize::from(u8::MAX));
            self.byte(u8::try_from(bytes.len()).unwrap_or(u8::MAX));
            bytes.for_each(|byte| self.byte(byte));
        }
    }
}

impl Reader<'_> {
    pub(crate) fn chassis(&mut self) -> Result<ChassisName, CheckpointError> {
        let code = self.byte()?;
        if code != IMPORTED {
            let shipped = ChassisName::ALL.get(usize::from(code)).copied();
            return shipped.ok_or_else(|| content("the chassis"));
        }
        let (name, digest) = (self.text()?, self.text()?);
        let known = name.parse::<ChassisName>().ok().filter(|known| known.digest() == Some(&digest));
        known.ok_or(CheckpointError::OtherPack { name, digest })
    }

    fn text(&mut self) -> Result<String, CheckpointError> {
        let length = self.byte()?;
        let bytes = (0..length).map(|_| self.byte()).collect::<Result<Vec<u8>, _>>()?;
        String::from_utf8(bytes).map_err(|_| content("the chassis"))
    }
}
