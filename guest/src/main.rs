//! `bioxen-guest`: takes jobs from a worker and runs their process code, one at a time.
//!
//! ```text
//!   confine --> say hello --> read a job --> plain call | script, on a Session --> write its outcome --.
//!                                 ^                                                                      |
//!                                 '----------------------------------------------------------------------'
//! ```
//!
//! | module | job |
//! |---|---|
//! | `confine` | shuts the process off, before anything else |
//! | `run` | one job: from checkpoint to outcome |
//! | `session`, `meter` | the cell under a job's hands, and what the job has used |
//! | `plain`, `script` | the two forms of code |
//! | `cmath` | the C functions of arithmetic, the same on every processor |
//!
//! It ends with its worker: when its input ends, or when its parent dies. It keeps nothing from job to job.

mod cmath;
mod confine;
mod meter;
mod plain;
mod recorder;
mod run;
mod script;
mod session;

use std::io::{self, Write};
use std::process::ExitCode;

use bioxen_guest::{FrameError, Hello, Job, read_frame, write_frame};

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody may read it; that is no reason to end otherwise.
            let _ = writeln!(
                io::stderr(),
                "bioxen-guest: {error}; it is started by a worker, which feeds it jobs"
            );
            ExitCode::FAILURE
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum GuestError {
    #[error(transparent)]
    Confine(#[from] confine::ConfineError),
    #[error(transparent)]
    Packs(#[from] bioxen_packs::PacksError),
    #[error(transparent)]
    Frame(#[from] FrameError),
}

fn serve() -> Result<(), GuestError> {
    // A folder of chassis packs: afterwards no file can be opened.
    if let Some(packs) = std::env::args_os().nth(1) {
        bioxen_packs::load(packs.as_ref())?;
    }
    let confinement = confine::confine()?;
    // Unlocked and unbuffered handles would do as well; locking once keeps reads in order.
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    let version = env!("CARGO_PKG_VERSION").to_owned();
    write_frame(&mut output, &Hello { version, confinement })?;
    while let Some(job) = read_frame::<Job>(&mut input)? {
        confine::bound_job(&job.limits)?;
        write_frame(&mut output, &run::run(job))?;
    }
    Ok(())
}
