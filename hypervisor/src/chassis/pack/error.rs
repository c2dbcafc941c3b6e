//! Why texts are not taken as a pack.

use std::fmt::Display;

use super::table::TableError;
use crate::spec::SpecError;

/// Why texts are not taken as a pack.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PackError {
    /// Not TOML, or not a pack's.
    #[error("pack.toml is not understood: {0}")]
    Toml(String),
    /// A table that does not fit.
    #[error("{file}, {source}")]
    Table {
        /// Which.
        file: &'static str,
        /// Where and why.
        source: TableError,
    },
    /// A figure without a source.
    #[error("{figure} has the source {source_key:?}, which [sources] does not have; expected one of {known}")]
    Source {
        /// The figure.
        figure: String,
        /// The key that it names.
        source_key: String,
        /// The keys there are.
        known: String,
    },
    /// Something that has to be there.
    #[error("{what} is missing; give it, {hint}")]
    Missing {
        /// What.
        what: &'static str,
        /// What else would do, or what it is for.
        hint: &'static str,
    },
    /// Something that does not fit the rest.
    #[error("{what} is {found}; expected {expected}")]
    Misfit {
        /// What.
        what: String,
        /// As given.
        found: String,
        /// What would fit.
        expected: String,
    },
    /// Figures that the model cannot be calibrated to.
    #[error("the model does not take these figures: {0}")]
    Model(#[from] SpecError),
}

impl PackError {
    pub(crate) fn misfit(what: impl Display, found: impl Display, expected: impl Display) -> Self {
        Self::Misfit { what: what.to_string(), found: found.to_string(), expected: expected.to_string() }
    }
}
