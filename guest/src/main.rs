//! `bioxen-guest`: computes cells for a worker, in one of two forms.
//!
//! ```text
//!   jobs    a child of a worker or an agent: confined, runs process code, one job at a time
//!   agent   a guest on a pool: computes what a worker asks, and has a child of the first form for process code
//! ```
//!
//! | module | job |
//! |---|---|
//! | `usage` | what was asked for |
//! | `jobs` | the first form; `confine` shuts the process off before anything else |
//! | `serve` | the second form |
//! | `run` | one job: from checkpoint to outcome |
//! | `session`, `meter` | the cell under a job's hands, and what the job has used |
//! | `plain`, `script` | the two forms of code |
//! | `cmath` | the C functions of arithmetic, the same on every processor |
//!
//! Either ends with whoever started it: when its input ends, and a child also when its parent dies. Neither keeps
//! anything from one job or request to the next.

mod cmath;
mod confine;
mod jobs;
mod meter;
mod plain;
mod recorder;
mod run;
mod script;
mod serve;
mod session;
mod usage;

use std::io::{self, Write};
use std::process::ExitCode;

use self::usage::{Mode, USAGE, Usage};

#[derive(Debug, thiserror::Error)]
enum GuestError {
    #[error(transparent)]
    Usage(#[from] Usage),
    #[error("{0}; it is started by a worker, which feeds it jobs")]
    Jobs(#[from] jobs::JobsError),
    #[error("{0}; it is started by a worker of the backend xcpng, which feeds it requests")]
    Serve(#[from] serve::ServeError),
    #[error("its words could not be printed: {0}")]
    Print(#[from] io::Error),
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody may read it; that is no reason to end otherwise.
            let _ = writeln!(io::stderr(), "bioxen-guest: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), GuestError> {
    match usage::mode(std::env::args_os().skip(1))? {
        Mode::Jobs { packs } => Ok(jobs::serve(packs.as_deref())?),
        Mode::Agent { packs } => Ok(serve::serve(packs)?),
        Mode::Help => Ok(io::stdout().write_all(USAGE.as_bytes())?),
        Mode::Version => Ok(writeln!(io::stdout(), "bioxen-guest {}", env!("CARGO_PKG_VERSION"))?),
    }
}
