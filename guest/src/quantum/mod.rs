//! One quantum: a stretch of one cell's simulated time, computed on a copy.
//!
//! It ends at a grid point: the target, or the last one reached when the time is over. Which one makes no
//! difference to the trajectory. It neither commits nor knows whether it will be: the worker does.
//!
//! | file | job |
//! |---|---|
//! | `order` | from the wire's order to a cell |
//! | `watch` | a cell's energy, for alerts |

pub mod order;
pub mod watch;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bioxen_hypervisor::trace::{Recording, Trace};
use bioxen_hypervisor::{Cell, MAX_TICK, SimulationError};
use bioxen_protocol::alert::AtpWatch;
use bioxen_protocol::limits::{CHECKPOINT_BYTES, SUMMARY_BYTES};
use bioxen_protocol::worker::{Desired, DesiredState, NumberedChange};

use self::order::BadOrder;

/// Solver steps between two looks at the clock: about a millisecond.
const STEPS_PER_LOOK: u32 = 200;
/// Rows of one quantum take about this much at most: an outcome has to fit a frame, and the next goes on behind it.
const ROWS_BYTES: usize = 1 << 20;

/// What the quantum begins with.
#[derive(Debug, Clone)]
pub enum Origin {
    /// Still to be made.
    Order(Arc<Desired>),
    /// As last committed.
    Cell(Arc<Cell>),
}

/// One quantum's work.
#[derive(Debug, Clone)]
pub struct Assignment {
    pub origin: Origin,
    /// Changes not yet in effect, in order.
    pub changes: VecDeque<NumberedChange>,
    /// How far it may go; beyond the horizon it never does.
    pub target_tick: u64,
    /// Changes without a tick wait until here.
    pub floor_tick: u64,
    pub horizon_tick: Option<u64>,
    pub horizon_generations: Option<u64>,
    pub desired: DesiredState,
    /// What is recorded; of a cell still to be made its order says it.
    pub recording: Option<Arc<Recording>>,
    /// The ceiling on what is recorded.
    pub memory_kb: u64,
    /// How its energy has fared; looked at again beyond `watch_from_tick`.
    pub atp: AtpWatch,
    pub watch_from_tick: u64,
    /// A quantum lasts about this long at most.
    pub time: Duration,
}

/// What a quantum came to.
#[derive(Debug)]
pub struct Outcome {
    pub cell: Arc<Cell>,
    /// Where it began: ticks before were not simulated here.
    pub from_tick: u64,
    /// The grid points at which the first changes took effect.
    pub applied_ticks: Vec<u64>,
    /// Where it completed or is to stop.
    pub checkpoint: Option<Checkpoint>,
    /// Where it completed: its metrics.
    pub summary: Option<String>,
    pub recorded: Option<Recorded>,
    pub memory_kb: u64,
    pub atp: AtpWatch,
}

/// What was recorded on the way.
#[derive(Debug)]
pub struct Recorded {
    pub recording: Arc<Recording>,
    pub rows: Trace,
    /// Where the rows outgrew the VM's memory.
    pub is_full: bool,
}

/// A checkpoint that can travel, or why there is none.
pub type Checkpoint = Result<Vec<u8>, String>;

/// Why a cell cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Order(#[from] BadOrder),
    #[error(transparent)]
    Simulation(#[from] SimulationError),
    #[error(
        "change {ordinal} took effect at tick {tick} once, and the cell already stands at tick {now}: the VM has to be placed anew"
    )]
    Past { ordinal: u64, tick: u64, now: u64 },
    /// Why it cannot, as the guest that computed it says.
    #[error("{reason}")]
    Told { reason: String },
    /// The guest that computed it is broken, or lies. The cell itself could go on.
    #[error(
        "the VM's guest answered what cannot be: {reason}. Nothing of it was taken: the cell is as it was and goes on in another guest; tell an operator if it comes back"
    )]
    Guest { reason: String },
}

impl Assignment {
    /// Computes it.
    ///
    /// # Errors
    /// Why the cell cannot go on. The origin is as it was.
    pub fn run(mut self) -> Result<Outcome, Failure> {
        let begun = Instant::now();
        let mut cell = match &self.origin {
            Origin::Order(desired) => {
                self.recording = order::recording(desired)?.map(Arc::new);
                order::cell(desired)?
            }
            Origin::Cell(cell) => Cell::clone(cell),
        };
        let from_tick = cell.tick();
        let mut recorded = self.recording.clone().map(|recording| Recorded::from(recording, from_tick));
        if matches!(self.origin, Origin::Order(_)) && from_tick == 0 {
            recorded = self.recording.clone().map(|recording| Recorded::from_the_start(recording, &cell));
        }
        let target_tick = self.target_from(from_tick);
        let mut applied_ticks = Vec::new();
        loop {
            self.apply_due(&mut cell, &mut applied_ticks)?;
            let next_change =
                self.changes.front().map_or(u64::MAX, |change| change.tick.unwrap_or(self.floor_tick));
            let has_recorded_enough = recorded.as_ref().is_some_and(Recorded::is_enough);
            if cell.tick() >= target_tick
                || self.has_divided(&cell)
                || begun.elapsed() >= self.time
                || has_recorded_enough
            {
                break;
            }
            let next_row =
                recorded.as_ref().map_or(u64::MAX, |recorded| recorded.recording.next_tick(cell.tick()));
            let before = cell.tick();
            let tick = target_tick.min(next_change).min(next_row).min(watch::next_tick(before));
            cell.advance_within(tick, self.horizon_generations, STEPS_PER_LOOK)?;
            if cell.tick() > before
                && let Some(recorded) = &mut recorded
            {
                recorded.arrive(&cell, self.memory_kb);
            }
            if cell.tick() > before.max(self.watch_from_tick) {
                watch::look(&mut self.atp, &cell);
            }
        }
        let (checkpoint, summary) = self.ending(&cell);
        let (memory_kb, atp) = (self.memory_kb, self.atp);
        Ok(Outcome {
            cell: Arc::new(cell),
            from_tick,
            applied_ticks,
            checkpoint,
            summary,
            recorded,
            memory_kb,
            atp,
        })
    }

