//! (being built)

pub mod entry;
