//! The cell library of BioXen: models of growing cells, and cells that run them.
//!
//! ```text
//!   CellSpec --new--> Cell --advance_to(tick)--> Cell --metrics--> Metrics
//!                      ^  \--apply(change)                \--checkpoint--> bytes
//!                      \------------------------------------------restore--/
//! ```
//!
//! | module | job |
//! |---|---|
//! | `spec` | what a cell is to be, validated |
//! | `chassis`, `parameters` | figures of the kinds of cell; the symbols that may be set |
//! | `organism` | genes, operons and plasmids beside the core |
//! | `model` | equations, their linear algebra, calibration in closed form |
//! | `solver` | steps in time, steady states |
//! | `rng` | random numbers by key and position |
//! | `ssa` | networks of reactions, event by event |
//! | `ode`, `checkpoint` | the mean cell on the grid of simulated time; the same as bytes |
//! | `stochastic` | a single cell, reaction by reaction: grows, divides |
//! | `cell` | either of them, by one set of calls |
//! | `process` | what process code can do with a cell: plain calls, analyses, effects |
//! | `trace` | what a VM records, and the same as bytes |
//! | `metrics`, `simulate` | figures for people; one cell followed from the command line |
//!
//! Growth is integrated, never looked up. What the models say of a cell is a prediction, not a measurement; the fit
//! of the published core is itself moderate: R^2 .892 for the growth rate and .633 for the ribosomal mass fraction
//! against the 30 measured points that it was fitted to.
//!
//! A trajectory depends on the specification and on the changes applied at grid points, and on nothing else: the
//! same bits on any machine, however often the cell was paused, cloned, saved or moved. So there is no clock, no
//! thread, no entropy and no network here, and transcendental functions come from `maths` alone.

mod cell;
mod chassis;
mod checkpoint;
mod grid;
mod maths;
mod metrics;
mod model;
mod nearest;
mod ode;
mod organism;
mod parameters;
pub mod process;
pub mod rng;
pub mod simulate;
mod solver;
mod spec;
pub mod ssa;
mod stochastic;
pub mod trace;

pub use cell::{Cell, Progress, SimulationError, steady_state};
pub use chassis::ChassisName;
pub use chassis::imported::{ImportError, Imported};
pub use chassis::pack::error::PackError;
pub use chassis::pack::genbank::{Record, RecordError};
pub use chassis::pack::genes::{Class, Gene, GeneTable, Kind, Remainder, Strand};
pub use chassis::pack::import::{ImportedPack, import};
pub use chassis::pack::operons::{Cistron, FoldChange, Operon, OperonClass};
pub use chassis::pack::plasmids::Plasmid;
pub use chassis::pack::sheet::{Calibration, Figure, Genome, NamedFigure, Sheet};
pub use chassis::pack::table::TableError;
pub use chassis::pack::{PACK_FILES, Pack, PackTexts};
pub use checkpoint::CheckpointError;
pub use grid::{MAX_TICK, TICKS_PER_MINUTE, minutes_of, tick_at};
pub use metrics::{EcoliOrganism, Function, FunctionStatus, GrowthPhase, Metrics, MinimalOrganism, Organism};
pub use ode::OdeCell;
pub use organism::action::{OperonAction, OrganismAction, OrganismError};
pub use organism::package::{
    LARGEST_PACKAGE_LOAD_WP, MAX_PACKAGE_PLASMIDS, MAX_PACKAGES, PackageParts, PackagePlasmid,
};
pub use organism::readout::{
    CistronReadout, EssentialGenes, GeneReadout, OperonReadout, OrganismReadout, PackagePlasmidReadout,
    PackageReadout, PlasmidReadout,
};
pub use organism::state::Regulation;
pub use parameters::known_symbols;
pub use solver::rosenbrock::Tolerance;
pub use spec::{Allocation, CellSpec, Change, Engine, MAX_SCHEDULED_CHANGES, RibosomeCap, SpecError};
pub use stochastic::{GeneCounts, Lineage, StochasticCell};
