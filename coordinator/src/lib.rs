//! (being built)
pub mod fleet;
pub mod journal;
pub mod ledger;
