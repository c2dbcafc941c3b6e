//! The pool of `bioxen-guest` children, which run process code: started ahead, one job at a time each.
//!
//! ```text
//!   run(job) --bounded queue--> one thread a child --frames--> bioxen-guest
//!                                  |  answers in time: its outcome
//!                                  |  late: killed, outcome `wall`
//!                                  '  ended: outcome `killed`          a child lost is replaced at once
//! ```
//!
//! The pool runs no code itself and knows no VMs: who asks gives a checkpoint and takes one back, and decides whether
//! it still may commit. A job is never run twice.

mod packages;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bioxen_guest::child::{Child, Lost, StartError, is_as_new};
use bioxen_guest::{Confinement, Failure, FrameError, Job, Limits, Outcome, encode};
use tokio::sync::oneshot;

pub use self::packages::{Modules, ModulesError};
use crate::metrics::{GUEST_FUEL, GUEST_JOBS, GUESTS, GUESTS_LOST};

/// Names the program where it does not stand beside the worker's own.
pub const PROGRAM_VARIABLE: &str = "BIOXEN_GUEST";
const PROGRAM: &str = "bioxen-guest";
/// Jobs that may wait for each child: a few seconds' worth of short ones.
const WAITING_PER_CHILD: usize = 64;
/// Between two tries to start a child.
const RESTART_PAUSE: Duration = Duration::from_millis(200);

/// What a pool is made of.
#[derive(Debug, Clone)]
pub struct PoolSettings {
    /// The program `bioxen-guest`.
    pub program: PathBuf,
    /// How many children; at least one is started.
    pub children: usize,
    /// A folder of chassis packs, which each child reads before it is confined.
    pub packs: Option<PathBuf>,
}

impl PoolSettings {
    /// The program beside the worker's own, or the one that `BIOXEN_GUEST` names; a child a simulation thread.
    ///
    /// # Errors
    /// The worker's own path not being known.
    pub fn beside_worker(simulation_threads: usize) -> Result<Self, GuestError> {
        Ok(Self { program: program()?, children: simulation_threads, packs: None })
    }
}

/// Where `bioxen-guest` stands: beside this program, or where BIOXEN_GUEST says.
///
/// # Errors
/// The system does not say where this program is.
pub fn program() -> Result<PathBuf, GuestError> {
    match std::env::var_os(PROGRAM_VARIABLE) {
        Some(path) => Ok(PathBuf::from(path)),
        None => Ok(std::env::current_exe().map_err(GuestError::OwnPath)?.with_file_name(PROGRAM)),
    }
}

