//! One VM's guest, from before it is there until after it is gone: one task each, which does one thing after another.
//!
//! ```text
//!   work (a quantum, process code) --> guest up? --> asked over its channel --> committed
//!   wanted: Running <--> Paused, then one of Halted, Gone, LetGo ------------> the end
//! ```
//!
//! Wanted are levels: the last one counts. A guest is brought up by the first work; what it computes is committed by the
//! pool of cells, which looks at the lease. A guest that has gone while its VM runs is a failure of the VM, a channel that
//! broke is not: it is opened again, and the work, which changed nothing, is done again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bioxen_guest::agent::{QuantumOrder, Reply, Request, Work as GuestWork};
use bioxen_guest::quantum::{Assignment, Failure, Origin, Outcome};
use bioxen_guest::{Job, decode, encode};
use bioxen_protocol::id::{Generation, VmKey};
use tokio::sync::{mpsc, watch};

use super::super::cells::process::{ProcessEnded, ProcessWork};
use super::super::cells::shared::{Shared, Watch};
use super::handle::{Handle, Reached, Wanted, Work};
use super::host::Host;
use super::shown::Shown;
use crate::clock;
use crate::words::{REASON_BYTES_MOST, line};
use crate::xcpng::channel::Channel;
use crate::xcpng::fault::code;
use crate::xcpng::guests::{Guest, PowerState};
use crate::xcpng::{Deadline, XcpngError};

/// Beside what the work itself may take: the way there and back, and a machine that is busy.
const ANSWER: Duration = Duration::from_secs(30);
/// Work that a broken channel or a stalled guest swallowed is done again so often.
const ATTEMPTS_MOST: u32 = 3;
/// Pausing, shutting down, and what they wait for.
const POWER: Duration = Duration::from_secs(120);

/// One guest's task.
pub(super) struct Keeper {
    key: VmKey,
    generation: Generation,
    /// The pool and what is needed there, or why there is none.
    host: Result<Arc<Host>, String>,
    shared: Arc<Shared>,
    wanted: watch::Receiver<Wanted>,
    work: mpsc::UnboundedReceiver<Work>,
    reached: watch::Sender<Reached>,
    shown: Shown,
    guest: Option<Guest>,
    channel: Option<Channel>,
    asked: u64,
}

impl Keeper {
    /// Starts the task of a VM's guest, once the one before it has ended; nothing is done before there is work. Beside the
    /// pool stands what becomes of the guest when the VM is stopped.
    pub(super) fn start(
        key: VmKey,
        generation: Generation,
        (host, resting): (Result<Arc<Host>, String>, Wanted),
        shared: &Arc<Shared>,
        before: Option<Handle>,
        runtime: &tokio::runtime::Handle,
    ) -> Handle {
        let (wanted, wanted_seen) = watch::channel(Wanted::Running);
        let (work, work_taken) = mpsc::unbounded_channel();
        let (reached, reached_seen) = watch::channel(Reached::Coming);
        let shown = Shown::default();
        let pool = host.as_ref().map(Arc::downgrade).unwrap_or_default();
        let keeper = Self {
            key,
            generation,
            host,
            shared: Arc::clone(shared),
            wanted: wanted_seen,
            work: work_taken,
            reached,
            shown: shown.clone(),
            guest: None,
            channel: None,
            asked: 0,
        };
        let watched = Arc::clone(shared);
        runtime.spawn(async move {
            let _watch = Watch(&watched);
            if let Some(before) = before {
                before.ended().await;
            }
            keeper.run().await;
        });
        Handle { generation, host: pool, wanted, work, reached: reached_seen, shown, resting }
    }

    async fn run(mut self) {
        let end = loop {
            let (wanted, reached) = (*self.wanted.borrow_and_update(), *self.reached.borrow());
            match (wanted, reached) {
                (end, _) if end.is_end() => break end,
                (Wanted::Paused, Reached::Running) => self.pause().await,
                (Wanted::Running, Reached::Paused) => self.resume().await,
                _ => {}
            }
            tokio::select! {
                changed = self.wanted.changed() => {
                    if changed.is_err() {
                        break Wanted::LetGo;
                    }
                }
                work = self.work.recv() => match work {
                    Some(work) => self.serve(work).await,
                    None => break Wanted::LetGo,
                },
            }
        };
        self.end(end).await;
        // A VM that was destroyed while its guest was being shut down.
        if *self.wanted.borrow() == Wanted::Gone && end != Wanted::Gone {
            self.end(Wanted::Gone).await;
        }
        self.tell(Reached::Ended);
    }

