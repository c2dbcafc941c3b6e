//! The driver: the one task that owns the fleet.
//!
//! ```text
//!   lanes --take--> decide, evolve --> Filling --seal--> Sealed --append (one in flight)--> acknowledged
//!                                        |                                                     |
//!                 a batch of reads alone needs no append; it is released with the one before   |
//!                                                                                              v
//!                         ledger (committer), projector, outbox (replies, workers), waiters <--
//! ```
//!
//! While one append is in flight, the next batch is decided on the state so reached. That is safe because nothing leaves
//! before its own batch's acknowledgement, and a leader that loses the journal drops everything and follows.

mod batch;
mod changes;
mod checkpoints;
mod counted;
mod end;
mod movement;
mod processes;
mod readings;
mod refusals;
mod reports;
mod seal;
mod silence;
pub(crate) mod stats;
mod waiting;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_nats::Client;
use bioxen_protocol::id::UserId;
use bioxen_protocol::limits::{LEASE, TICK};
use bioxen_telemetry::Health;
use tokio::sync::{mpsc, oneshot, watch};

use crate::answer::outbox::Outgoing;
use crate::connection::Connection;
use crate::feed::Feed;
use crate::fleet::Fleet;
use crate::fleet::entry::Entry;
use crate::fleet::format::Format;
use crate::intake::{Lanes, Report};
use crate::journal::{AppendError, Batch, Journal, JournalBatch, Position};
use crate::leases::Leases;
use crate::ledger::{self, LedgerError};
use crate::projector::Progress;
use crate::snapshot::keeper::Keeper;
use batch::{Filling, Sealed};
use counted::PlacedAgain;
use refusals::Refusals;
use stats::Stats;
use waiting::{Waiter, Waiting};

/// The ledger may lag by this much before admission waits.
const LEDGER_LAG: Duration = Duration::from_secs(1);
/// A driver that did not tick for longer was held up, and judges no lease by that time.
const LONGEST_AWAY: Duration = Duration::from_secs(1);
/// Alerts raised with one batch; the rest with the next.
const ALERTS_AT_ONCE: usize = 64;
/// Commands taken in one go before the append's acknowledgement is looked at again.
const TAKEN_AT_ONCE: usize = 256;

