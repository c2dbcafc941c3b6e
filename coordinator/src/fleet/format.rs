//! The format of what is journaled, as a version: what a fleet may write is activated by an entry, once every live
//! coordinator reads it.
//!
//! Of the same major number a newer minor may add kinds of entries, and fields that an older program may leave out of
//! account. Of a newer major an older program reads nothing.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A version of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Format {
    pub major: u16,
    pub minor: u16,
}

impl Format {
    /// What a fleet writes before anything is activated.
    pub const FIRST: Self = Self { major: 1, minor: 0 };
    /// From here on a leader may say that it resigns.
    pub const WITH_RESIGN: Self = Self { major: 1, minor: 1 };
    /// From here on a VM at rest may change where it runs.
    pub const WITH_HOMES: Self = Self { major: 1, minor: 2 };
    /// From here on a VM may bring its pool along.
    pub const WITH_OWN_POOLS: Self = Self { major: 1, minor: 3 };
    /// The newest that this program knows.
    pub const NEWEST: Self = Self::WITH_OWN_POOLS;

    /// What may be activated where the others know at most these; none where that is nothing new.
    pub fn to_activate(active: Self, others: impl IntoIterator<Item = Self>) -> Option<Self> {
        let common = others.into_iter().fold(Self::NEWEST, Self::min);
        (common > active).then_some(common)
    }

    pub fn is_first(&self) -> bool {
        *self == Self::FIRST
    }
}

impl Default for Format {
    fn default() -> Self {
        Self::FIRST
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_every_coordinator_knows_is_activated() {
        let later = Format { major: 2, minor: 0 };
        assert_eq!(Format::to_activate(Format::FIRST, []), Some(Format::NEWEST));
        assert_eq!(Format::to_activate(Format::FIRST, [later, Format::NEWEST]), Some(Format::NEWEST));
        assert_eq!(Format::to_activate(Format::FIRST, [later, Format::FIRST]), None);
        assert_eq!(Format::to_activate(Format::NEWEST, [later]), None);
        assert_eq!(Format::to_activate(later, [later]), None, "a format was taken back");
    }
}
