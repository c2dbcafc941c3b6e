//! The form that is a whole guest: computes the quanta that a worker asks for, and has process code run by a child.
//!
//! ```text
//!   a thread: reads requests, notices the end of the input --> the main thread: a quantum here, a job in the child, a reply
//! ```
//!
//! Quanta hold no code of users and need no confinement. The child is started ahead; where it is lost, another takes its
//! place behind the reply. It keeps no cell: what is lost with it is one reply, which the worker asks for again elsewhere.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

use bioxen_guest::agent::{Answer, Hello, Reply, Request, Work};
use bioxen_guest::child::{Child, Lost, StartError, is_as_new};
use bioxen_guest::{FrameError, Job, Outcome, encode, read_frame, write_frame};

#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error("this program's own path is not known: {0}")]
    OwnPath(#[source] io::Error),
    #[error(transparent)]
    Packs(#[from] bioxen_packs::PacksError),
    #[error("the child that runs process code did not start: {0}")]
    Child(#[from] StartError),
    #[error("the thread that reads requests did not start: {0}")]
    Thread(#[source] io::Error),
    #[error(transparent)]
    Frame(#[from] FrameError),
}

pub(crate) fn serve(packs: Option<PathBuf>) -> Result<(), ServeError> {
    if let Some(packs) = &packs {
        bioxen_packs::load(packs)?;
    }
    let program = std::env::current_exe().map_err(ServeError::OwnPath)?;
    let ending = Arc::new(AtomicBool::new(false));
    let mut jobs = Jobs { program, packs, ending: Arc::clone(&ending), child: None };
    jobs.child = Some(jobs.start()?);
    // One request is under way at a time; a worker that does not wait is not read on.
    let (sender, requests) = sync_channel(1);
    std::thread::Builder::new()
        .name("requests".to_owned())
        .spawn(move || read(&ending, &sender))
        .map_err(ServeError::Thread)?;
    let mut output = io::stdout().lock();
    write_frame(&mut output, &Hello::ours())?;
    while let Ok(request) = requests.recv() {
        let Request { id, what } = request?;
        let what = match what {
            Work::Quantum(order) => match order.run() {
                Ok(outcome) => Ok(Answer::Quantum(Box::new(outcome))),
                Err(failure) => Err(failure.to_string()),
            },
            Work::Job(job) => Ok(Answer::Job(Box::new(jobs.run(&job)))),
        };
        reply(&mut output, Reply { id, what })?;
        jobs.start_ahead();
    }
    Ok(())
}

/// Reads requests until the input ends; what runs in the child ends with it then, for nobody waits for that any more.
fn read(ending: &AtomicBool, requests: &SyncSender<Result<Request, FrameError>>) {
    let mut input = io::stdin().lock();
    loop {
        let request = read_frame::<Request>(&mut input).transpose();
        let goes_on = matches!(request, Some(Ok(_)));
        if !goes_on {
            ending.store(true, Ordering::Relaxed);
        }
        let Some(request) = request else { return };
        if requests.send(request).is_err() || !goes_on {
            return;
        }
    }
}

/// A reply that is too long for a frame becomes one that says so.
fn reply(output: &mut impl io::Write, reply: Reply) -> Result<(), FrameError> {
    match write_frame(output, &reply) {
        Err(error @ FrameError::TooLong { .. }) => {
            write_frame(output, &Reply { id: reply.id, what: Err(error.to_string()) })
        }
        written => written,
    }
}

/// The child that runs process code.
struct Jobs {
    program: PathBuf,
    packs: Option<PathBuf>,
    ending: Arc<AtomicBool>,
    child: Option<Child>,
}

impl Jobs {
    fn start(&self) -> Result<Child, StartError> {
        Child::start(&self.program, self.packs.as_deref(), &self.ending)
    }

    /// Runs a job, once; there is an outcome whatever becomes of the child.
    fn run(&mut self, job: &Job) -> Outcome {
        let lost = |how: String| Lost::Ended(how).outcome(job.id, &job.limits);
        let frame = match encode(job) {
            Ok(frame) => frame,
            Err(error) => return lost(error.to_string()),
        };
        let mut child = match self.child.take().map_or_else(|| self.start(), Ok) {
            Ok(child) => child,
            Err(error) => return lost(format!("it did not start: {error}")),
        };
        match child.run(job.id, &job.limits, &frame, &self.ending) {
            Ok(outcome) => {
                self.child = is_as_new(&outcome).then_some(child);
                outcome
            }
            Err(lost) => lost.outcome(job.id, &job.limits),
        }
    }

    /// Another child ahead of the next job, where there is none; where it does not start, that job says why.
    fn start_ahead(&mut self) {
        if self.child.is_none() {
            self.child = self.start().ok();
        }
    }
}
