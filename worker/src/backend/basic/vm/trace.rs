//! What a VM has recorded in its placement, and what may be told while that is not stored.

use std::sync::Arc;

use bioxen_guest::quantum::Recorded;
use bioxen_hypervisor::trace::Trace;

use super::super::process::ProcessEnded;
use super::Vm;

impl Vm {
    pub(super) fn keep(&mut self, recorded: &Recorded) {
        self.recording = Some(Arc::clone(&recorded.recording));
        self.extend_trace(&recorded.rows);
    }

    /// KiB that its recording takes, in this placement.
    pub(in crate::backend::basic) fn trace_kb(&self) -> u64 {
        let bytes =
            self.trace.as_ref().map_or(0, |trace| trace.rows() * trace.columns.len() * size_of::<f64>());
        bytes.div_ceil(1024) as u64
    }

    pub(super) fn may_tell_checkpoint(&self) -> bool {
        self.trace.is_none() || self.process_left_a_cell
    }

    /// Whether a VM that records has to stand still until the leader knows what process code left.
    pub(super) fn awaits_confirmation(&self) -> bool {
        self.trace.is_some() && self.process_end.is_some() && self.process_left_a_cell
    }

    /// The whole recording with the rows of process code, where those have to be stored before its end may be told.
    pub(in crate::backend::basic) fn trace_with(&self, ended: &ProcessEnded) -> Option<Trace> {
        let (mut trace, rows) = (self.trace.clone()?, ended.rows.as_ref()?);
        ended.cell.as_ref()?;
        trace.continue_with(rows).ok()?;
        Some(trace)
    }
}
