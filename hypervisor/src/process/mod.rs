//! What process code can do with a cell: one plain call as people write it, the named analyses, and the effects that
//! plain calls and scripts share.
//!
//! ```text
//!   "start_transcription(['dnaA'])" --call--> name, literals --function--> Function --+--> analyses: a report
//!                                                                                     '--> effects: a Change
//! ```
//!
//! | module | job |
//! |---|---|
//! | `call` | the plain form: parses one call with literal arguments |
//! | `function` | which functions there are, and how each is called |
//! | `readout` | the figures of a state that analyses are made of |
//! | `analyses`, `replication`, `self_check` | computations on the state, one report each |
//! | `effects` | what a script may change, as a `Change` for the committed tick |
//!
//! It runs no scripts, keeps no budget and changes no cell by itself: an effect is a `Change` that the caller applies.

pub mod analyses;
pub mod call;
pub mod effects;
mod function;
mod readout;
pub mod replication;
pub mod self_check;

pub use crate::nearest::{NEAREST, nearest};
pub use function::Function;

use crate::chassis::ChassisName;
use crate::{OrganismError, SimulationError, SpecError};

/// Why a function of process code did not do what was asked. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ProcessError {
    /// No such function.
    #[error("there is no function {name:?}; the nearest are {}", nearest.join(", "))]
    UnknownFunction {
        /// As given.
        name: String,
        /// The nearest five, best first.
        nearest: Vec<String>,
    },
    /// The chassis has no such thing.
    #[error("{function} is not available for {chassis}: {reason}")]
    Unsupported {
        /// As called.
        function: &'static str,
        /// The cell's chassis.
        chassis: ChassisName,
        /// What is missing, and where it is not.
        reason: &'static str,
    },
    /// Arguments that the function does not take.
    #[error("{function}: {problem}; expected {usage}")]
    Argument {
        /// As called.
        function: &'static str,
        /// What is wrong.
        problem: String,
        /// How it is called.
        usage: &'static str,
    },
    /// More than the VM has reserved.
    #[error(
        "{function}: {asked} {what} are above the {reserved} that this VM has reserved; ask for less, or raise its allocation with the allocate command first"
    )]
    AboveReservation {
        /// As called.
        function: &'static str,
        /// Of what.
        what: &'static str,
        /// How much.
        asked: f64,
        /// How much is reserved.
        reserved: f64,
    },
    /// A name that the chassis' pack does not list, or what it does not have at all.
    #[error(transparent)]
    Organism(#[from] OrganismError),
    /// A value that the cell cannot take.
    #[error(transparent)]
    Spec(SpecError),
    /// The cell cannot go on.
    #[error(transparent)]
    Simulation(#[from] SimulationError),
}

impl From<SpecError> for ProcessError {
    fn from(error: SpecError) -> Self {
        match error {
            SpecError::Organism(error) => Self::Organism(error),
            other => Self::Spec(other),
        }
    }
}