/// Why a pool did not start.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    #[error(
        "the program {program} runs process code and did not start: {source}; it belongs beside bioxen-worker, or \
         name it in BIOXEN_GUEST"
    )]
    Program { program: PathBuf, source: StartError },
    #[error("this program's own path is not known ({0}); name bioxen-guest in BIOXEN_GUEST")]
    OwnPath(#[source] std::io::Error),
    #[error("a thread of the guest pool did not start: {0}; raise the limit on threads of this account")]
    Thread(#[source] std::io::Error),
}

/// Why a job was not taken. It has not been run.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("{waiting} jobs of process code wait already, the most that this worker keeps; try again later")]
    Busy { waiting: usize },
    #[error("the job cannot be handed over: {0}")]
    Job(#[from] FrameError),
    #[error("the worker is ending and takes no more process code")]
    Ending,
}

/// The pool. Dropping it ends its children.
#[derive(Debug)]
pub struct GuestPool {
    queue: Option<SyncSender<Request>>,
    waiting_most: usize,
    ending: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    confinement: Confinement,
    modules: Modules,
}

#[derive(Debug)]
struct Request {
    id: u64,
    limits: Limits,
    frame: Vec<u8>,
    answer: oneshot::Sender<Outcome>,
}

impl GuestPool {
    /// Starts the children and waits until each has said that it is ready.
    ///
    /// # Errors
    /// The program missing, of another version, or not able to confine itself.
    pub fn start(settings: &PoolSettings) -> Result<Self, GuestError> {
        let children = settings.children.max(1);
        let waiting_most = children * WAITING_PER_CHILD;
        let (queue, requests) = sync_channel(waiting_most);
        let requests = Arc::new(Mutex::new(requests));
        let ending = Arc::new(AtomicBool::new(false));
        let (ready, started) = channel();
        let mut pool = Self {
            queue: Some(queue),
            waiting_most,
            ending,
            threads: Vec::new(),
            confinement: NONE,
            modules: Modules::default(),
        };
        for number in 0..children {
            let keeper = Keeper {
                program: settings.program.clone(),
                packs: settings.packs.clone(),
                requests: Arc::clone(&requests),
                ending: Arc::clone(&pool.ending),
            };
            let ready = ready.clone();
            let thread = std::thread::Builder::new()
                .name(format!("guest-{number}"))
                .spawn(move || match Child::start(&keeper.program, keeper.packs.as_deref(), &keeper.ending) {
                    Ok(child) => {
                        let _ = ready.send(Ok(child.confinement()));
                        drop(ready);
                        metrics::gauge!(GUESTS.name).increment(1.0);
                        keeper.keep(child);
                    }
                    Err(error) => drop(ready.send(Err(error))),
                })
                .map_err(GuestError::Thread)?;
            pool.threads.push(thread);
        }
        drop(ready);
        for child in started {
            pool.confinement =
                child.map_err(|source| GuestError::Program { program: settings.program.clone(), source })?;
        }
        if !pool.confinement.network_namespace {
            tracing::info!(
                "guests have no network namespace of their own here; their system calls are limited"
            );
        }
        Ok(pool)
    }

    /// Runs a job: waits for a free child and for its answer. Whatever becomes of the child, there is one outcome, at
    /// the latest a moment after the job's wall limit.
    ///
    /// # Errors
    /// A job that was not taken.
    pub async fn run(&self, job: &Job) -> Result<Outcome, Refused> {
        self.ask(job)?.await.map_err(|_| Refused::Ending)
    }

    /// As [`Self::run`], for a thread that may wait.
    ///
    /// # Errors
    /// A job that was not taken.
    pub fn run_blocking(&self, job: &Job) -> Result<Outcome, Refused> {
        self.ask(job)?.blocking_recv().map_err(|_| Refused::Ending)
    }

    fn ask(&self, job: &Job) -> Result<oneshot::Receiver<Outcome>, Refused> {
        let (answer, outcome) = oneshot::channel();
        let request = Request { id: job.id, limits: job.limits, frame: encode(job)?, answer };
        let queue = self.queue.as_ref().ok_or(Refused::Ending)?;
        queue.try_send(request).map_err(|refused| match refused {
            TrySendError::Full(_) => Refused::Busy { waiting: self.waiting_most },
            TrySendError::Disconnected(_) => Refused::Ending,
        })?;
        Ok(outcome)
    }

    /// Ends what runs, and takes nothing more: whoever waits is told so.
    pub fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// The modules of packages, for jobs.
    #[must_use]
    pub fn modules(&self) -> &Modules {
        &self.modules
    }

    /// How the children are shut off from this host.
    #[must_use]
    pub fn confinement(&self) -> Confinement {
        self.confinement
    }
}

impl Drop for GuestPool {
    fn drop(&mut self) {
        self.end();
        self.queue = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

const NONE: Confinement = Confinement { network_namespace: false, system_calls: false };

/// One thread: it starts its child, and the kernel ends the child with it.
struct Keeper {
    packs: Option<PathBuf>,
    program: PathBuf,
    requests: Arc<Mutex<Receiver<Request>>>,
    ending: Arc<AtomicBool>,
}

impl Keeper {
    fn keep(&self, first: Child) {
        let mut child = Some(first);
        while let Some(request) = self.next() {
            // Nobody waits for it any more, and it has not begun.
            if request.answer.is_closed() {
                continue;
            }
            let result = match child
                .take()
                .map_or_else(|| Child::start(&self.program, self.packs.as_deref(), &self.ending), Ok)
            {
                Ok(mut ready) => {
                    let outcome = ready.run(request.id, &request.limits, &request.frame, &self.ending);
                    child = outcome.as_ref().is_ok_and(is_as_new).then_some(ready);
                    outcome.unwrap_or_else(|lost| without_child(&request, lost))
                }
                Err(error) => without_child(&request, Lost::Ended(format!("it did not start: {error}"))),
            };
            count(&result);
            let _ = request.answer.send(result);
            if child.is_none() {
                metrics::counter!(GUESTS_LOST.name).increment(1);
                metrics::gauge!(GUESTS.name).decrement(1.0);
                child = self.replace();
            }
        }
    }

    fn next(&self) -> Option<Request> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
    }

    /// Another child ahead of the next job; where none starts, that job tries again.
    fn replace(&self) -> Option<Child> {
        match Child::start(&self.program, self.packs.as_deref(), &self.ending) {
            Ok(child) => {
                metrics::gauge!(GUESTS.name).increment(1.0);
                Some(child)
            }
            Err(error) => {
                tracing::warn!(%error, "a guest was lost and no other started");
                std::thread::sleep(RESTART_PAUSE);
                None
            }
        }
    }
}

fn count(outcome: &Outcome) {
    let ended = match &outcome.result {
        Ok(_) => "completed",
        Err(Failure::Fuel { .. }) => "fuel",
        Err(Failure::Memory { .. }) => "memory",
        Err(Failure::Wall { .. }) => "wall",
        Err(Failure::Advance { .. }) => "advance",
        Err(Failure::Result { .. }) => "result",
        Err(Failure::Killed { .. }) => "killed",
        Err(_) => "failed",
    };
    metrics::counter!(GUEST_JOBS.name, "outcome" => ended).increment(1);
    metrics::counter!(GUEST_FUEL.name).increment(outcome.spent.fuel);
}

fn without_child(request: &Request, lost: Lost) -> Outcome {
    let outcome = lost.outcome(request.id, &request.limits);
    if let Err(failure) = &outcome.result {
        tracing::warn!(job = request.id, %failure, "a guest was lost");
    }
    outcome
}
