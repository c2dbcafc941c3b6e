//! A quantum's outcome as it travels, and what is made of it where it was asked for. A guest is not taken at its word:
//! what follows from the assignment and the cell is worked out here again, and what does not follow is refused.

use std::sync::Arc;

use bioxen_hypervisor::trace::{Recording, Trace};
use bioxen_hypervisor::{Cell, ChassisName, Engine};
use bioxen_protocol::alert::AtpWatch;
use serde::{Deserialize, Serialize};

use super::guest;
use crate::quantum::order::{self, BadOrder};
use crate::quantum::{Assignment, Failure, Origin, Outcome, Recorded};
use crate::{Checkpoint, Rows};

/// What a quantum came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuantumOutcome {
    /// The cell afterwards.
    pub cell: Checkpoint,
    /// The grid points at which the first changes took effect.
    pub applied_ticks: Vec<u64>,
    /// What was recorded on the way, where anything is.
    pub recorded: Option<RecordedRows>,
    /// How its energy has fared.
    pub atp: AtpWatch,
}

/// What was recorded on the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedRows {
    /// A trace, in the cell library's bytes.
    pub rows: Rows,
    /// Where the rows outgrew the VM's memory.
    pub is_full: bool,
}

/// What of a cell stays for life.
type Kind = (ChassisName, Engine);

/// Where a quantum begins, and with what kind of cell.
struct Start {
    tick: u64,
    kind: Kind,
    recording: Option<Arc<Recording>>,
    /// With a row at minute 0.
    is_new: bool,
}

impl QuantumOutcome {
    /// The outcome as it travels.
    #[must_use]
    pub fn of(outcome: &Outcome) -> Self {
        let recorded = outcome
            .recorded
            .as_ref()
            .map(|recorded| RecordedRows { rows: Rows(recorded.rows.encode()), is_full: recorded.is_full });
        Self {
            cell: Checkpoint(outcome.cell.checkpoint()),
            applied_ticks: outcome.applied_ticks.clone(),
            recorded,
            atp: outcome.atp,
        }
    }

    /// The outcome of `assignment`, if it can be one.
    ///
    /// # Errors
    /// [`Failure::Guest`] where it cannot: no cell, another kind of cell, one before the begin or beyond the target, other
    /// changes or rows than belong there. The same as [`Assignment::run`] where no cell could have been made.
    pub fn into_outcome(self, assignment: &Assignment) -> Result<Outcome, Failure> {
        let start = Start::of(assignment)?;
        let cell = Cell::restore(&self.cell.0).map_err(|error| guest(format!("its cell: {error}")))?;
        start.check_cell(&cell)?;
        let (tick, target) = (cell.tick(), assignment.target_from(start.tick));
        if tick < start.tick || tick > target {
            let from = start.tick;
            return Err(guest(format!(
                "its cell stands at tick {tick}; it was to go from {from} to {target}"
            )));
        }
        let due = applied_by(assignment, start.tick, tick)?;
        if self.applied_ticks != due {
            let told = self.applied_ticks;
            return Err(guest(format!(
                "changes took effect at ticks {told:?}; those on the way to tick {tick} do at {due:?}"
            )));
        }
        let recorded = start.recorded(self.recorded, tick)?;
        check_energy(&assignment.atp, &self.atp, tick)?;
        let applied = due.len().checked_sub(1).and_then(|last| assignment.changes.get(last));
        let (checkpoint, summary) = assignment.ending(&cell);
        Ok(Outcome {
            cell: Arc::new(cell),
            from_tick: start.tick,
            applied_ticks: self.applied_ticks,
            checkpoint,
            summary,
            recorded,
            memory_kb: applied.map_or(assignment.memory_kb, |change| change.allocation.memory_kb),
            atp: self.atp,
        })
    }
}