    fn tell(&self, reached: Reached) {
        self.reached.send_replace(reached);
        self.shared.changed.notify_one();
    }

    /// Does the work and commits it, unless the guest's end is wanted first: its VM is not held any more then.
    async fn serve(&mut self, work: Work) {
        let mut wanted = self.wanted.clone();
        let ends = async move {
            // No sender any more is an end as well.
            let _ = wanted.wait_for(|wanted| wanted.is_end()).await;
        };
        let shared = Arc::clone(&self.shared);
        match work {
            Work::Quantum(number, assignment) => {
                let begun = Instant::now();
                let outcome = tokio::select! {
                    outcome = self.compute(*assignment) => outcome,
                    () = ends => return,
                };
                let used_ns = clock::nanoseconds(begun.elapsed());
                shared.change(|pool, now_ns| pool.commit(number, outcome, used_ns, now_ns));
            }
            Work::Process(number, work) => {
                let ended = tokio::select! {
                    ended = self.execute(*work) => ended,
                    () = ends => return,
                };
                shared.change(|pool, now_ns| pool.commit_process(number, ended, now_ns));
            }
        }
    }

    /// A quantum in the guest. What lets no time pass and needs no guest, such as stopping a paused cell, is done here.
    async fn compute(&mut self, assignment: Assignment) -> Result<Outcome, Failure> {
        let stands =
            matches!(&assignment.origin, Origin::Cell(cell) if cell.tick() >= assignment.target_tick);
        if stands && *self.reached.borrow() != Reached::Running {
            return assignment.run();
        }
        let work = GuestWork::Quantum(Box::new(QuantumOrder::of(&assignment)));
        let mut attempt = 1;
        loop {
            let asked = self.ask(work.clone(), assignment.time).await;
            let why = match asked.map(|(id, reply)| reply.into_quantum(id, &assignment)) {
                // A guest that is broken: its cell is not, for it is here.
                Ok(Err(Failure::Guest { reason })) => {
                    self.close().await;
                    line(&reason, REASON_BYTES_MOST)
                }
                Ok(outcome) => return outcome,
                // A quantum that got no answer has changed nothing.
                Err(error @ XcpngError::Ssh { .. }) if error.passes() => self.words(&error),
                Err(error) => return Err(Failure::Told { reason: self.words(&error) }),
            };
            if attempt == ATTEMPTS_MOST {
                return Err(Failure::Told { reason: why });
            }
            attempt += 1;
            tracing::info!(vm.id = %self.key, attempt, why, "the guest is asked again over another channel");
        }
    }

    /// Process code in the guest. It is never run twice: where its answer is lost, nothing was changed, and it failed.
    async fn execute(&mut self, work: ProcessWork) -> ProcessEnded {
        let begun = Instant::now();
        let outcome = match self.job_of(&work).await {
            Ok(job) => self.ask_job(job).await,
            Err(reason) => Err(reason),
        };
        work.end(begun, outcome)
    }

    async fn job_of(&self, work: &ProcessWork) -> Result<Job, String> {
        let host = self.host.clone()?;
        let packages = if work.needs_packages() {
            host.modules().fetch(&work.order.packages).await.map_err(|error| error.to_string())?
        } else {
            Vec::new()
        };
        Ok(work.job(packages))
    }

    async fn ask_job(&mut self, job: Job) -> Result<bioxen_guest::Outcome, String> {
        let (job_id, wall) = (job.id, Duration::from_millis(job.limits.wall_ms));
        match self.ask(GuestWork::Job(Box::new(job)), wall).await {
            Ok((id, reply)) => reply.into_job(id, job_id).map_err(|failure| failure.to_string()),
            Err(error) => Err(self.words(&error)),
        }
    }

