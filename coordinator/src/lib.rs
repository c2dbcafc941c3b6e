//! (being built)
pub mod fleet;
