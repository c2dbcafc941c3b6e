//! One job: from its checkpoint to its outcome. It chooses the form of code and says why a job failed.

use std::rc::Rc;

use bioxen_guest::{Done, Failure, Job, Outcome, Spent, Value};
use bioxen_hypervisor::process::{ProcessError, call};
use bioxen_hypervisor::{Cell, OrganismError};

use crate::session::{Halt, Session};
use crate::{plain, script};

pub(crate) fn run(job: Job) -> Outcome {
    let session = match Cell::restore(&job.checkpoint) {
        Ok(cell) => Session::new(cell, &job).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match session {
        Ok(session) => {
            let session = Rc::new(session);
            let result = result_of(&session, &job);
            Outcome { id: job.id, spent: session.spent(), result }
        }
        Err(message) => {
            let failure = Failure::Cell { message };
            Outcome { id: job.id, spent: Spent::default(), result: Err(failure) }
        }
    }
}

fn result_of(session: &Rc<Session>, job: &Job) -> Result<Done, Failure> {
    let ran = if call::looks_like_call(&job.code) {
        plain::run(session, &job.code)
    } else {
        script::run(session, &job.code, &job.packages, seed(&job.checkpoint))
    };
    // A limit that was reached ends the job even where the script caught it.
    if let Some(stop) = session.meter.stop() {
        return Err(stop.failure(&session.limits));
    }
    let value = ran?;
    check_size(&value, job.limits.result_bytes)?;
    Ok(session.done(value, &job.checkpoint))
}

/// The failure that a halt is; `line` where a script stands.
pub(crate) fn failure_of(halt: Halt, session: &Session, line: Option<u32>) -> Failure {
    let message = halt.to_string();
    let error = match halt {
        Halt::Stop(stop) => return stop.failure(&session.limits),
        Halt::Misuse(message) => return Failure::Runtime { message, line },
        Halt::Process(error) => error,
    };
    match error {
        ProcessError::UnknownFunction { name, nearest } => Failure::UnknownFunction { name, nearest },
        ProcessError::Organism(OrganismError::Unknown { what, name, nearest, .. }) => {
            Failure::UnknownGene { message, what: what.to_owned(), name, nearest }
        }
        ProcessError::Unsupported { .. }
        | ProcessError::Organism(OrganismError::Unsupported { .. } | OrganismError::NotSimulated { .. }) => {
            Failure::Unsupported { message }
        }
        ProcessError::Argument { .. }
        | ProcessError::AboveReservation { .. }
        | ProcessError::Organism(_)
        | ProcessError::Spec(_) => Failure::BadArgument { message },
        ProcessError::Simulation(_) => Failure::Runtime { message, line },
    }
}

fn check_size(value: &Value, limit_bytes: u64) -> Result<(), Failure> {
    let bytes = value.encoded_bytes() as u64;
    if bytes <= limit_bytes {
        return Ok(());
    }
    Err(Failure::Result { reason: format!("it takes {bytes} bytes, more than the {limit_bytes} allowed") })
}

/// What a script's random numbers start from: the cell's state, so that the same script on the same checkpoint draws
/// the same. FNV-1a.
fn seed(checkpoint: &[u8]) -> u32 {
    checkpoint.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}