    /// Asks once, and has the guest up before; its reply, and to which request.
    async fn ask(&mut self, what: GuestWork, takes: Duration) -> Result<(u64, Reply), XcpngError> {
        self.up().await?;
        let Some(channel) = &mut self.channel else { return Err(XcpngError::Closed) };
        self.asked += 1;
        let id = self.asked;
        let answer = match encode(&Request { id, what }) {
            Ok(frame) => channel.ask(&frame, Deadline::within(takes + ANSWER)).await,
            Err(error) => Err(channel.garbled(&error)),
        };
        let reply = answer.and_then(|body| decode(&body).map_err(|error| channel.garbled(&error)));
        if reply.is_err() {
            self.close().await;
        }
        Ok((id, reply?))
    }

    /// Has the guest running and answering.
    async fn up(&mut self) -> Result<(), XcpngError> {
        if self.channel.is_some() {
            return Ok(());
        }
        let host = self.host.clone().map_err(XcpngError::Refused)?;
        self.refuse_gone(&host).await?;
        let order = host.guests().order(&self.key, self.generation)?;
        let up = host.guests().bring_up(&order).await?;
        // Before it answers: also a guest that does not is to be ended.
        self.guest = Some(up.guest.clone());
        self.shown.is(&host, &up.guest, up.address);
        self.channel = Some(host.guests().channel(&up, host.program()).await?);
        self.tell(Reached::Running);
        Ok(())
    }

    /// A guest that was up and is off or gone was ended by somebody: its VM has failed.
    async fn refuse_gone(&self, host: &Host) -> Result<(), XcpngError> {
        let Some(guest) = &self.guest else { return Ok(()) };
        let state = |found: &str| XcpngError::State {
            guest: guest.shown(),
            found: found.to_owned(),
            expected: "running, as its VM is",
        };
        match host.guests().guest(&guest.reference, Deadline::within(POWER)).await {
            Err(error) if error.is(code::HANDLE_INVALID) => Err(state("gone from the pool")),
            Err(error) => Err(error),
            Ok(now) if now.power == PowerState::Halted => Err(state("Halted")),
            Ok(_) => Ok(()),
        }
    }

    async fn pause(&mut self) {
        self.close().await;
        if let Err(error) = self.power(PowerState::Paused).await {
            // Its cell stands still all the same.
            let error = self.words(&error);
            tracing::warn!(vm.id = %self.key, error, "the guest of a paused VM could not be paused");
        }
        self.tell(Reached::Paused);
    }

    /// The guest of a VM that runs again; where it does not come up, the next quantum says why.
    async fn resume(&mut self) {
        if let Err(error) = self.up().await {
            let error = self.words(&error);
            tracing::warn!(vm.id = %self.key, error, "the guest of a VM that goes on did not come up");
            self.tell(Reached::Running);
        }
    }

    async fn power(&self, wanted: PowerState) -> Result<(), XcpngError> {
        match (&self.host, &self.guest) {
            (Ok(host), Some(guest)) => host.guests().power(guest, wanted, Deadline::within(POWER)).await,
            _ => Ok(()),
        }
    }

    async fn close(&mut self) {
        if let Some(channel) = self.channel.take() {
            channel.close().await;
        }
    }

    async fn end(&mut self, wanted: Wanted) {
        self.close().await;
        let Ok(host) = self.host.clone() else { return };
        let done = match (wanted, &self.guest) {
            (Wanted::Halted, Some(guest)) => host.guests().shut_down(guest, Deadline::within(POWER)).await,
            (Wanted::Gone, _) => host.guests().destroy(&self.key, self.generation).await.map(|_| ()),
            _ => Ok(()),
        };
        if let Err(error) = done {
            let error = self.words(&error);
            tracing::warn!(vm.id = %self.key, error, "what is left of a guest is for the collection");
        }
    }

    fn words(&self, error: &XcpngError) -> String {
        let words = match &self.host {
            Ok(host) => format!("BX018: pool {}: {error}", host.name()),
            Err(why) => format!("BX018: {why}"),
        };
        line(&words, REASON_BYTES_MOST)
    }
}
