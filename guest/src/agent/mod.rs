//! What a worker and `bioxen-guest agent`, in a guest of its own, say to each other.
//!
//! ```text
//!   worker <--frame(Hello)--                        once
//!   worker --frame(Request)--> agent --frame(Reply)--> worker      one at a time, strictly
//! ```
//!
//! The agent keeps nothing from one request to the next: a cell comes with each and goes back with each reply, and it is
//! the worker that commits it, or does not. So a request may be repeated, elsewhere too, and a guest may be lost at any
//! moment. What a reply says is checked before it is an outcome. Nothing is computed here.

mod order;
mod outcome;

use serde::{Deserialize, Serialize};

pub use self::order::{Begin, QuantumOrder};
pub use self::outcome::{QuantumOutcome, RecordedRows};
use crate::quantum::{self, Assignment};
use crate::{Job, Outcome};

/// What an agent says first: that it is ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Its version; a worker takes its own only.
    pub version: String,
}

impl Hello {
    /// This program's.
    #[must_use]
    pub fn ours() -> Self {
        Self { version: env!("CARGO_PKG_VERSION").to_owned() }
    }
}

/// Something to compute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The asker's; the reply repeats it.
    pub id: u64,
    /// What.
    pub what: Work,
}

/// What an agent computes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// A stretch of a cell's time.
    Quantum(Box<QuantumOrder>),
    /// Process code on a cell.
    Job(Box<Job>),
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The request's.
    pub id: u64,
    /// What it came to, or in words why it came to nothing.
    pub what: Result<Answer, String>,
}

/// What a request came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Of a quantum.
    Quantum(Box<QuantumOutcome>),
    /// Of a job, one that failed included.
    Job(Box<Outcome>),
}

impl Reply {
    /// As the outcome of `assignment`, which was sent under `id`.
    ///
    /// # Errors
    /// [`quantum::Failure::Told`] where the agent says that the cell cannot go on, [`quantum::Failure::Guest`] where the
    /// reply is not one to this.
    pub fn into_quantum(
        self,
        id: u64,
        assignment: &Assignment,
    ) -> Result<quantum::Outcome, quantum::Failure> {
        if self.id != id {
            return Err(guest(format!("it replied to request {} instead of {id}", self.id)));
        }
        match self.what {
            Ok(Answer::Quantum(outcome)) => outcome.into_outcome(assignment),
            Ok(Answer::Job(_)) => Err(guest("a job's outcome was given for a quantum")),
            Err(reason) => Err(quantum::Failure::Told { reason }),
        }
    }

    /// As the outcome of the job `job_id`, which was sent under `id`.
    ///
    /// # Errors
    /// [`quantum::Failure::Guest`] where the reply is not one to this.
    pub fn into_job(self, id: u64, job_id: u64) -> Result<Outcome, quantum::Failure> {
        if self.id != id {
            return Err(guest(format!("it replied to request {} instead of {id}", self.id)));
        }
        match self.what {
            Ok(Answer::Job(outcome)) if outcome.id == job_id => Ok(*outcome),
            Ok(Answer::Job(outcome)) => Err(guest(format!("it ran job {} instead of {job_id}", outcome.id))),
            Ok(Answer::Quantum(_)) => Err(guest("a quantum's outcome was given for a job")),
            Err(reason) => Err(guest(reason)),
        }
    }
}

fn guest(reason: impl Into<String>) -> quantum::Failure {
    quantum::Failure::Guest { reason: reason.into() }
}
