//! (being built)

use serde::{Deserialize, Serialize};

/// A fact that happened.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub enum Entry {
    Tick,
    Note(String),
}
