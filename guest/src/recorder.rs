//! The VM's own recording while a job lets time pass: the same rows that a worker would have written. It moves no cell.

use bioxen_guest::{RecordingOrder, Rows};
use bioxen_hypervisor::Cell;
use bioxen_hypervisor::trace::{Recording, Trace, TraceError};

use crate::meter::Stop;

/// Rows of one job, in bytes: half of what a frame holds.
const MAX_BYTES: usize = 4 * 1024 * 1024;

pub(crate) struct Recorder {
    recording: Recording,
    rows: Trace,
    last_tick: u64,
}

impl Recorder {
    /// # Errors
    /// A variable that no cell has.
    pub(crate) fn new(order: &RecordingOrder, cell: &Cell) -> Result<Self, TraceError> {
        let recording = Recording::new(&order.variables, order.every_ticks)?;
        // The row where the cell stands is the worker's.
        let rows = recording.trace(recording.next_tick(cell.tick()));
        Ok(Self { recording, rows, last_tick: order.last_tick })
    }

    /// The next tick at which a cell at `tick` has to be seen.
    pub(crate) fn next_tick(&self, tick: u64) -> u64 {
        self.recording.next_tick(tick)
    }

    /// The cell has come to a tick, and nothing was changed there yet.
    pub(crate) fn arrive(&mut self, cell: &Cell) -> Result<(), Stop> {
        if !self.recording.is_due(cell.tick()) {
            return Ok(());
        }
        let bytes = (self.rows.rows() + 1) * self.rows.columns.len() * size_of::<f64>();
        if cell.tick() > self.last_tick || bytes > MAX_BYTES {
            return Err(Stop::Rows);
        }
        self.rows.push(&self.recording.row(cell));
        Ok(())
    }

    pub(crate) fn rows(&self) -> Rows {
        Rows(self.rows.encode())
    }
}