/// Why the driver ended.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    #[error("this coordinator no longer leads, or its journal changed behind its back: {0}")]
    Journal(#[from] AppendError),
    #[error("the ledger failed and nothing more may be accepted: {0}")]
    Ledger(#[from] LedgerError),
    #[error("a batch cannot be written: {0}")]
    Batch(#[from] crate::journal::BatchError),
    #[error("{0}")]
    Rows(#[from] crate::rows::RowsError),
    #[error("the projector of events and audit ended: {0}")]
    Projector(String),
}

/// Everything that the driver needs; made by `run`.
pub(crate) struct Driver {
    pub(crate) client: Client,
    pub(crate) connection: Connection,
    pub(crate) journal: Journal,
    pub(crate) fleet: Fleet,
    pub(crate) fleet_id: String,
    pub(crate) position: Position,
    pub(crate) feed: Feed,
    pub(crate) ledger_fatal: oneshot::Receiver<LedgerError>,
    pub(crate) projector: mpsc::Sender<Arc<JournalBatch>>,
    pub(crate) progress: watch::Receiver<Progress>,
    /// Takes snapshots beside.
    pub(crate) keeper: Keeper,
    pub(crate) outbox: mpsc::UnboundedSender<Vec<Outgoing>>,
    pub(crate) lanes: Lanes,
    /// Formats that every live coordinator knows.
    pub(crate) formats: mpsc::Receiver<Format>,
    /// How far the submit stream was decided on.
    pub(crate) decided: watch::Sender<u64>,
    pub(crate) stats: Stats,
    pub(crate) health: Health,
}

/// The driver's own state beside the fleet.
struct State {
    filling: Filling,
    /// What the append in flight will release.
    in_flight: Option<Sealed>,
    waiting: Waiting,
    leases: Leases,
    refusals: Refusals,
    rates: BTreeMap<UserId, (u64, u64)>,
    processes: processes::Processes,
    checkpoints: checkpoints::Checkpoints,
    /// Reports that came while the batch was full.
    put_off: VecDeque<Report>,
    ticked: Instant,
    sent: Instant,
    last_append: Instant,
    /// The connection that the last append was sent on, by when it came to stand.
    appended_on: Option<Instant>,
    epoch: u64,
    /// When this one began to lead.
    began: Instant,
    /// The next batch ends with `Resign`, and nothing follows it.
    resigns: bool,
}

type Append = std::pin::Pin<Box<dyn Future<Output = Result<u64, AppendError>> + Send>>;

impl Driver {
    /// Leads from the acknowledgement of its own `Leader` entry until told to stop, or until it may not lead any more.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<(), DriverError> {
        let now = Instant::now();
        let mut state = State {
            filling: Filling::default(),
            in_flight: None,
            waiting: Waiting::default(),
            leases: Leases::default(),
            refusals: Refusals::default(),
            rates: BTreeMap::new(),
            processes: BTreeMap::new(),
            checkpoints: checkpoints::Checkpoints::default(),
            put_off: VecDeque::new(),
            ticked: now,
            sent: now,
            last_append: now,
            appended_on: None,
            epoch: self.fleet.epoch,
            began: now,
            resigns: false,
        };
        // What the leader before granted may still stand.
        self.count_leases_anew(&mut state);
        self.ask_for_heartbeats(&mut state);
        let led = self.lead(&mut state, &mut stop).await.map_err(|error| match error {
            DriverError::Ledger(error) => ledger::reason(error, &mut self.ledger_fatal).into(),
            error => error,
        });
        self.step_down(&mut state, &led).await;
        led
    }

    async fn lead(&mut self, state: &mut State, stop: &mut watch::Receiver<bool>) -> Result<(), DriverError> {
        let mut append: Option<Append> = None;
        let mut ticks = tokio::time::interval(TICK / 2);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let commands = Arc::clone(&self.lanes.commands);
        loop {
            self.health.beat();
            if append.is_none() {
                append = self.send_next(state)?;
            }
            let open = self.may_take(state);
            self.search(state);
            if open && let Some(report) = state.put_off.pop_front() {
                self.take_report(state, report, open)?;
                continue;
            }
            if open && self.take_waiting(state)? {
                // More may wait; but an acknowledgement goes first.
                tokio::task::yield_now().await;
            }
            if append.is_none() && (owes_append(state) || state.filling.has_effects()) {
                continue;
            }
            let deadline = state.waiting.next_deadline();
            let hold_submits = state.checkpoints.hold_submits();
            tokio::select! {
                biased;
                acknowledged = async { match append.as_mut() { Some(append) => append.await, None => std::future::pending().await } } => {
                    append = None;
                    self.acknowledged(state, acknowledged?).await?;
                }
                failed = &mut self.ledger_fatal => {
                    return Err(failed.unwrap_or(LedgerError::Ended).into());
                }
                _ = stop.wait_for(|stop| *stop) => {
                    return self.end(state, append).await;
                }
                () = until(deadline) => {
                    self.answer_overdue(state);
                }
                _ = ticks.tick() => self.tick(state)?,
                Some(format) = self.formats.recv() => self.evolve(state, Entry::Activate { format })?,
                Some(report) = self.lanes.reports.recv() => self.take_report(state, report, open)?,
                Some(fetched) = state.checkpoints.fetched(), if open => self.take_fetched(state, fetched)?,
                Some(submitted) = self.lanes.submits.recv(), if open && !hold_submits => self.take_command(state, submitted)?,
                () = commands.bell.notified(), if open => {}
            }
        }
    }

    /// Answers who has waited long enough with the state that was reached.
    fn answer_overdue(&self, state: &mut State) {
        let note = &mut |waiter: &Waiter| self.stats.note(Some(waiter.verb), waiter.received, None);
        let due = state.waiting.overdue(Instant::now(), note);
        self.send(due);
    }

    /// Whether more may be decided now.
    fn may_take(&self, state: &State) -> bool {
        !state.filling.is_full()
            && self.feed.committer.lag().age <= LEDGER_LAG
            && !Self::is_journal_silent(state)
    }

    /// Takes what waits in the lanes; true where it stopped for its own bound.
    fn take_waiting(&mut self, state: &mut State) -> Result<bool, DriverError> {
        for _ in 0..TAKEN_AT_ONCE {
            if state.filling.is_full() {
                return Ok(false);
            }
            let Some(incoming) = self.lanes.commands.lock().pop() else { return Ok(false) };
            self.take_command(state, incoming)?;
        }
        Ok(true)
    }

    /// Adds an entry to the batch and to the fleet.
    fn evolve(&mut self, state: &mut State, entry: Entry) -> Result<(), DriverError> {
        if state.filling.entries.is_empty() {
            state.filling.time_ms = self.now_ms();
        }
        state.filling.bytes += Batch::entry_bytes(&entry)?;
        state.filling.placed_again.extend(PlacedAgain::of(&self.fleet, &entry));
        self.fleet.evolve(state.filling.time_ms, &entry);
        state.filling.entries.push(entry);
        Ok(())
    }

    fn now_ms(&self) -> u64 {
        self.fleet.time_of_next(wall_ms())
    }

    fn send(&self, outgoing: Vec<Outgoing>) {
        if !outgoing.is_empty() && self.outbox.send(outgoing).is_err() {
            tracing::error!("the outbox is gone: answers are lost");
        }
    }

    /// Twice a tick: verdicts, counted refusals, a sign of life, figures.
    fn tick(&mut self, state: &mut State) -> Result<(), DriverError> {
        let now_ms = self.now_ms();
        for (user, count) in self.lanes.commands.lock().take_refused() {
            state.refusals.note_unseen(now_ms, user, count);
        }
        if !state.filling.is_full() {
            for entry in state.refusals.take_counted(now_ms) {
                self.evolve(state, entry)?;
            }
            for entry in self.fleet.due_alerts(ALERTS_AT_ONCE) {
                self.evolve(state, entry)?;
            }
        }
        state.rates.retain(|_, (second, _)| *second == now_ms / 1000);
        // Whoever was away itself, or hears nothing from the journal, has not heard the heartbeats of that time: a
        // connection may be cut although it stands.
        let is_cut_off = state.in_flight.is_some() && state.sent.elapsed() > LONGEST_AWAY;
        if is_cut_off || state.ticked.elapsed() > LONGEST_AWAY {
            self.count_leases_anew(state);
        } else {
            self.expire_workers(state)?;
        }
        state.ticked = Instant::now();
        if Self::is_journal_silent(state) {
            self.answer_without_journal(state);
        }
        if state.last_append.elapsed() >= TICK && state.in_flight.is_none() && !state.filling.needs_append() {
            self.evolve(state, Entry::Tick)?;
        }
        self.recover(state)?;
        self.clear_packed(state);
        self.show_figures();
        let silent = state.in_flight.as_ref().map_or(Duration::ZERO, |_| state.sent.elapsed());
        metrics::gauge!(crate::metrics::JOURNAL_SILENT).set(silent.as_secs_f64());
        Ok(())
    }

    fn show_figures(&self) {
        use crate::metrics as name;
        let lag = self.feed.committer.lag();
        metrics::gauge!(name::LEDGER_LAG_BYTES).set(lag.bytes as f64);
        metrics::gauge!(name::LEDGER_LAG_SECONDS).set(lag.age.as_secs_f64());
        metrics::gauge!(name::WAITING_COMMANDS).set(self.lanes.commands.lock().len() as f64);
        metrics::gauge!(name::QUEUED_VMS).set(self.fleet.queued() as f64);
        metrics::gauge!(name::PROCESSES_RUNNING).set(self.fleet.running_processes() as f64);
        metrics::gauge!(name::INDEX).set(self.position.index as f64);
        let progress = self.progress.borrow();
        let told = progress.events_index.min(progress.audit_index);
        metrics::gauge!(name::PROJECTOR_LAG).set(self.position.index.saturating_sub(told) as f64);
        let live = self.fleet.workers.values().filter(|worker| worker.live).count();
        metrics::gauge!(name::WORKERS).set(live as f64);
        let totals = crate::answer::reads::totals(&self.fleet);
        for state in bioxen_protocol::state::VmState::ALL {
            let count = totals.states.get(&state).copied().unwrap_or_default();
            metrics::gauge!(name::VMS, "state" => state.as_str()).set(count as f64);
        }
        let held = self.fleet.held;
        let amounts = [
            ("vms", held.slots as f64, totals.max_concurrent_vms as f64),
            ("atp_percent", totals.global_atp_used.percent(), totals.global_atp_limit.percent()),
            ("ribosomes", held.ribosomes as f64, totals.global_ribosome_limit as f64),
        ];
        for (resource, used, limit) in amounts {
            metrics::gauge!(name::RESERVED, "resource" => resource).set(used);
            metrics::gauge!(name::LIMIT, "resource" => resource).set(limit);
        }
        metrics::gauge!(name::RESERVED, "resource" => "memory_kb").set(held.memory_kb as f64);
    }
}

/// Whether something waits for an append. A new leader gives leases at once, for those of its predecessor run out.
fn owes_append(state: &State) -> bool {
    let owes_leases = !state.filling.grants.is_empty() && state.began.elapsed() < LEASE;
    state.filling.needs_append() || state.resigns || owes_leases
}

/// Milliseconds since 1970.
pub(crate) fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