impl Start {
    fn of(assignment: &Assignment) -> Result<Self, Failure> {
        let desired = match &assignment.origin {
            Origin::Cell(cell) => {
                return Ok(Self {
                    tick: cell.tick(),
                    kind: kind(cell),
                    recording: assignment.recording.clone(),
                    is_new: false,
                });
            }
            Origin::Order(desired) => desired,
        };
        let spec = order::spec(desired.order.as_deref().ok_or(BadOrder::Missing)?)?;
        let mut start = Self {
            tick: 0,
            kind: (spec.chassis, spec.engine),
            recording: order::recording(desired)?.map(Arc::new),
            is_new: true,
        };
        if let Some(bytes) = &desired.checkpoint {
            let cell = Cell::restore(bytes).map_err(BadOrder::Checkpoint)?;
            start.tick = cell.tick();
            start.is_new = start.tick == 0;
        }
        Ok(start)
    }

    fn check_cell(&self, cell: &Cell) -> Result<(), Failure> {
        let (found, expected) = (kind(cell), self.kind);
        if found == expected {
            return Ok(());
        }
        Err(guest(format!(
            "its cell is a {} on the engine {:?}; the VM's is a {} on {:?}",
            found.0, found.1, expected.0, expected.1
        )))
    }

    /// The rows that belong between the begin and `tick`, and no others.
    fn recorded(&self, told: Option<RecordedRows>, tick: u64) -> Result<Option<Recorded>, Failure> {
        let (recording, told) = match (&self.recording, told) {
            (None, None) => return Ok(None),
            (Some(recording), Some(told)) => (recording, told),
            (None, Some(_)) => return Err(guest("it recorded what was not asked for")),
            (Some(_), None) => return Err(guest("what was to be recorded is missing")),
        };
        let rows = Trace::decode(&told.rows.0).map_err(|error| guest(format!("its rows: {error}")))?;
        let first_tick = if self.is_new { 0 } else { recording.next_tick(self.tick) };
        let every_ticks = recording.every_ticks();
        let due = tick / every_ticks - self.tick / every_ticks + u64::from(self.is_new);
        // The row that no longer fits ends the quantum at its tick, and is not there.
        let is_full = told.is_full && recording.is_due(tick) && tick > self.tick;
        let expected = due - u64::from(is_full);
        let is_recordings = rows.names == recording.variables() && rows.every_ticks == every_ticks;
        if told.is_full != is_full
            || !is_recordings
            || rows.first_tick != first_tick
            || rows.rows() as u64 != expected
        {
            return Err(guest(format!(
                "it recorded {} rows from tick {}; up to tick {tick} there are {expected} from {first_tick}",
                rows.rows(),
                rows.first_tick
            )));
        }
        Ok(Some(Recorded { recording: Arc::clone(recording), rows, is_full }))
    }
}

fn kind(cell: &Cell) -> Kind {
    (cell.spec_now().chassis, cell.engine())
}

/// The grid points at which changes take effect on the way from `from` to `to`: it follows from the changes alone.
fn applied_by(assignment: &Assignment, from: u64, to: u64) -> Result<Vec<u64>, Failure> {
    let (mut now, mut ticks) = (from, Vec::new());
    for change in &assignment.changes {
        let tick = change.tick.unwrap_or(assignment.floor_tick.max(now));
        if tick < now {
            return Err(Failure::Past { ordinal: change.ordinal, tick, now });
        }
        if tick > to {
            break;
        }
        ticks.push(tick);
        now = tick;
    }
    Ok(ticks)
}

/// Levels are not computed again; what they add up to can only grow, and comes from before `tick`.
fn check_energy(before: &AtpWatch, after: &AtpWatch, tick: u64) -> Result<(), Failure> {
    let is_later = after.tick == before.tick || after.tick <= tick;
    if is_later && after.crossings >= before.crossings {
        return Ok(());
    }
    Err(guest(format!(
        "its energy was low {} times, the last at tick {}; it had been {} times already, and the cell stands at tick {tick}",
        after.crossings, after.tick, before.crossings
    )))
}
