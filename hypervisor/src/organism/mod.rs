//! A cell's genes, operons, plasmids and packages beside its core: what may be done to them, and how they stand.
//!
//! ```text
//!   OrganismAction --check (Names)--> act --> OrganismState --advance, a tick at a time--> readout
//!                                                  |  ^
//!              the core's heterologous load <------'  '------ the core's energy, ribosomes, growth
//! ```
//!
//! A cell on which nothing of this was touched carries none of it. It draws no random numbers: these are means.

pub(crate) mod action;
pub(crate) mod codec;
pub(crate) mod environment;
pub(crate) mod expression;
pub(crate) mod package;
pub(crate) mod readout;
pub(crate) mod state;
