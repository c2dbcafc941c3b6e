//! Chassis packs: what is known of an organism, as data with a citation for each figure. It reads texts that it is
//! given, and touches no file.

pub(crate) mod genes;
pub(crate) mod table;
