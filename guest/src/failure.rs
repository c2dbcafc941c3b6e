//! Why a job failed: a kind to act on, and a sentence that says what happened, what was expected, what to do.

use serde::{Deserialize, Serialize};

/// Why a job failed. The cell is as it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// A plain call that cannot be read.
    #[error("{message}")]
    BadCall {
        /// What is wrong and what was expected.
        message: String,
        /// Where, in characters from 1.
        column: u64,
    },
    /// A function that takes other arguments, or refuses these.
    #[error("{message}")]
    BadArgument {
        /// What is wrong and what was expected.
        message: String,
    },
    /// No such function.
    #[error("there is no function {name:?}; the nearest are {}", nearest.join(", "))]
    UnknownFunction {
        /// As given.
        name: String,
        /// The nearest five, best first.
        nearest: Vec<String>,
    },
    /// No such gene or operon.
    #[error("{message}")]
    UnknownGene {
        /// What is wrong.
        message: String,
        /// "gene" or "operon".
        what: String,
        /// As given.
        name: String,
        /// The nearest five, best first.
        nearest: Vec<String>,
    },
    /// What this chassis does not have.
    #[error("{message}")]
    Unsupported {
        /// What is missing.
        message: String,
    },
    /// A script that does not compile, or ends in an error.
    #[error("{message}")]
    Runtime {
        /// The script's message.
        message: String,
        /// The line of the script, where it is known.
        line: Option<u32>,
    },
    /// The fuel is used up.
    #[error("the code used up its fuel of {limit} units of work; do less in one call")]
    Fuel {
        /// The limit.
        limit: u64,
    },
    /// The heap is full.
    #[error("the code needs more than its {limit_kb} KiB of memory; keep less, or raise the VM's memory_kb")]
    Memory {
        /// The limit.
        limit_kb: u64,
    },
    /// The time is over.
    #[error("the code did not end within {limit_ms} ms; do less in one call, or raise timeout_ms")]
    Wall {
        /// The limit.
        limit_ms: u64,
    },
    /// More simulated time than allowed.
    #[error(
        "the code asked for more than the {limit_minutes} simulated minutes that it may let pass; advance less in one call"
    )]
    Advance {
        /// The limit.
        limit_minutes: f64,
    },
    /// The process that ran it ended.
    #[error(
        "the process that ran the code ended ({how}); the cell is as it was: try again, and tell an operator if it comes back"
    )]
    Killed {
        /// How.
        how: String,
    },
    /// A result that is too large, too deep, or no data.
    #[error(
        "the result cannot be taken: {reason}; return less, and only numbers, texts, booleans and tables"
    )]
    Result {
        /// What is wrong.
        reason: String,
    },
    /// More was recorded or changed than one job may.
    #[error("{message}")]
    TooMany {
        /// Of what, and the limit.
        message: String,
    },
    /// The job itself: a checkpoint that is none.
    #[error("the cell could not be read: {message}")]
    Cell {
        /// Why.
        message: String,
    },
}
