//! One VM in the pool: what is held of it between quanta, and what it needs next. It runs nothing.

mod trace;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bioxen_guest::quantum::{Assignment, Origin, Outcome, checkpoint, has_divided};
use bioxen_hypervisor::Cell;
use bioxen_hypervisor::trace::{Recording, Trace};
use bioxen_protocol::alert::AtpWatch;
use bioxen_protocol::id::{Generation, VmKey};
use bioxen_protocol::quantity::Pace;
use bioxen_protocol::worker::{
    Desired, DesiredState, NumberedChange, Observation, ObservedState, ProcessEnd, ProcessOrder,
};

use super::calls::Calls;
use super::monitoring::Monitoring;
use super::pacing::Pacing;
use super::process::{ProcessEnded, ProcessWork};
use crate::backend::Standing;

/// Above this many changes that it carries the leader is given a checkpoint that contains them: what it sends, and what
/// a start replays, stays small.
const CHANGES_CARRIED: usize = 16;

/// A VM. Its trajectory hangs on `origin` and `changes` alone; all else is when and for whom.
#[derive(Debug)]
pub(super) struct Vm {
    pub(super) key: VmKey,
    pub(super) generation: Generation,
    pub(super) origin: Origin,
    /// Running or paused; none until its cell is made.
    pub(super) state: Option<ObservedState>,
    pub(super) desired: DesiredState,
    pub(super) tick: u64,
    pub(super) horizon_tick: Option<u64>,
    horizon_generations: Option<u64>,
    /// Not yet in effect, in order.
    changes: VecDeque<NumberedChange>,
    pub(super) applied: u64,
    applied_at: Vec<(u64, u64)>,
    /// Changes that the leader still sends along.
    carried: usize,
    /// Past changes are made good up to here as fast as it can: the VM had already come this far elsewhere.
    replay_tick: u64,
    /// Changes without a tick take effect here or later.
    floor_tick: u64,
    pub(super) pacing: Pacing,
    pub(super) paused_since_ns: Option<u64>,
    pub(super) is_in_work: bool,
    /// It may be another worker's by now: it stands still until its level is told again.
    pub(super) is_frozen: bool,
    pub(super) ribosomes: u64,
    pub(super) biological_type: String,
    pub(super) placed_at_ns: u64,
    pub(super) cpu_ns: u64,
    pub(super) calls: Calls,
    /// How its energy fares; what of that was told, and when.
    pub(super) atp: AtpWatch,
    pub(super) atp_told: AtpWatch,
    pub(super) atp_told_ns: Option<u64>,
    /// Process code to run when the changes before it are in effect.
    pub(super) process: Option<ProcessOrder>,
    /// The highest number of a process that was told.
    last_process: u64,
    /// How the last one ended, until the leader has confirmed that; and whether it changed anything.
    process_end: Option<ProcessEnd>,
    process_left_a_cell: bool,
    pub(super) monitoring: Monitoring,
    recording: Option<Arc<Recording>>,
    /// What was recorded in this placement; none where nothing is to be.
    pub(super) trace: Option<Trace>,
    pub(super) memory_kb: u64,
}

/// What a VM needs of the scheduler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// A quantum at once: to be made, to apply a change, to stop, to complete.
    Urgent,
    At(u64),
    Nothing,
}

impl Vm {
    pub(super) fn new(desired: Desired, quantum_ns: u64, now_ns: u64) -> Self {
        let order = desired.order.as_deref();
        let mut vm = Self {
            key: desired.key.clone(),
            generation: desired.generation,
            state: None,
            desired: desired.state,
            tick: 0,
            horizon_tick: desired.horizon_tick,
            horizon_generations: order.and_then(|order| order.horizon_generations),
            changes: VecDeque::new(),
            applied: desired.checkpoint_applied,
            applied_at: Vec::new(),
            carried: 0,
            replay_tick: desired.reached_tick,
            floor_tick: desired.reached_tick,
            pacing: Pacing::new(order.map_or(Pace::Max, |order| order.pace), quantum_ns, now_ns, 0),
            paused_since_ns: None,
            is_in_work: false,
            is_frozen: false,
            ribosomes: order.map_or(0, |order| order.allocation.ribosomes),
            biological_type: order.map(|order| order.biological_type.clone()).unwrap_or_default(),
            placed_at_ns: now_ns,
            cpu_ns: 0,
            calls: Calls::of(order),
            atp: desired.atp,
            atp_told: desired.atp,
            atp_told_ns: None,
            process: None,
            last_process: desired.process_confirmed,
            process_end: None,
            process_left_a_cell: false,
            monitoring: Monitoring::every(desired.monitor_seconds),
            recording: None,
            trace: None,
            memory_kb: order.map_or(0, |order| order.allocation.memory_kb),
            origin: Origin::Order(Arc::new(Desired { changes: Vec::new(), ..desired.clone() })),
        };
        vm.calls.ended(desired.calls_done);
        vm.take_changes(&desired.changes);
        vm
    }

