//! The form that runs process code: confine, say hello, then a job and its outcome, one after the other.

use std::io;
use std::path::Path;

use bioxen_guest::{FrameError, Hello, Job, read_frame, write_frame};

use crate::{confine, run};

#[derive(Debug, thiserror::Error)]
pub(crate) enum JobsError {
    #[error(transparent)]
    Confine(#[from] confine::ConfineError),
    #[error(transparent)]
    Packs(#[from] bioxen_packs::PacksError),
    #[error(transparent)]
    Frame(#[from] FrameError),
}

pub(crate) fn serve(packs: Option<&Path>) -> Result<(), JobsError> {
    // Afterwards no file can be opened.
    if let Some(packs) = packs {
        bioxen_packs::load(packs)?;
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
