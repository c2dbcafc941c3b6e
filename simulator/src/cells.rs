//! The cells of one worker: a backend whose cells count ticks and mix what was in effect at each into a number, so that
//! two trajectories are the same where their numbers are.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bioxen_protocol::alert::AtpWatch;
use bioxen_protocol::command::VmType;
use bioxen_protocol::id::{Generation, VmKey};
use bioxen_protocol::reply::Sample;
use bioxen_protocol::worker::{
    CellAllocation, Desired, DesiredState, LiveVm, NumberedChange, Observation, ObservedState, ProcessOrder,
    QueryExtra,
};
use bioxen_worker::backend::{Backend, Figures};
use tokio::sync::Notify;

/// Ticks that a cell advances in one quantum while nothing is to be made good.
const QUANTUM_TICKS: u64 = 5;
/// And while it is brought to where it was.
const CATCH_UP_TICKS: u64 = 500;

/// A quantum that was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Commit {
    pub(crate) key: VmKey,
    pub(crate) generation: Generation,
    /// Every allocation that was in effect in it.
    pub(crate) in_effect: Vec<CellAllocation>,
}

#[derive(Debug, Default)]
pub(crate) struct Cells {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    cells: BTreeMap<VmKey, Cell>,
    told: Vec<Observation>,
    lease_until: Duration,
}

/// What a cell is at a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) tick: u64,
    pub(crate) applied: u64,
    pub(crate) allocation: CellAllocation,
    /// Of everything that was in effect at each tick before.
    pub(crate) digest: u64,
}

#[derive(Debug)]
struct Cell {
    generation: Generation,
    is_frozen: bool,
    state: ObservedState,
    at: Point,
    horizon_tick: Option<u64>,
    reached_tick: u64,
    /// Changes that are not in effect yet, in order.
    pending: Vec<NumberedChange>,
    /// Changes that are, of which the leader does not know the tick.
    applied_at: Vec<(u64, u64)>,
}

impl Point {
    pub(crate) fn start(allocation: CellAllocation, seed: u64) -> Self {
        Self { tick: 0, applied: 0, allocation, digest: seed }
    }

    pub(crate) fn step(&mut self) {
        let CellAllocation { atp_millipercent, ribosomes, .. } = self.allocation;
        let mixed = self.digest ^ atp_millipercent.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (ribosomes << 40);
        self.digest = mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9).rotate_left(31).wrapping_add(self.tick);
        self.tick += 1;
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let CellAllocation { atp_millipercent, ribosomes, memory_kb } = self.allocation;
        let words = [self.tick, self.applied, atp_millipercent, ribosomes, memory_kb, self.digest];
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (words, rest) = bytes.as_chunks::<8>();
        let words: Vec<u64> = words.iter().map(|word| u64::from_be_bytes(*word)).collect();
        let [tick, applied, atp_millipercent, ribosomes, memory_kb, digest] = words[..] else { return None };
        let allocation = CellAllocation { atp_millipercent, ribosomes, memory_kb };
        rest.is_empty().then_some(Self { tick, applied, allocation, digest })
    }
}

impl Cells {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a quantum at `now`: every running cell commits, or, where no lease stands, none does.
    pub(crate) fn commit(&self, now: Duration) -> Vec<Commit> {
        let mut state = self.lock();
        if now >= state.lease_until {
            return Vec::new();
        }
        let State { cells, told, .. } = &mut *state;
        let mut commits = Vec::new();
        let mut ended = Vec::new();
        for (key, cell) in cells.iter_mut().filter(|(_, cell)| !cell.is_frozen) {
            let before = (cell.state, cell.at.applied);
            commits.extend(cell.advance(key));
            if cell.is_at_horizon() {
                cell.state = ObservedState::Completed;
                ended.push(key.clone());
            }
            if (cell.state, cell.at.applied) != before {
                told.push(cell.observation(key));
            }
        }
        for key in ended {
            cells.remove(&key);
        }
        commits
    }
}

impl Cell {
    fn of(desired: Desired) -> Option<Self> {
        let order = desired.order?;
        let at = match &desired.checkpoint {
            Some(bytes) => Point::decode(bytes)?,
            None => Point::start(order.allocation, order.seed),
        };
        let pending = desired.changes.into_iter().filter(|change| change.ordinal > at.applied).collect();
        Some(Self {
            generation: desired.generation,
            is_frozen: false,
            state: observed_of(desired.state),
            at,
            horizon_tick: desired.horizon_tick,
            reached_tick: desired.reached_tick,
            pending,
            applied_at: Vec::new(),
        })
    }