    /// Takes over what is desired now of the same generation.
    pub(super) fn desire(&mut self, desired: &Desired, quantum_ns: u64, now_ns: u64) {
        self.is_frozen = false;
        self.desired = desired.state;
        self.horizon_tick = desired.horizon_tick;
        self.applied_at.retain(|(ordinal, _)| *ordinal > desired.checkpoint_applied);
        self.process_end.take_if(|end| end.number <= desired.process_confirmed);
        self.process.take_if(|process| process.number <= desired.process_confirmed);
        self.calls.ended(desired.calls_done);
        self.monitoring.set_interval(desired.monitor_seconds);
        self.take_changes(&desired.changes);
        if let Some(order) = &desired.order
            && !self.pacing.has_pace(order.pace)
        {
            self.pacing = Pacing::new(order.pace, quantum_ns, now_ns, self.tick);
            self.paused_since_ns = self.paused_since_ns.map(|_| now_ns);
        }
    }

    /// Appends changes that are new, and forgets grid points that the leader has confirmed.
    fn take_changes(&mut self, changes: &[NumberedChange]) {
        self.carried = changes.len();
        let mut sorted: Vec<&NumberedChange> = changes.iter().collect();
        sorted.sort_by_key(|change| change.ordinal);
        for change in sorted {
            let last = self.changes.back().map_or(self.applied, |last| last.ordinal);
            if change.ordinal > last {
                self.replay_tick = self.replay_tick.max(change.tick.unwrap_or(0));
                self.changes.push_back(change.clone());
            } else if let Some(tick) = change.tick {
                self.applied_at.retain(|told| *told != (change.ordinal, tick));
            }
        }
    }

    /// Takes process code up, once.
    pub(super) fn execute(&mut self, process: ProcessOrder) {
        if process.number > self.last_process {
            self.last_process = process.number;
            self.process = Some(process);
        }
    }

    /// The process that may run now: every change before it is in effect. The VM is then in work.
    pub(super) fn take_process(&mut self) -> Option<ProcessWork> {
        let Origin::Cell(cell) = &self.origin else { return None };
        if self.is_frozen {
            return None;
        }
        let is_due = |process: &mut ProcessOrder| {
            let waits = self.changes.front().is_some_and(|change| change.ordinal < process.number);
            self.applied >= process.after && !waits && self.tick >= self.floor_tick
        };
        let order = self.process.take_if(is_due)?;
        self.is_in_work = true;
        let (cell, horizon_tick) = (Arc::clone(cell), self.horizon_tick);
        let (recording, memory_kb) = (self.recording.clone(), self.memory_kb);
        Some(ProcessWork { order, cell, horizon_tick, recording, memory_kb })
    }

    /// Takes over what a process left; without a cell nothing of it changed.
    pub(super) fn commit_process(&mut self, ended: ProcessEnded, now_ns: u64) {
        self.process_left_a_cell = ended.cell.is_some();
        if let Some(cell) = ended.cell {
            self.tick = cell.tick();
            self.origin = Origin::Cell(Arc::new(cell));
            self.pacing.restart(now_ns, self.tick);
        }
        if let Some(call) = ended.call {
            self.calls.ended(call + 1);
        }
        if let Some(rows) = &ended.rows {
            self.extend_trace(rows);
        }
        self.applied = self.applied.max(ended.end.number);
        self.process_end = Some(ended.end);
    }

    /// What it needs, seen from between two quanta.
    pub(super) fn need(&self, now_ns: u64) -> Need {
        match (self.state, self.desired) {
            _ if self.is_frozen => Need::Nothing,
            // Its checkpoint may be told with the rows that stand in the store, and no others.
            _ if self.awaits_confirmation() => Need::Nothing,
            (None, _) | (_, DesiredState::Stopped) => Need::Urgent,
            _ if self.is_change_due() => Need::Urgent,
            _ if self.calls.due(self.tick).is_some() => Need::Nothing,
            (_, DesiredState::Running) if self.is_at_horizon() => Need::Urgent,
            // What is paused is still brought to where it was.
            (_, DesiredState::Running | DesiredState::Paused) if self.tick < self.replay_tick => {
                Need::At(now_ns)
            }
            (_, DesiredState::Running) => Need::At(self.pacing.next_due_ns(now_ns, self.tick)),
            (_, DesiredState::Paused | DesiredState::Absent) => Need::Nothing,
        }
    }

    /// The next quantum.
    pub(super) fn assignment(&self, now_ns: u64, time: Duration) -> Assignment {
        let target_tick = match (self.state, self.desired) {
            // A cell is made and told of before it runs.
            (None, _) | (_, DesiredState::Stopped | DesiredState::Absent) => self.tick,
            _ if self.tick < self.replay_tick => self.replay_tick,
            (_, DesiredState::Paused) => self.tick,
            (_, DesiredState::Running) => self.pacing.target(now_ns, self.tick),
        };
        let target_tick = target_tick.min(self.calls.next_tick()).max(self.tick);
        Assignment {
            origin: self.origin.clone(),
            changes: self.changes.clone(),
            target_tick,
            floor_tick: self.floor_tick,
            horizon_tick: self.horizon_tick,
            horizon_generations: self.horizon_generations,
            desired: self.desired,
            recording: self.recording.clone(),
            memory_kb: self.memory_kb,
            atp: self.atp,
            watch_from_tick: self.floor_tick,
            time,
        }
    }

