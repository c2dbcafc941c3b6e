//! What VMs recorded, on its way to the store: of those that have ended, and of those in which process code has. Until it is
//! safe neither end is told. It stores nothing itself.

use std::sync::Arc;

use bioxen_hypervisor::trace::Trace;
use bioxen_protocol::id::{Generation, VmKey};
use bioxen_protocol::worker::Observation;

use super::pool::Pool;
use super::process::ProcessEnded;
use super::scheduler::Number;
use crate::backend::Recording;

/// A VM that has ended and whose recording is on its way to the store.
#[derive(Debug)]
pub(super) struct Storing {
    pub(super) observation: Observation,
    pub(super) trace: Arc<Trace>,
    pub(super) is_taken: bool,
}

/// Process code that has ended in a VM that records.
#[derive(Debug)]
pub(super) struct Saving {
    pub(super) number: Number,
    pub(super) generation: Generation,
    pub(super) ended: ProcessEnded,
    pub(super) trace: Arc<Trace>,
    pub(super) is_taken: bool,
}

impl Pool {
    /// Recordings that are to be stored, each once: of VMs that have ended, and of those in which process code has.
    pub(super) fn recordings(&mut self) -> Vec<Recording> {
        let live = self.saving.iter_mut().filter(|(_, saving)| !saving.is_taken);
        let live = live.map(|(key, saving)| {
            saving.is_taken = true;
            Recording { key: key.clone(), generation: saving.generation, trace: Arc::clone(&saving.trace) }
        });
        let live: Vec<Recording> = live.collect();
        let new = self.storing.values_mut().filter(|storing| !storing.is_taken);
        new.map(|storing| {
            storing.is_taken = true;
            let Observation { key, generation, .. } = &storing.observation;
            Recording { key: key.clone(), generation: *generation, trace: Arc::clone(&storing.trace) }
        })
        .chain(live)
        .collect()
    }

    /// The recording is safe: the end may be told.
    pub(super) fn stored(&mut self, key: &VmKey, generation: Generation, now_ns: u64) {
        if self.saving.get(key).is_some_and(|saving| saving.generation == generation)
            && let Some(saving) = self.saving.remove(key)
        {
            return self.finish_process(saving.number, saving.ended, now_ns);
        }
        if self.storing.get(key).is_some_and(|storing| storing.observation.generation == generation)
            && let Some(storing) = self.storing.remove(key)
        {
            self.ended.push(storing.observation);
        }
    }

    /// Rows of what a VM has recorded in this placement, from `row` on, and how many there are in all.
    pub(super) fn rows(&self, key: &VmKey, row: usize, bytes: usize) -> Option<(usize, Trace)> {
        let vm = self.numbers.get(key).and_then(|number| self.vms.get(number));
        let trace = vm.and_then(|vm| vm.trace.as_ref());
        let trace = trace.or_else(|| Some(&*self.storing.get(key)?.trace))?;
        let rows = bytes / (size_of::<f64>() * trace.columns.len().max(1));
        Some((trace.rows(), trace.window(row, rows.max(1))))
    }
}
