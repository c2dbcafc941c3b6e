//! A quantum's assignment as it travels: the cell as its checkpoint, an order as the worker was told it.

use std::sync::Arc;
use std::time::Duration;

use bioxen_hypervisor::Cell;
use bioxen_hypervisor::trace::Recording;
use bioxen_protocol::alert::AtpWatch;
use bioxen_protocol::worker::{Desired, DesiredState, NumberedChange, RecordOrder};
use serde::{Deserialize, Serialize};

use super::QuantumOutcome;
use crate::Checkpoint;
use crate::quantum::order::BadOrder;
use crate::quantum::{Assignment, Failure, Origin};

/// One quantum's work; see [`Assignment`] for what the fields say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuantumOrder {
    /// What it begins with.
    pub begin: Begin,
    /// Not yet in effect, in order.
    pub changes: Vec<NumberedChange>,
    /// How far it may go.
    pub target_tick: u64,
    /// Changes without a tick wait until here.
    pub floor_tick: u64,
    /// Where it completes.
    pub horizon_tick: Option<u64>,
    /// Divisions at which it completes.
    pub horizon_generations: Option<u64>,
    /// What the VM is to be.
    pub desired: DesiredState,
    /// What is recorded; of a cell still to be made its order says it.
    pub record: Option<RecordOrder>,
    /// The ceiling on what is recorded.
    pub memory_kb: u64,
    /// How its energy has fared.
    pub atp: AtpWatch,
    /// Its energy is looked at beyond this tick.
    pub watch_from_tick: u64,
    /// Real time that it lasts at most, about.
    pub time_us: u64,
}

/// What a quantum begins with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Begin {
    /// A cell still to be made.
    Order(Arc<Desired>),
    /// A cell as last committed.
    Cell(Checkpoint),
}

impl QuantumOrder {
    /// The assignment as it travels.
    #[must_use]
    pub fn of(assignment: &Assignment) -> Self {
        let record = assignment.recording.as_ref().map(|recording| RecordOrder {
            variables: recording.variables().to_vec(),
            every_ticks: recording.every_ticks(),
        });
        Self {
            begin: match &assignment.origin {
                Origin::Order(desired) => Begin::Order(without_pool(desired)),
                Origin::Cell(cell) => Begin::Cell(Checkpoint(cell.checkpoint())),
            },
            changes: assignment.changes.iter().cloned().collect(),
            target_tick: assignment.target_tick,
            floor_tick: assignment.floor_tick,
            horizon_tick: assignment.horizon_tick,
            horizon_generations: assignment.horizon_generations,
            desired: assignment.desired,
            record,
            memory_kb: assignment.memory_kb,
            atp: assignment.atp,
            watch_from_tick: assignment.watch_from_tick,
            time_us: u64::try_from(assignment.time.as_micros()).unwrap_or(u64::MAX),
        }
    }

    /// The assignment that it was made of.
    ///
    /// # Errors
    /// A checkpoint that is none of this version's, variables that no cell has.
    pub fn into_assignment(self) -> Result<Assignment, Failure> {
        let origin = match self.begin {
            Begin::Order(desired) => Origin::Order(desired),
            Begin::Cell(bytes) => {
                Origin::Cell(Arc::new(Cell::restore(&bytes.0).map_err(BadOrder::Checkpoint)?))
            }
        };
        let recording = self.record.map(|record| Recording::new(&record.variables, record.every_ticks));
        Ok(Assignment {
            origin,
            changes: self.changes.into(),
            target_tick: self.target_tick,
            floor_tick: self.floor_tick,
            horizon_tick: self.horizon_tick,
            horizon_generations: self.horizon_generations,
            desired: self.desired,
            recording: recording.transpose().map_err(BadOrder::Recording)?.map(Arc::new),
            memory_kb: self.memory_kb,
            atp: self.atp,
            watch_from_tick: self.watch_from_tick,
            time: Duration::from_micros(self.time_us),
        })
    }

    /// Computes it, as [`Assignment::run`] does.
    ///
    /// # Errors
    /// Why the cell cannot go on.
    pub fn run(self) -> Result<QuantumOutcome, Failure> {
        Ok(QuantumOutcome::of(&self.into_assignment()?.run()?))
    }
}

/// A guest has no use for where it is, and its pool's password, sealed or not, no place in it.
fn without_pool(desired: &Arc<Desired>) -> Arc<Desired> {
    let mut desired = Arc::clone(desired);
    let is_on_pool = desired.order.as_ref().is_some_and(|order| order.pool.is_some());
    if is_on_pool && let Some(order) = &mut Arc::make_mut(&mut desired).order {
        Arc::make_mut(order).pool = None;
    }
    desired
}