    /// Takes over a quantum that commits.
    pub(super) fn commit(&mut self, outcome: &Outcome, now_ns: u64) {
        let was_replaying = self.state.is_none() || self.tick < self.replay_tick;
        self.tick = outcome.cell.tick();
        self.origin = Origin::Cell(Arc::clone(&outcome.cell));
        if was_replaying {
            self.pacing.restart(now_ns, self.tick);
        } else {
            self.pacing.advanced(now_ns, self.tick.saturating_sub(outcome.from_tick));
        }
        self.memory_kb = outcome.memory_kb;
        self.atp = outcome.atp;
        if let Some(recorded) = &outcome.recorded {
            self.keep(recorded);
        }
        for tick in &outcome.applied_ticks {
            let Some(change) = self.changes.pop_front() else { break };
            self.applied = change.ordinal;
            self.ribosomes = change.allocation.ribosomes;
            if change.tick.is_none() {
                self.applied_at.push((change.ordinal, *tick));
            }
        }
    }

    fn extend_trace(&mut self, rows: &Trace) {
        match &mut self.trace {
            None => self.trace = Some(rows.clone()),
            Some(trace) => {
                // Quanta and process code go on where the one before committed, so there is no hole.
                let joined = trace.continue_with(rows);
                debug_assert!(joined.is_ok(), "{joined:?}");
            }
        }
    }

    /// How it ends with the checkpoint that a quantum left, if nothing else is to be done first.
    pub(super) fn ending(&self) -> Option<ObservedState> {
        match self.desired {
            _ if self.is_change_due() => None,
            DesiredState::Running if self.calls.due(self.tick).is_some() => None,
            DesiredState::Stopped => Some(ObservedState::Stopped),
            DesiredState::Running if self.is_at_horizon() => Some(ObservedState::Completed),
            _ => None,
        }
    }

    pub(super) fn is_change_due(&self) -> bool {
        self.changes.front().is_some_and(|change| change.tick.unwrap_or(self.floor_tick) <= self.tick)
    }

    fn is_at_horizon(&self) -> bool {
        let has_divided = match &self.origin {
            Origin::Cell(cell) => has_divided(cell, self.horizon_generations),
            Origin::Order(_) => false,
        };
        has_divided || self.horizon_tick.is_some_and(|horizon| self.tick >= horizon)
    }

    /// Becomes running or paused, as desired; whether that is new.
    pub(super) fn settle_state(&mut self, now_ns: u64) -> bool {
        let state = match self.desired {
            DesiredState::Running => ObservedState::Running,
            DesiredState::Paused => ObservedState::Paused,
            DesiredState::Stopped | DesiredState::Absent => return false,
        };
        if self.state == Some(state) {
            return false;
        }
        match state {
            ObservedState::Paused => self.paused_since_ns = Some(now_ns),
            _ => {
                if let Some(since_ns) = self.paused_since_ns.take() {
                    self.pacing.skip(since_ns, now_ns);
                }
            }
        }
        self.state = Some(state);
        true
    }

    /// Grid points by which it lags behind its pace.
    pub(super) fn lag_ticks(&self, now_ns: u64) -> u64 {
        match self.state {
            None => 0,
            Some(_) => self.pacing.lag_ticks(self.paused_since_ns.unwrap_or(now_ns), self.tick),
        }
    }

    pub(super) fn observation(&self, state: ObservedState) -> Observation {
        Observation {
            key: self.key.clone(),
            generation: self.generation,
            state,
            tick: self.tick,
            applied: self.applied,
            applied_at: self.applied_at.clone(),
            checkpoint: self.relieving_checkpoint(),
            reason: None,
            process: self.process_end.clone(),
            summary: None,
            atp: self.atp,
            call_due: self.call_due(),
        }
    }

    /// Its cell, and where that stands; none where what it recorded would be missing behind it.
    pub(super) fn stands(&self) -> Option<(Standing, Arc<Cell>)> {
        let Origin::Cell(cell) = &self.origin else { return None };
        let (key, generation) = (self.key.clone(), self.generation);
        let standing = Standing { key, generation, tick: self.tick, applied: self.applied };
        (self.trace.is_none() && self.recording.is_none()).then(|| (standing, Arc::clone(cell)))
    }

    /// A checkpoint that contains every change: where the leader carries many, it may forget them then; where a process
    /// has ended, nothing else tells what it left.
    fn relieving_checkpoint(&self) -> Option<Vec<u8>> {
        match &self.origin {
            Origin::Cell(cell) if self.process_end.is_some() && self.may_tell_checkpoint() => {
                checkpoint(cell).ok()
            }
            // A recording has to be stored before a checkpoint stands that goes on behind it: only where the VM ends.
            _ if self.trace.is_some() => None,
            Origin::Cell(cell) if self.carried > CHANGES_CARRIED && self.changes.is_empty() => {
                checkpoint(cell).ok()
            }
            _ => None,
        }
    }
}