    fn advance(&mut self, key: &VmKey) -> Option<Commit> {
        let behind = self.at.tick < self.reached_tick;
        // What is paused is still brought to where it was.
        if self.state != ObservedState::Running && !behind {
            return None;
        }
        let ticks = if behind { CATCH_UP_TICKS.min(self.reached_tick - self.at.tick) } else { QUANTUM_TICKS };
        let mut in_effect = Vec::new();
        self.apply_due();
        in_effect.push(self.at.allocation);
        for _ in 0..ticks {
            if self.is_at_horizon() {
                break;
            }
            self.at.step();
            self.apply_due();
            in_effect.push(self.at.allocation);
        }
        in_effect.dedup();
        Some(Commit { key: key.clone(), generation: self.generation, in_effect })
    }

    fn apply_due(&mut self) {
        let tick = self.at.tick;
        while let Some(next) = self.pending.first().cloned() {
            let due = next.tick.map_or(tick >= self.reached_tick, |at| at <= tick);
            if !due {
                return;
            }
            self.pending.remove(0);
            self.at.allocation = next.allocation;
            self.at.applied = next.ordinal;
            if next.tick.is_none() {
                self.applied_at.push((next.ordinal, tick));
            }
        }
    }

    fn is_at_horizon(&self) -> bool {
        self.horizon_tick.is_some_and(|horizon| self.at.tick >= horizon)
    }

    fn adjust(&mut self, desired: &Desired) {
        let last = self.pending.last().map_or(self.at.applied, |change| change.ordinal);
        let new = desired.changes.iter().filter(|change| change.ordinal > last).cloned();
        self.pending.extend(new);
        let confirmed = |ordinal: u64| {
            desired.checkpoint_applied >= ordinal
                || desired.changes.iter().any(|change| change.ordinal == ordinal && change.tick.is_some())
        };
        self.applied_at.retain(|(ordinal, _)| !confirmed(*ordinal));
        self.state = observed_of(desired.state);
        // Between quanta a cell stands at a grid point; a paused one must not wait for the next.
        self.apply_due();
    }

    fn observation(&self, key: &VmKey) -> Observation {
        let ended = matches!(self.state, ObservedState::Stopped | ObservedState::Completed);
        Observation {
            key: key.clone(),
            generation: self.generation,
            state: self.state,
            tick: self.at.tick,
            applied: self.at.applied,
            applied_at: self.applied_at.clone(),
            checkpoint: ended.then(|| self.at.encode()),
            reason: None,
            process: None,
            summary: None,
            atp: AtpWatch::default(),
            call_due: None,
        }
    }
}

fn observed_of(desired: DesiredState) -> ObservedState {
    match desired {
        DesiredState::Running => ObservedState::Running,
        DesiredState::Paused => ObservedState::Paused,
        DesiredState::Stopped => ObservedState::Stopped,
        DesiredState::Absent => ObservedState::Absent,
    }
}

impl Backend for Cells {
    fn vm_type(&self) -> VmType {
        VmType::Basic
    }

    fn place(&self, desired: Desired) {
        let key = desired.key.clone();
        let mut state = self.lock();
        if let Some(cell) = Cell::of(desired) {
            state.told.push(cell.observation(&key));
            state.cells.insert(key, cell);
        }
    }

    fn adjust(&self, desired: &Desired) {
        let mut state = self.lock();
        let Some(cell) = state.cells.get_mut(&desired.key) else { return };
        cell.is_frozen = false;
        // A cell that is behind has not reached what would be its checkpoint.
        if desired.state == DesiredState::Stopped && cell.at.tick < cell.reached_tick {
            return;
        }
        cell.adjust(desired);
        let observation = cell.observation(&desired.key);
        if cell.state == ObservedState::Stopped {
            state.cells.remove(&desired.key);
        }
        state.told.push(observation);
    }

    fn freeze(&self) {
        self.lock().cells.values_mut().for_each(|cell| cell.is_frozen = true);
    }

    fn forget(&self, key: &VmKey) {
        let mut state = self.lock();
        state.cells.remove(key);
        state.told.retain(|observation| observation.key != *key);
    }

    fn lease(&self, until: Duration) {
        self.lock().lease_until = until;
    }

    fn observe(&self) -> Vec<Observation> {
        std::mem::take(&mut self.lock().told)
    }

    fn changed(&self) -> &Notify {
        &self.changed
    }

    fn query(&self, _: &VmKey, _: QueryExtra) -> Option<LiveVm> {
        None
    }

    fn execute(&self, _: &VmKey, _: Generation, _: ProcessOrder) {}

    fn take_samples(&self, _: u64) -> Vec<(VmKey, Sample)> {
        Vec::new()
    }

    fn ended(&self, _: &Observation) -> Option<LiveVm> {
        None
    }

    fn figures(&self) -> Figures {
        Figures::default()
    }

    fn broken(&self) -> Option<String> {
        None
    }
}