    /// What is told of a cell that the quantum leaves at its end: a checkpoint where it completed or is to stop, and its
    /// metrics where it completed.
    pub(crate) fn ending(&self, cell: &Cell) -> (Option<Checkpoint>, Option<String>) {
        let ends = match self.desired {
            DesiredState::Running => {
                self.horizon_tick.is_some_and(|horizon| cell.tick() >= horizon) || self.has_divided(cell)
            }
            DesiredState::Stopped => true,
            DesiredState::Paused | DesiredState::Absent => false,
        };
        let completes = ends && self.desired == DesiredState::Running;
        (ends.then(|| checkpoint(cell)), completes.then(|| summary(cell)).flatten())
    }

    /// As far as it may go from `tick`.
    pub(crate) fn target_from(&self, tick: u64) -> u64 {
        self.target_tick.min(self.horizon_tick.unwrap_or(MAX_TICK)).min(MAX_TICK).max(tick)
    }

    /// As often as it was to.
    fn has_divided(&self, cell: &Cell) -> bool {
        has_divided(cell, self.horizon_generations)
    }

    fn apply_due(&mut self, cell: &mut Cell, applied_ticks: &mut Vec<u64>) -> Result<(), Failure> {
        let now = cell.tick();
        while let Some(change) = self.changes.front() {
            match change.tick {
                Some(tick) if tick > now => break,
                Some(tick) if tick < now => return Err(Failure::Past { ordinal: change.ordinal, tick, now }),
                None if self.floor_tick > now => break,
                Some(_) | None => {}
            }
            cell.apply(&order::change(change, now)?).map_err(BadOrder::from)?;
            applied_ticks.push(now);
            self.memory_kb = change.allocation.memory_kb;
            self.changes.pop_front();
        }
        Ok(())
    }
}

impl Recorded {
    fn from(recording: Arc<Recording>, tick: u64) -> Self {
        let rows = recording.trace(recording.next_tick(tick));
        Self { recording, rows, is_full: false }
    }

    /// With a row at minute 0.
    fn from_the_start(recording: Arc<Recording>, cell: &Cell) -> Self {
        let mut rows = recording.trace(cell.tick());
        rows.push(&recording.row(cell));
        Self { recording, rows, is_full: false }
    }

    /// Whether the quantum ends here: the rest does not fit the VM's memory, or is for the next one.
    fn is_enough(&self) -> bool {
        let bytes = self.rows.rows() * self.rows.columns.len() * size_of::<f64>();
        self.is_full || bytes >= ROWS_BYTES
    }

    /// The cell has come to a grid point, and no change of this point has taken effect by command yet.
    fn arrive(&mut self, cell: &Cell, memory_kb: u64) {
        if !self.recording.is_due(cell.tick()) {
            return;
        }
        if self.recording.bytes_up_to(cell.tick()) > memory_kb.saturating_mul(1024) {
            self.is_full = true;
            return;
        }
        self.rows.push(&self.recording.row(cell));
    }
}

/// Metrics as a JSON object; none where they would be too large for the journal, which fixed metrics never are.
fn summary(cell: &Cell) -> Option<String> {
    serde_json::to_string(&cell.metrics()).ok().filter(|json| json.len() <= SUMMARY_BYTES)
}

/// Whether a cell has divided `generations` times; the mean cell never does.
#[must_use]
pub fn has_divided(cell: &Cell, generations: Option<u64>) -> bool {
    let divided = cell.lineage().map_or(0, |lineage| lineage.generation);
    generations.is_some_and(|generations| divided >= generations)
}

/// The cell's checkpoint, where it is small enough to travel.
///
/// # Errors
/// In words, where it is not.
pub fn checkpoint(cell: &Cell) -> Checkpoint {
    let bytes = cell.checkpoint();
    if bytes.len() <= CHECKPOINT_BYTES {
        return Ok(bytes);
    }
    Err(format!(
        "the checkpoint has {} bytes and at most {CHECKPOINT_BYTES} are kept: a start computes the cell again from its order",
        bytes.len()
    ))
}
